// goroutines: a call that runs on its own, beside whoever made it.
package main

import "fmt"

// squares fills its part of the table, then says that it is done.
func squares(table []int, from, to int, done chan<- bool) {
	for i := from; i < to; i++ {
		table[i] = i * i
	}
	done <- true
}

func main() {
	table := make([]int, 9)
	done := make(chan bool)

	go squares(table, 0, 3, done)
	go squares(table, 3, 6, done)
	go func() { // a function without a name, which sees main's variables
		for i := 6; i < 9; i++ {
			table[i] = i * i
		}
		done <- true
	}()

	for range 3 { // nobody knows in which order they end, only that all three do
		<-done
	}
	for i, square := range table {
		fmt.Println(i, "squared is", square)
	}
}
