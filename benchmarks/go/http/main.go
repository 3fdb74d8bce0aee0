// An HTTP server on 127.0.0.1. Prints its port as JSON.
//
// It is not run by itself, as the other programs here are: see benchmarks/under_load.py.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
)

type answer struct {
	Message string `json:"message"`
	Items   []int  `json:"items"`
	Ok      bool   `json:"ok"`
}

func hello(w http.ResponseWriter, r *http.Request) {
	w.Write([]byte("hello world\n"))
}

func asJSON(w http.ResponseWriter, r *http.Request) {
	items := []int{}
	for i := range 10 {
		items = append(items, i)
	}
	body, _ := json.Marshal(answer{"hello", items, true})
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", hello)
	mux.HandleFunc("GET /json", asJSON)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("{\"port\": %d}\n", listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, mux))
}
