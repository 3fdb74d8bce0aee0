// channel_synchronization: a channel on which only the moment of sending matters.
package main

import (
	"fmt"
	"time"
)

func bake(loaf string, done chan<- struct{}) {
	fmt.Println(loaf, "goes into the oven")
	time.Sleep(20 * time.Millisecond)
	fmt.Println(loaf, "is ready")
	done <- struct{}{}
}

func main() {
	done := make(chan struct{})

	go bake("rye", done)
	<-done // without this line the program would end before the bread is baked

	// One after the other, by the same means: each waits for its own bread.
	for _, loaf := range []string{"wheat", "spelt"} {
		go bake(loaf, done)
		<-done
	}
	fmt.Println("the shop opens")
}
