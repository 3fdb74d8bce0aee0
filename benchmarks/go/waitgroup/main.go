package main

import (
	"sync"
	"time"

	"benchmarks/measure"
)

func main() {
	measure.Time(1, func(n int) time.Duration {
		var wg sync.WaitGroup
		start := time.Now()
		for range n {
			wg.Add(1)
			wg.Done()
		}
		return time.Since(start)
	})
}
