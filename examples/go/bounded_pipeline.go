// bounded_pipeline: stages joined by channels, a few goroutines in the costly one, and a way out.
//
//	puzzles --> solvers (4) --> main
//
// A puzzle is to find the number after which the SHA-256 digest of a text begins with a zero byte. When main
// has seen enough it closes done, and whoever is about to send gives up: no goroutine is left behind.
package main

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

const solvers = 4

type solution struct {
	puzzle, number int
}

var (
	running atomic.Int32 // goroutines of the pipeline that have not ended
	busy    atomic.Int32 // solvers at work
	crowded atomic.Bool  // whether there were too many of them at once
)

// puzzles sends 0, 1, ... up to n.
func puzzles(done <-chan struct{}, n int) <-chan int {
	out := make(chan int)
	running.Add(1)
	go func() {
		defer running.Add(-1)
		defer close(out)
		for puzzle := range n {
			select {
			case out <- puzzle:
			case <-done:
				return
			}
		}
	}()
	return out
}

func solve(puzzle int) solution {
	if busy.Add(1) > solvers {
		crowded.Store(true)
	}
	defer busy.Add(-1)
	for number := 0; ; number++ {
		digest := sha256.Sum256(fmt.Appendf(nil, "puzzle %d: %d", puzzle, number))
		if digest[0] == 0 {
			return solution{puzzle, number}
		}
	}
}

// solver solves what comes in.
func solver(done <-chan struct{}, in <-chan int, out chan<- solution) {
	defer running.Add(-1)
	for puzzle := range in {
		select {
		case out <- solve(puzzle):
		case <-done:
			return
		}
	}
}

// pipeline joins the stages. What it returns is closed when all solvers have ended.
func pipeline(done <-chan struct{}, n int) <-chan solution {
	in := puzzles(done, n)
	out := make(chan solution)
	var wg sync.WaitGroup
	running.Add(solvers)
	for range solvers {
		wg.Go(func() { solver(done, in, out) })
	}
	go func() {
		wg.Wait()
		close(out)
	}()
	return out
}

func main() {
	const n = 24

	// To the end: solutions come in any order.
	done := make(chan struct{})
	numbers := make([]int, n)
	for s := range pipeline(done, n) {
		numbers[s.puzzle] = s.number
	}
	for puzzle, number := range numbers {
		fmt.Println("puzzle", puzzle, "is solved by", number)
	}
	if !crowded.Load() {
		fmt.Println("never more than", solvers, "at once")
	}

	// Or only until there are five, of puzzles without end.
	enough := 0
	out := pipeline(done, 1_000_000)
	for range out {
		enough++
		if enough == 5 {
			break
		}
	}
	close(done)
	for range out { // closed when the last solver has ended
	}
	fmt.Println("stopped after", enough, "solutions")
	for running.Load() > 0 { // the sender of puzzles may be a moment behind
		runtime.Gosched()
	}
	fmt.Println("goroutines left:", running.Load())
}
