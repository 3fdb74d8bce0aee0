// A server that ends in good order.
//
// After SIGTERM or Ctrl-C nobody is accepted any more, requests under way are answered, for ten seconds at most.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func slow(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, "begun, ")
	w.(http.Flusher).Flush()
	time.Sleep(500 * time.Millisecond)
	fmt.Fprintln(w, "done")
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	server := &http.Server{Handler: http.HandlerFunc(slow)}
	address := "127.0.0.1:8080"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	ended := make(chan struct{})
	go func() {
		if err := server.Serve(listener); err == http.ErrServerClosed {
			close(ended)
		}
	}()
	<-ctx.Done()
	stop()
	fmt.Println("shutting down")
	limit, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		log.Fatal(err)
	}
	<-ended
	fmt.Println("all requests have been answered")
}
