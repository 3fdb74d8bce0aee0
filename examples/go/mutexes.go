// mutexes: one goroutine at a time, where several change the same thing in more than one step.
package main

import (
	"fmt"
	"sync"
)

// A bank holds accounts; mu guards them.
type bank struct {
	mu       sync.Mutex
	accounts map[string]int
}

func (b *bank) transfer(from, to string, amount int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.accounts[from] < amount {
		return false
	}
	b.accounts[from] -= amount
	b.accounts[to] += amount
	return true
}

func main() {
	b := &bank{accounts: map[string]int{"ada": 1000, "bob": 1000, "cleo": 1000}}
	names := []string{"ada", "bob", "cleo"}

	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for range 300 {
				b.transfer(names[i], names[(i+1)%3], 1)
			}
		})
	}
	wg.Wait()

	// Everyone has given 300 and got 300, and nothing was lost between two goroutines.
	total := 0
	for _, name := range names {
		fmt.Println(name, "has", b.accounts[name])
		total += b.accounts[name]
	}
	fmt.Println("in all:", total)
	if !b.transfer("ada", "bob", 5000) {
		fmt.Println("ada does not have 5000")
	}
}
