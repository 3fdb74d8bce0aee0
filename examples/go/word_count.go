// word_count counts the words of a text, on all cores.
//
//	word_count [-n TIMES] [-t] FILE
//
// Readers are goroutines, one for each core. Each counts the parts that it gets in a table of its own, so that
// they never wait for each other, and main adds up the tables. -n counts a longer text, the same one several
// times; -t tells on stderr how long it took.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode"
)

const pieces = 64

// split cuts the text into parts of about the same size, at the ends of lines.
func split(text string) []string {
	var list []string
	size := len(text)/pieces + 1
	for len(text) > size {
		end := size + strings.IndexByte(text[size:], '\n') + 1
		if end == size { // there is no further line
			break
		}
		list = append(list, text[:end])
		text = text[end:]
	}
	return append(list, text)
}

func count(text string, table map[string]int) {
	notLetter := func(r rune) bool { return !unicode.IsLetter(r) }
	for _, word := range strings.FieldsFunc(strings.ToLower(text), notLetter) {
		table[word]++
	}
}

func reader(texts <-chan string, tables chan<- map[string]int) {
	table := make(map[string]int)
	for text := range texts {
		count(text, table)
	}
	tables <- table
}

func main() {
	times := flag.Int("n", 1, "count the text so many times")
	timed := flag.Bool("t", false, "tell how long it took")
	flag.Parse()
	data, err := os.ReadFile(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}

	start := time.Now()
	parts := split(string(data))
	texts := make(chan string, *times*len(parts))
	for range *times {
		for _, text := range parts {
			texts <- text
		}
	}
	close(texts)

	tables := make(chan map[string]int)
	readers := runtime.GOMAXPROCS(0)
	for range readers {
		go reader(texts, tables)
	}
	total := make(map[string]int)
	for range readers {
		for word, n := range <-tables {
			total[word] += n
		}
	}
	if *timed {
		fmt.Fprintf(os.Stderr, "%d readers: %.3f s\n", readers, time.Since(start).Seconds())
	}

	words := make([]string, 0, len(total))
	sum := 0
	for word, n := range total {
		words = append(words, word)
		sum += n
	}
	slices.SortFunc(words, func(a, b string) int { // the most frequent first, then by the alphabet
		return cmp.Or(cmp.Compare(total[b], total[a]), cmp.Compare(a, b))
	})
	fmt.Println(sum, "words,", len(words), "different ones")
	for _, word := range words[:20] {
		fmt.Println(total[word], word)
	}
}
