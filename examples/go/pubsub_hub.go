// pubsub_hub: publishers and subscribers that know only topics; one goroutine knows who wants what.
//
// The hub never waits for a subscriber: who has no room for a message misses it, and can ask how many it missed.
package main

import (
	"fmt"
	"sync"
)

type message struct {
	topic, text string
}

type subscriber struct {
	inbox  chan message
	missed int // the hub's, until the inbox is closed
}

type subscription struct {
	topic string
	who   *subscriber
	ok    chan bool
}

type publication struct {
	message
	heard chan int
}

type hub struct {
	subscribe, unsubscribe chan subscription
	publish                chan publication
	stop                   chan bool
}

func newHub() *hub {
	h := &hub{make(chan subscription), make(chan subscription), make(chan publication), make(chan bool)}
	go h.run()
	return h
}

// run owns the table of topics: nobody else ever sees it.
func (h *hub) run() {
	topics := make(map[string]map[*subscriber]bool)
	for {
		select {
		case s := <-h.subscribe:
			if topics[s.topic] == nil {
				topics[s.topic] = make(map[*subscriber]bool)
			}
			topics[s.topic][s.who] = true
			s.ok <- true
		case s := <-h.unsubscribe:
			delete(topics[s.topic], s.who)
			s.ok <- true
		case p := <-h.publish:
			heard := 0
			for who := range topics[p.topic] {
				select {
				case who.inbox <- p.message:
					heard++
				default:
					who.missed++
				}
			}
			p.heard <- heard
		case <-h.stop:
			closed := make(map[*subscriber]bool)
			for _, subscribers := range topics {
				for who := range subscribers {
					if !closed[who] {
						close(who.inbox)
						closed[who] = true
					}
				}
			}
			h.stop <- true
			return
		}
	}
}

func (h *hub) join(who *subscriber, topics ...string) {
	for _, topic := range topics {
		s := subscription{topic, who, make(chan bool)}
		h.subscribe <- s
		<-s.ok
	}
}

func (h *hub) leave(who *subscriber, topic string) {
	s := subscription{topic, who, make(chan bool)}
	h.unsubscribe <- s
	<-s.ok
}

// tell says how many got the message.
func (h *hub) tell(topic, text string) int {
	p := publication{message{topic, text}, make(chan int)}
	h.publish <- p
	return <-p.heard
}

func (h *hub) shutDown() {
	h.stop <- true
	<-h.stop
}

func main() {
	h := newHub()
	keen := &subscriber{inbox: make(chan message, 10)}
	lazy := &subscriber{inbox: make(chan message, 2)}
	h.join(keen, "weather", "sport")
	h.join(lazy, "sport")

	// The keen one reads all the time, in a goroutine; the lazy one looks into its inbox at the end.
	var wg sync.WaitGroup
	var read []message
	wg.Go(func() {
		for m := range keen.inbox {
			read = append(read, m)
		}
	})

	fmt.Println("weather: heard by", h.tell("weather", "rain"))
	fmt.Println("chess: heard by", h.tell("chess", "mate"))
	for round := 1; round <= 4; round++ {
		fmt.Println("sport: heard by", h.tell("sport", fmt.Sprintf("round %d", round)))
	}
	h.leave(keen, "weather")
	fmt.Println("weather: heard by", h.tell("weather", "sun"))
	h.shutDown()
	wg.Wait()

	for _, m := range read {
		fmt.Println("keen:", m.topic, m.text)
	}
	for m := range lazy.inbox {
		fmt.Println("lazy:", m.topic, m.text)
	}
	fmt.Println("missed:", keen.missed, lazy.missed)
}
