// worker_pools: a few goroutines share the work, whoever is free takes the next piece.
package main

import (
	"fmt"
	"time"
)

type result struct {
	job, divisors int
}

// worker counts divisors until there are no more jobs.
func worker(jobs <-chan int, results chan<- result) {
	for job := range jobs {
		time.Sleep(5 * time.Millisecond) // as if it were more work than it is
		count := 0
		for d := 1; d <= job; d++ {
			if job%d == 0 {
				count++
			}
		}
		results <- result{job, count}
	}
}

func main() {
	const workers, last = 4, 12
	jobs := make(chan int, last)
	results := make(chan result, last)

	start := time.Now()
	for range workers {
		go worker(jobs, results)
	}
	for job := 1; job <= last; job++ {
		jobs <- job
	}
	close(jobs)

	// Results come as they are ready; the table puts them in order.
	divisors := make([]int, last+1)
	for range last {
		r := <-results
		divisors[r.job] = r.divisors
	}
	if time.Since(start) >= last/workers*5*time.Millisecond {
		fmt.Println(last, "jobs, a few at a time")
	}
	for job := 1; job <= last; job++ {
		fmt.Println(job, "has", divisors[job], "divisors")
	}
}
