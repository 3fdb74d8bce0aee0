package main

import (
	"time"

	"benchmarks/measure"
)

func job(x int) int {
	for i := range 1_000 {
		x = (x*31 + i) % 251
	}
	return x
}

func main() {
	measure.Time(1, func(n int) time.Duration {
		results := make(chan int)
		start := time.Now()
		for i := range n {
			go func() { results <- job(i % 251) }()
		}
		for range n {
			<-results
		}
		return time.Since(start)
	})
}
