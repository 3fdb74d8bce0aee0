package main

import (
	"time"

	"benchmarks/measure"
)

func main() {
	measure.Time(1, func(n int) time.Duration {
		start := time.Now()
		done := make(chan struct{}, n)
		for i := range n {
			go func() {
				time.Sleep(time.Duration(i*7919%50_021) * time.Microsecond)
				done <- struct{}{}
			}()
		}
		for range n {
			<-done
		}
		return time.Since(start)
	})
}
