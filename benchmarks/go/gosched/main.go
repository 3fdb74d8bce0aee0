package main

import (
	"runtime"
	"time"

	"benchmarks/measure"
)

func main() {
	measure.Time(2, func(n int) time.Duration {
		done := make(chan struct{})
		yielder := func() {
			for range n / 2 {
				runtime.Gosched()
			}
			done <- struct{}{}
		}
		start := time.Now()
		go yielder()
		go yielder()
		<-done
		<-done
		return time.Since(start)
	})
}
