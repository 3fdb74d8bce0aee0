package main

import (
	"runtime"
	"time"

	"benchmarks/measure"
)

const batch = 100

func main() {
	measure.Time(batch, func(n int) time.Duration {
		tokens := make(chan struct{}, batch)
		start := time.Now()
		for range n / batch {
			gate := make(chan struct{})
			for range batch {
				go func() {
					tokens <- struct{}{}
					<-gate
					<-tokens
				}()
			}
			for len(tokens) < batch {
				runtime.Gosched()
			}
			close(gate)
			for len(tokens) > 0 {
				runtime.Gosched()
			}
		}
		return time.Since(start)
	})
}
