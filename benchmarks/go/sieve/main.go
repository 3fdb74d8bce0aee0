package main

import (
	"time"

	"benchmarks/measure"
)

func generate(n int, ch chan<- int) {
	for i := 2; i <= n; i++ {
		ch <- i
	}
	close(ch)
}

func sift(left <-chan int, right chan<- int, prime int) {
	for i := range left {
		if i%prime != 0 {
			right <- i
		}
	}
	close(right)
}

func main() {
	measure.Time(1, func(n int) time.Duration {
		start := time.Now()
		ch := make(chan int)
		go generate(n, ch)
		for {
			prime, ok := <-ch
			if !ok {
				return time.Since(start)
			}
			right := make(chan int)
			go sift(ch, right, prime)
			ch = right
		}
	})
}
