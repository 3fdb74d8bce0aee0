// web_crawler visits every page of a site that can be reached from its first one, and tells which links are broken.
//
//	web_crawler HOST:PORT
//
// A goroutine for each page; tokens in a channel see to it that no more than four connections are open. Only main
// knows which pages have been seen.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

type page struct {
	name, status, title string
	links               []string
}

var (
	titles = regexp.MustCompile(`<title>(.*?)</title>`)
	hrefs  = regexp.MustCompile(`href="(.*?)"`)
)

// fetch asks for one page and reads the answer to its end.
func fetch(address, name string) (string, string, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return "", "", err
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", name, address)
	if err != nil {
		return "", "", err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return "", "", err
	}
	head, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	return strings.Fields(head)[1], body, nil
}

// visit fetches a page when a token is free, and sends what it found there.
func visit(address, name string, tokens chan bool, found chan<- page) {
	tokens <- true
	defer func() { <-tokens }()
	status, body, err := fetch(address, name)
	if err != nil {
		found <- page{name: name, status: "error: " + err.Error()}
		return
	}
	p := page{name: name, status: status}
	if title := titles.FindStringSubmatch(body); status == "200" && title != nil {
		p.title = title[1]
		for _, href := range hrefs.FindAllStringSubmatch(body, -1) {
			if link, _, _ := strings.Cut(href[1], "#"); link != "" && !strings.Contains(link, ":") {
				if link[0] != '/' {
					link = path.Join(path.Dir(name), link)
				}
				p.links = append(p.links, link)
			}
		}
	}
	found <- p
}

func main() {
	address := os.Args[1]
	tokens := make(chan bool, 4)
	found := make(chan page)
	seen := map[string]bool{"/": true}
	pending := 1
	go visit(address, "/", tokens, found)

	var pages []page
	for ; pending > 0; pending-- {
		p := <-found
		pages = append(pages, p)
		for _, link := range p.links {
			if !seen[link] {
				seen[link] = true
				pending++
				go visit(address, link, tokens, found)
			}
		}
	}

	// Pages were found in any order.
	slices.SortFunc(pages, func(a, b page) int { return strings.Compare(a.name, b.name) })
	broken := make(map[string]bool)
	for _, p := range pages {
		if p.status == "200" {
			fmt.Printf("%s: %s, %d links\n", p.name, p.title, len(p.links))
		} else {
			broken[p.name] = true
			fmt.Printf("%s: %s\n", p.name, p.status)
		}
	}
	for _, p := range pages {
		for _, link := range p.links {
			if broken[link] {
				fmt.Println("broken link:", p.name, "->", link)
			}
		}
	}
}
