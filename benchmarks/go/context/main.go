package main

import (
	"context"
	"time"

	"benchmarks/measure"
)

func main() {
	measure.Time(1, func(n int) time.Duration {
		start := time.Now()
		for range n {
			_, cancel := context.WithCancel(context.Background())
			cancel()
		}
		return time.Since(start)
	})
}
