// channel_directions: a function's signature says whether it sends on a channel or receives from it.
package main

import (
	"fmt"
	"strings"
)

func speak(out chan<- string, words ...string) {
	for _, word := range words {
		out <- word // `<-out` would not compile here
	}
	close(out)
}

func shout(in <-chan string, out chan<- string) {
	for word := range in {
		out <- strings.ToUpper(word) + "!"
	}
	close(out)
}

func main() {
	words := make(chan string)
	shouts := make(chan string)
	go speak(words, "mind", "the", "gap")
	go shout(words, shouts)

	var ears <-chan string = shouts // the same channel, of which one side is seen
	for word := range ears {
		fmt.Println(word)
	}
}
