package main

import (
	"runtime"
	"time"

	"benchmarks/measure"
)

func main() {
	measure.Time(1, func(n int) time.Duration {
		gates, tokens := make([]chan struct{}, n), make(chan struct{}, n)
		ping, pong := make(chan int), make(chan int)
		for i := range gates {
			gates[i] = make(chan struct{})
			go func() {
				tokens <- struct{}{}
				<-gates[i]
				<-tokens
			}()
		}
		for len(tokens) < n {
			runtime.Gosched()
		}
		go func() {
			for value := range ping {
				pong <- value
			}
		}()
		start := time.Now()
		for i := range n {
			ping <- i
			<-pong
		}
		elapsed := time.Since(start)
		close(ping)
		for _, gate := range gates {
			close(gate)
		}
		for len(tokens) > 0 {
			runtime.Gosched()
		}
		return elapsed
	})
}
