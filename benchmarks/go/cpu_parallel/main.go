package main

import (
	"time"

	"benchmarks/measure"
)

func burn() int {
	x := 0
	for i := range 50_000 {
		x = (x*31 + i) % 251
	}
	return x
}

func main() {
	measure.Time(1, func(n int) time.Duration {
		done := make(chan int, n)
		start := time.Now()
		for range n {
			go func() { done <- burn() }()
		}
		for range n {
			<-done
		}
		return time.Since(start)
	})
}
