// waitgroups: wait until a number of goroutines, however many, have ended.
package main

import (
	"fmt"
	"strings"
	"sync"
)

// reverse turns the words of a line around, in place.
func reverse(lines []string, i int, wg *sync.WaitGroup) {
	defer wg.Done()
	words := strings.Fields(lines[i])
	for l, r := 0, len(words)-1; l < r; l, r = l+1, r-1 {
		words[l], words[r] = words[r], words[l]
	}
	lines[i] = strings.Join(words, " ")
}

func main() {
	lines := []string{"dog lazy the over", "jumps fox brown quick the", "again and again"}

	var wg sync.WaitGroup
	for i := range lines {
		wg.Add(1) // before the goroutine starts, not in it
		go reverse(lines, i, &wg)
	}
	wg.Wait()
	fmt.Println(strings.Join(lines, "\n"))

	// Go does the counting, too.
	lengths := make([]int, len(lines))
	for i, line := range lines {
		wg.Go(func() { lengths[i] = len(line) })
	}
	wg.Wait()
	fmt.Println("lengths:", lengths[0], lengths[1], lengths[2])
}
