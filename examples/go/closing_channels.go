// closing_channels: the sender tells all receivers that no more will come.
package main

import "fmt"

func main() {
	orders := make(chan int, 5)
	served := make(chan []int)

	go func() {
		var seen []int
		for {
			order, more := <-orders
			if !more {
				served <- seen
				return
			}
			seen = append(seen, order)
		}
	}()

	for order := 1; order <= 3; order++ {
		orders <- order
	}
	close(orders) // what is in the buffer is still received
	for _, order := range <-served {
		fmt.Println("served order", order)
	}

	// A closed and empty channel gives its zero value, at once and to everyone.
	order, more := <-orders
	fmt.Println("received", order, "from a channel that is open:", yes(more))

	// Two mistakes, both of which panic.
	report("send", func() { orders <- 4 })
	report("close", func() { close(orders) })
}

func report(what string, mistake func()) {
	defer func() { fmt.Printf("%s: %v\n", what, recover()) }()
	mistake()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
