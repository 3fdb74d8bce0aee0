// timeouts: wait for an answer, but not for ever.
package main

import (
	"fmt"
	"time"
)

// ask returns a channel on which the answer comes after so long.
func ask(question string, takes time.Duration) <-chan string {
	answer := make(chan string, 1) // with room, so that an answer nobody waits for holds nobody up
	go func() {
		time.Sleep(takes)
		answer <- "the answer to " + question
	}()
	return answer
}

func main() {
	select {
	case answer := <-ask("the quick question", time.Millisecond):
		fmt.Println(answer)
	case <-time.After(10 * time.Second):
		fmt.Println("no answer in 10 seconds")
	}

	select {
	case answer := <-ask("the slow question", 10*time.Second):
		fmt.Println(answer)
	case <-time.After(20 * time.Millisecond):
		fmt.Println("no answer in 20 milliseconds")
	}
}
