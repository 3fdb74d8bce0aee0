// range_over_channels: receive until the channel is closed and empty.
package main

import "fmt"

// fibonacci sends the numbers below limit, then closes its channel.
func fibonacci(limit int) <-chan int {
	out := make(chan int)
	go func() {
		defer close(out)
		for a, b := 0, 1; a < limit; a, b = b, a+b {
			out <- a
		}
	}()
	return out
}

func main() {
	sum := 0
	for number := range fibonacci(100) {
		fmt.Println(number)
		sum += number
	}
	fmt.Println("their sum is", sum)

	// A channel that is closed already: what is left in it is received first.
	queue := make(chan string, 2)
	queue <- "first"
	queue <- "second"
	close(queue)
	for item := range queue {
		fmt.Println(item)
	}
}
