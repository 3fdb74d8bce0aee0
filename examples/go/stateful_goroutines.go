// stateful_goroutines: one goroutine owns the state, the others ask it by messages.
package main

import "fmt"

type read struct {
	key   string
	reply chan int
}

type write struct {
	key   string
	add   int
	reply chan bool
}

// keeper is the only one that ever touches the map, so the map needs no lock.
func keeper(reads <-chan read, writes <-chan write, stop <-chan bool) {
	stock := make(map[string]int)
	for {
		select {
		case r := <-reads:
			r.reply <- stock[r.key]
		case w := <-writes:
			stock[w.key] += w.add
			w.reply <- true
		case <-stop:
			return
		}
	}
}

func main() {
	reads := make(chan read)
	writes := make(chan write)
	stop := make(chan bool)
	done := make(chan int)
	go keeper(reads, writes, stop)

	fruits := []string{"apple", "pear", "plum"}
	for i := range 6 {
		go func() { // puts fruit on the shelf
			for range 50 {
				w := write{fruits[i%3], i + 1, make(chan bool)}
				writes <- w
				<-w.reply
			}
			done <- 0
		}()
		go func() { // looks at the shelf, which never gets emptier
			backwards := 0
			last := 0
			for range 50 {
				r := read{fruits[i%3], make(chan int)}
				reads <- r
				now := <-r.reply
				if now < last {
					backwards++
				}
				last = now
			}
			done <- backwards
		}()
	}
	backwards := 0
	for range 12 {
		backwards += <-done
	}

	for _, fruit := range fruits {
		r := read{fruit, make(chan int)}
		reads <- r
		fmt.Println(fruit, <-r.reply)
	}
	stop <- true
	fmt.Println("reads that saw less than one before:", backwards)
}
