// atomic_counters: many goroutines count together, without a lock.
package main

import (
	"fmt"
	"sync"
	"sync/atomic"
)

func main() {
	var clicks atomic.Uint64
	var clock atomic.Uint32
	clock.Store(1<<32 - 10)

	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 500 {
				clicks.Add(1)
			}
			clock.Add(1)
		})
	}
	wg.Wait()
	fmt.Println("clicks:", clicks.Load())
	fmt.Println("a counter of 32 bits has wrapped around to", clock.Load())

	// Exactly one of many may go first.
	var first atomic.Bool
	var winners atomic.Int32
	for range 20 {
		wg.Go(func() {
			if first.CompareAndSwap(false, true) {
				winners.Add(1)
			}
		})
	}
	wg.Wait()
	fmt.Println("winners:", winners.Load())
}
