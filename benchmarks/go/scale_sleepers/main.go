package main

import (
	"syscall"
	"time"

	"benchmarks/measure"
)

// used returns the CPU time that this process has taken.
func used() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func main() {
	measure.Time(1, func(n int) time.Duration {
		start := used()
		done := make(chan struct{}, n)
		for i := range n {
			go func() {
				time.Sleep(time.Duration(i*7919%300_007) * time.Microsecond)
				done <- struct{}{}
			}()
		}
		for range n {
			<-done
		}
		return used() - start
	})
}
