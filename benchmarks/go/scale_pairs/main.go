package main

import (
	"time"

	"benchmarks/measure"
)

const pairs = 32

func ping(there chan<- int, back <-chan int, trips int, done chan<- struct{}) {
	for i := range trips {
		there <- i
		<-back
	}
	close(there)
	done <- struct{}{}
}

func pong(there <-chan int, back chan<- int) {
	for value := range there {
		back <- value
	}
}

func main() {
	measure.Time(pairs, func(n int) time.Duration {
		done := make(chan struct{}, pairs)
		start := time.Now()
		for range pairs {
			there, back := make(chan int), make(chan int)
			go pong(there, back)
			go ping(there, back, n/pairs, done)
		}
		for range pairs {
			<-done
		}
		return time.Since(start)
	})
}
