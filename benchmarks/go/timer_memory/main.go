package main

import (
	"time"

	"benchmarks/measure"
)

func main() {
	measure.Run(1, []measure.Unit{measure.Bytes, measure.Bytes}, func(n int) []float64 {
		before := measure.Resident()
		timers := make([]*time.Timer, n)
		for i := range n {
			timers[i] = time.NewTimer(time.Hour + time.Duration(i)*time.Second)
		}
		grown := measure.Resident() - before
		before = measure.Resident()
		functions := make([]*time.Timer, n)
		for i := range n {
			functions[i] = time.AfterFunc(time.Hour+time.Duration(i)*time.Second, func() {})
		}
		withFunction := measure.Resident() - before
		for i := range n {
			timers[i].Stop()
			functions[i].Stop()
		}
		return []float64{grown, withFunction}
	})
}
