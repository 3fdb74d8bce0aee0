package main

import (
	"time"

	"benchmarks/measure"
)

func node(size int, result chan<- int) {
	if size <= 1 {
		result <- size
		return
	}
	sums := make(chan int)
	for _, half := range [2]int{(size - 1) / 2, size / 2} {
		go node(half, sums)
	}
	result <- 1 + <-sums + <-sums
}

func main() {
	measure.Time(1, func(n int) time.Duration {
		result := make(chan int)
		start := time.Now()
		go node(n, result)
		if <-result != n {
			panic("lost a goroutine")
		}
		return time.Since(start)
	})
}
