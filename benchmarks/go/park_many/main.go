package main

import (
	"runtime"
	"time"

	"benchmarks/measure"
)

func main() {
	measure.Time(1, func(n int) time.Duration {
		start := time.Now()
		gate, tokens := make(chan struct{}), make(chan struct{}, n)
		for range n {
			go func() {
				tokens <- struct{}{}
				<-gate
				<-tokens
			}()
		}
		for len(tokens) < n {
			runtime.Gosched()
		}
		close(gate)
		for len(tokens) > 0 {
			runtime.Gosched()
		}
		return time.Since(start)
	})
}
