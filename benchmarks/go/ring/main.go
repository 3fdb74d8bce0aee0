package main

import (
	"time"

	"benchmarks/measure"
)

const nodes = 1000

func node(left <-chan int, right chan<- int) {
	for token := range left {
		right <- token
	}
	close(right)
}

func main() {
	measure.Time(nodes, func(n int) time.Duration {
		var links [nodes]chan int
		for i := range links {
			links[i] = make(chan int)
		}
		for i := range nodes - 1 {
			go node(links[i], links[i+1])
		}
		links[0] <- 0
		<-links[nodes-1]

		start := time.Now()
		for lap := range n / nodes {
			links[0] <- lap
			<-links[nodes-1]
		}
		elapsed := time.Since(start)
		close(links[0])
		<-links[nodes-1]
		return elapsed
	})
}
