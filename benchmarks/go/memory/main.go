package main

import (
	"runtime"

	"benchmarks/measure"
)

func main() {
	measure.Run(1, []measure.Unit{measure.Bytes}, func(n int) []float64 {
		gate, tokens := make(chan struct{}), make(chan struct{}, n)
		before := measure.Resident()
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
		grown := measure.Resident() - before
		close(gate)
		for len(tokens) > 0 {
			runtime.Gosched()
		}
		return []float64{grown}
	})
}
