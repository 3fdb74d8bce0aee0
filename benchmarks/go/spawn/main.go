package main

import (
	"time"

	"benchmarks/measure"
)

func main() {
	measure.Time(1, func(n int) time.Duration {
		start := time.Now()
		done := make(chan int, n)
		for i := range n {
			go func() { done <- i }()
		}
		for range n {
			<-done
		}
		return time.Since(start)
	})
}
