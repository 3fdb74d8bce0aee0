package main

import (
	"sync"
	"time"

	"benchmarks/measure"
)

const goroutines = 10_000

func main() {
	measure.Time(goroutines, func(n int) time.Duration {
		var mutex sync.Mutex
		var wg sync.WaitGroup
		total := 0
		start := time.Now()
		for range goroutines {
			wg.Go(func() {
				for range n / goroutines {
					mutex.Lock()
					total++
					mutex.Unlock()
				}
			})
		}
		wg.Wait()
		if total != n/goroutines*goroutines {
			panic("lost counts")
		}
		return time.Since(start)
	})
}
