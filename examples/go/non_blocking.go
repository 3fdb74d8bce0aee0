// non_blocking: a select with a default never waits.
package main

import "fmt"

// look says what it finds in the mailbox, without waiting for it.
func look(mailbox <-chan string) {
	select {
	case letter := <-mailbox:
		fmt.Println("a letter:", letter)
	default:
		fmt.Println("no letter")
	}
}

// post leaves a letter, if there is room for it.
func post(mailbox chan<- string, letter string) {
	select {
	case mailbox <- letter:
		fmt.Println("posted:", letter)
	default:
		fmt.Println("no room for:", letter)
	}
}

func main() {
	mailbox := make(chan string, 1)
	look(mailbox)
	post(mailbox, "come soon")
	post(mailbox, "come at once")
	look(mailbox)

	// Without room, a send needs a receiver that is waiting already, and here is none.
	window := make(chan string)
	post(window, "hello?")

	alarm := make(chan string)
	select {
	case letter := <-mailbox:
		fmt.Println("a letter:", letter)
	case sound := <-alarm:
		fmt.Println("an alarm:", sound)
	default:
		fmt.Println("all quiet")
	}
}
