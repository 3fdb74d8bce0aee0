package main

import (
	"runtime"
	"sync"
	"time"

	"benchmarks/measure"
)

const goroutines = 100

func main() {
	var mutex sync.Mutex

	yieldsBetween := func(times int) {
		for range times {
			mutex.Lock()
			mutex.Unlock()
			runtime.Gosched()
		}
	}
	yieldsWithin := func(times int) {
		for range times {
			mutex.Lock()
			runtime.Gosched()
			mutex.Unlock()
		}
	}
	run := func(n int, body func(int)) float64 {
		var wg sync.WaitGroup
		start := time.Now()
		for range goroutines {
			wg.Go(func() { body(n / goroutines) })
		}
		wg.Wait()
		return time.Since(start).Seconds()
	}
	measure.Run(goroutines, []measure.Unit{measure.NS, measure.NS}, func(n int) []float64 {
		return []float64{run(n, yieldsBetween), run(n, yieldsWithin)}
	})
}
