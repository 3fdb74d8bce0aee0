package main

import (
	"time"

	"benchmarks/measure"
)

const workers = 64

func job(x int) int {
	for i := range 1_000 {
		x = (x*31 + i) % 251
	}
	return x
}

func main() {
	measure.Time(1, func(n int) time.Duration {
		jobs, results := make(chan int), make(chan int)
		start := time.Now()
		for range workers {
			go func() {
				for x := range jobs {
					results <- job(x)
				}
			}()
		}
		go func() {
			for i := range n {
				jobs <- i % 251
			}
			close(jobs)
		}()
		for range n {
			<-results
		}
		return time.Since(start)
	})
}
