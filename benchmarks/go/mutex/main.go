package main

import (
	"sync"
	"time"

	"benchmarks/measure"
)

func main() {
	measure.Time(1, func(n int) time.Duration {
		var mutex sync.Mutex
		start := time.Now()
		for range n {
			mutex.Lock()
			mutex.Unlock()
		}
		return time.Since(start)
	})
}
