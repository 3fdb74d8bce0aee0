package main

import (
	"time"

	"benchmarks/measure"
)

const side, room = 16, 128

func main() {
	measure.Time(side, func(n int) time.Duration {
		values, done := make(chan int, room), make(chan struct{})
		start := time.Now()
		for range side {
			go func() {
				for i := range n / side {
					values <- i
				}
			}()
			go func() {
				for range n / side {
					<-values
				}
				done <- struct{}{}
			}()
		}
		for range side {
			<-done
		}
		return time.Since(start)
	})
}
