// dining_philosophers: five at a round table, a fork between each two, and nobody may starve.
//
// Whoever takes forks in any order may wait for ever, each holding one and asking for the next. Here everyone
// takes the fork with the lower number first, so that there is always one who can take both.
package main

import (
	"fmt"
	"runtime"
	"sync"
)

const meals = 20

var names = []string{"Hypatia", "Confucius", "Avicenna", "Hildegard", "Spinoza"}

// A table knows who is eating, so that it can tell when neighbours do.
type table struct {
	mu         sync.Mutex
	eating     [5]bool
	eaten      [5]int
	neighbours int
}

func (t *table) begin(seat int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.eating[(seat+1)%5] || t.eating[(seat+4)%5] {
		t.neighbours++
	}
	t.eating[seat] = true
}

func (t *table) end(seat int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.eating[seat] = false
	t.eaten[seat]++
}

func dine(t *table, seat int, first, second *sync.Mutex) {
	first.Lock()
	defer first.Unlock()
	runtime.Gosched() // holding one fork: the moment when it goes wrong, if it can
	second.Lock()
	defer second.Unlock()
	t.begin(seat)
	defer t.end(seat)
	runtime.Gosched() // eating
}

func main() {
	var t table
	var forks [5]sync.Mutex

	var wg sync.WaitGroup
	for seat := range 5 {
		first, second := &forks[seat], &forks[(seat+1)%5]
		if seat == 4 {
			first, second = second, first
		}
		wg.Go(func() {
			for range meals {
				dine(&t, seat, first, second)
				runtime.Gosched() // thinking
			}
		})
	}
	wg.Wait()

	for seat, name := range names {
		fmt.Println(name, "has eaten", t.eaten[seat], "times")
	}
	fmt.Println("neighbours who ate at the same time:", t.neighbours)
}
