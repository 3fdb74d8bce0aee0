package main

import (
	"time"

	"benchmarks/measure"
)

func node(left <-chan int, right chan<- int) {
	for token := range left {
		right <- token
	}
	close(right)
}

func main() {
	measure.Time(2, func(n int) time.Duration {
		links := make([]chan int, n)
		for i := range links {
			links[i] = make(chan int)
		}
		for i := range n - 1 {
			go node(links[i], links[i+1])
		}
		first, last := links[0], links[n-1]
		first <- 0
		<-last // everyone has started

		start := time.Now()
		first <- 1
		<-last
		elapsed := time.Since(start)
		close(first)
		<-last // everyone has finished
		return elapsed
	})
}
