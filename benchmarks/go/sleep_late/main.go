package main

import (
	"slices"
	"time"

	"benchmarks/measure"
)

func main() {
	const spread = 2 * time.Second
	measure.Time(1, func(n int) time.Duration {
		late := make(chan time.Duration, n)
		base := time.Now().Add(time.Duration(n) * 20 * time.Microsecond)
		for i := range n {
			go func() {
				due := base.Add(time.Duration(i*7919%100_003) * spread / 100_003)
				time.Sleep(time.Until(due))
				late <- time.Since(due)
			}()
		}
		all := make([]time.Duration, n)
		for i := range n {
			all[i] = <-late
		}
		slices.Sort(all)
		return all[n*99/100] * time.Duration(n)
	})
}
