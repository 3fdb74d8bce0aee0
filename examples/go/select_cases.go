// select_cases: wait for several channels at once, and take what comes first.
package main

import (
	"fmt"
	"time"
)

// meter sends its readings, one every so often, and closes the channel after the last.
func meter(every time.Duration, readings ...int) <-chan int {
	out := make(chan int)
	go func() {
		for _, reading := range readings {
			time.Sleep(every)
			out <- reading
		}
		close(out)
	}()
	return out
}

func main() {
	water := meter(2*time.Millisecond, 7, 3, 9, 4)
	power := meter(3*time.Millisecond, 110, 90, 140)

	var litres, watts int
	for water != nil || power != nil {
		select {
		case reading, ok := <-water:
			if !ok {
				fmt.Println("litres in all:", litres)
				water = nil // a nil channel is never ready: its case is out
				continue
			}
			litres += reading
		case reading, ok := <-power:
			if !ok {
				power = nil
				continue
			}
			watts += reading
		}
	}
	fmt.Println("watts in all:", watts)
}
