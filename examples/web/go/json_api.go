// A JSON API over a store that a mutex guards.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sort"
	"strconv"
	"sync"
)

type item struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

type itemStore struct {
	mutex sync.Mutex // guards the rest
	items map[int]item
	last  int
}

func (s *itemStore) add(name string) item {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.last++
	s.items[s.last] = item{s.last, name}
	return s.items[s.last]
}

func (s *itemStore) get(number int) (item, bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	it, ok := s.items[number]
	return it, ok
}

func (s *itemStore) delete(number int) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	_, ok := s.items[number]
	delete(s.items, number)
	return ok
}

func (s *itemStore) all() []item {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	all := []item{}
	for _, it := range s.items {
		all = append(all, it)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].ID < all[j].ID })
	return all
}

var store = itemStore{items: map[int]item{}}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}

func listItems(w http.ResponseWriter, r *http.Request) {
	answer(w, 200, store.all())
}

func addItem(w http.ResponseWriter, r *http.Request) {
	var wanted struct{ Name *string }
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil || wanted.Name == nil {
		http.Error(w, "an object with a name is wanted", 400)
		return
	}
	answer(w, 201, store.add(*wanted.Name))
}

func numberOf(r *http.Request) int {
	number, _ := strconv.Atoi(r.PathValue("id"))
	return number
}

func getItem(w http.ResponseWriter, r *http.Request) {
	it, ok := store.get(numberOf(r))
	if !ok {
		http.Error(w, "no such item", 404)
		return
	}
	answer(w, 200, it)
}

func deleteItem(w http.ResponseWriter, r *http.Request) {
	if !store.delete(numberOf(r)) {
		http.Error(w, "no such item", 404)
		return
	}
	w.WriteHeader(204)
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items", listItems)
	mux.HandleFunc("POST /items", addItem)
	mux.HandleFunc("GET /items/{id}", getItem)
	mux.HandleFunc("DELETE /items/{id}", deleteItem)
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
