// channels: values pass from one goroutine to another, and both wait for the hand-over.
package main

import "fmt"

// add passes on what it hears, with a word of its own at the end.
func add(word string, in, out chan string) {
	heard := <-in // waits for a sender
	out <- heard + " " + word
}

func main() {
	a := make(chan string)
	b := make(chan string)
	c := make(chan string)

	go add("and", a, b)
	go add("over", b, c)

	a <- "over"      // waits for a receiver
	fmt.Println(<-c) // has passed both goroutines

	// What one goroutine sends arrives in the order in which it was sent.
	numbers := make(chan int)
	go func() {
		for i := range 5 {
			numbers <- i
		}
	}()
	for range 5 {
		fmt.Println("received", <-numbers)
	}
}
