package main

import (
	"runtime"
	"time"

	"benchmarks/measure"
)

const settle = 10 * time.Microsecond // a goroutine

func main() {
	units := []measure.Unit{measure.NS, measure.Bytes, measure.Ratio}
	measure.Run(1, units, func(n int) []float64 {
		before := measure.Resident()
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
		elapsed := time.Since(start)
		time.Sleep(time.Duration(n) * settle)
		return []float64{elapsed.Seconds(), measure.Peak() - before, measure.Resident() / before}
	})
}
