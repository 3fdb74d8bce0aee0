package main

import (
	"time"

	"benchmarks/measure"
)

const room = 1000

func main() {
	measure.Time(room, func(n int) time.Duration {
		full, empty := make(chan int, room), make(chan int)
		var elapsed time.Duration
		for range n / room {
			for i := range room {
				full <- i
			}
			start := time.Now()
			for range room {
				select {
				case <-full:
				case <-empty:
				}
			}
			elapsed += time.Since(start)
		}
		return elapsed
	})
}
