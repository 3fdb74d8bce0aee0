package main

import (
	"sync"
	"time"

	"benchmarks/measure"
)

const side = 4

func main() {
	measure.Time(side, func(n int) time.Duration {
		values := make(chan int)
		var wg sync.WaitGroup
		start := time.Now()
		for range side {
			wg.Go(func() {
				for i := range n / side {
					values <- i
				}
			})
			wg.Go(func() {
				for range n / side {
					<-values
				}
			})
		}
		wg.Wait()
		return time.Since(start)
	})
}
