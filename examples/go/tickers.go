// tickers: the same moment again and again, until it is stopped.
package main

import (
	"fmt"
	"time"
)

func main() {
	heartbeat := time.NewTicker(5 * time.Millisecond)
	done := make(chan bool)
	beats := make(chan int)

	go func() {
		count := 0
		for {
			select {
			case <-heartbeat.C:
				count++
				beats <- count
			case <-done:
				fmt.Println("no more beats")
				done <- true
				return
			}
		}
	}()

	for range 4 {
		fmt.Println("beat", <-beats)
	}
	heartbeat.Stop()
	// One beat may be under way still.
	for stopped := false; !stopped; {
		select {
		case <-beats:
		case done <- true:
			<-done
			stopped = true
		}
	}

	// Who is too slow loses ticks, not the ticker: its channel holds one.
	quick := time.NewTicker(time.Millisecond)
	time.Sleep(50 * time.Millisecond)
	<-quick.C
	quick.Stop()
	select {
	case <-quick.C:
		fmt.Println("a stopped ticker ticks")
	default:
		fmt.Println("what was missed is gone")
	}
}
