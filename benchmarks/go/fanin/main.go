package main

import (
	"time"

	"benchmarks/measure"
)

const producers = 8

func main() {
	measure.Time(producers, func(n int) time.Duration {
		values := make(chan int)
		start := time.Now()
		for range producers {
			go func() {
				for i := range n / producers {
					values <- i
				}
			}()
		}
		for range n {
			<-values
		}
		return time.Since(start)
	})
}
