// channel_buffering: a channel with room lets senders run ahead of receivers.
package main

import "fmt"

func main() {
	letters := make(chan string, 3)

	// There is no other goroutine here: each of these sends would wait for ever on a channel without room.
	letters <- "alpha"
	letters <- "beta"
	fmt.Println(len(letters), "of", cap(letters), "places taken")
	letters <- "gamma"
	fmt.Println(len(letters), "of", cap(letters), "places taken")

	fmt.Println(<-letters)
	fmt.Println(<-letters)

	// A place that has become free may be taken again.
	letters <- "delta"
	fmt.Println(<-letters)
	fmt.Println(<-letters)
	fmt.Println(len(letters), "of", cap(letters), "places taken")
}
