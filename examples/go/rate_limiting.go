// rate_limiting: no more than so many requests in so much time.
package main

import (
	"fmt"
	"time"
)

// serve handles five requests, each of which waits for a token first.
func serve(tokens <-chan time.Time) {
	requests := make(chan int, 5)
	for i := 1; i <= 5; i++ {
		requests <- i
	}
	close(requests)

	for request := range requests {
		<-tokens
		fmt.Println("request", request)
	}
}

func main() {
	const every = 10 * time.Millisecond

	// A ticker hands out one token every so often.
	start := time.Now()
	steady := time.NewTicker(every)
	serve(steady.C)
	steady.Stop()
	if time.Since(start) >= 5*every {
		fmt.Println("steady: at most one every 10 milliseconds")
	}

	// Tokens saved up in a buffer let a burst of three through at once.
	start = time.Now()
	bursty := make(chan time.Time, 3)
	for range 3 {
		bursty <- time.Now()
	}
	go func() {
		for tick := range time.Tick(every) {
			bursty <- tick
		}
	}()
	serve(bursty)
	if time.Since(start) >= 2*every {
		fmt.Println("bursty: three at once, then one every 10 milliseconds")
	}
}
