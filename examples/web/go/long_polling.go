// Long polling: who asks for messages gets those that are there, or waits for the next one.
//
// One goroutine, the hub, owns the messages and those who wait; handlers talk to it by channels.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

const longest = 30 * time.Second // that a poll waits

type found struct {
	Last     int      `json:"last"`
	Messages []string `json:"messages"`
}

type poll struct {
	after   int
	answers chan found
}

var (
	messages = make(chan string)
	polls    = make(chan poll)
	leaving  = make(chan chan found)
)

func hub() {
	var said []string
	waiting := map[chan found]bool{}
	for {
		select {
		case text := <-messages:
			said = append(said, text)
			for answers := range waiting {
				answers <- found{len(said), []string{text}} // it has room
			}
			clear(waiting)
		case p := <-polls:
			if p.after < len(said) {
				p.answers <- found{len(said), said[p.after:]}
			} else {
				waiting[p.answers] = true
			}
		case answers := <-leaving:
			delete(waiting, answers)
		}
	}
}

func say(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	messages <- string(text)
	w.WriteHeader(204)
}

func ask(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.Atoi(r.URL.Query().Get("after"))
	answers := make(chan found, 1)
	polls <- poll{after, answers}
	result := found{after, []string{}}
	select {
	case result = <-answers:
	case <-time.After(longest):
		leaving <- answers
	case <-r.Context().Done(): // the client is gone
		leaving <- answers
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(result)
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /messages", say)
	mux.HandleFunc("GET /messages", ask)
	go hub()
	address := "127.0.0.1:8080"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, mux))
}
