package main

import (
	"time"

	"benchmarks/measure"
)

func main() {
	measure.Time(1, func(n int) time.Duration {
		ping, pong := make(chan int), make(chan int)
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
		return elapsed
	})
}
