// timers: one moment in the future, which may still be called off or put off.
package main

import (
	"fmt"
	"time"
)

func main() {
	start := time.Now()
	egg := time.NewTimer(30 * time.Millisecond)
	<-egg.C
	if time.Since(start) >= 30*time.Millisecond {
		fmt.Println("the egg is done")
	}

	// A timer, other than a sleep, can be stopped before it fires.
	alarm := time.NewTimer(time.Hour)
	if alarm.Stop() {
		fmt.Println("the alarm was stopped in time")
	}
	if !alarm.Stop() {
		fmt.Println("stopping it again does nothing")
	}

	// Or be given another time.
	bus := time.NewTimer(time.Hour)
	if bus.Reset(10 * time.Millisecond) {
		fmt.Println("the bus comes earlier than planned")
	}
	<-bus.C
	fmt.Println("the bus is here")

	// A function that runs in a goroutine of its own when the time has come.
	rang := make(chan string)
	time.AfterFunc(10*time.Millisecond, func() { rang <- "ding dong" })
	fmt.Println(<-rang)
}
