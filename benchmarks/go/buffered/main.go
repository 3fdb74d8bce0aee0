package main

import (
	"time"

	"benchmarks/measure"
)

func main() {
	measure.Time(1, func(n int) time.Duration {
		ch := make(chan int, 1)
		start := time.Now()
		for i := range n {
			ch <- i
			<-ch
		}
		return time.Since(start)
	})
}
