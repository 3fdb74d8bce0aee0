// prime_sieve prints the first N primes with the concurrent prime sieve.
//
// Each prime found adds a goroutine that drops its multiples, so the N-th number to come through has passed N
// goroutines on its way: a chain of unbuffered channels that does nothing but communicate.
package main

import (
	"fmt"
	"os"
	"strconv"
)

// generate sends 2, 3, 4, ... for ever.
func generate(numbers chan<- int) {
	for number := 2; ; number++ {
		numbers <- number
	}
}

// sieve passes on what prime does not divide.
func sieve(numbers <-chan int, rest chan<- int, prime int) {
	for number := range numbers {
		if number%prime != 0 {
			rest <- number
		}
	}
}

func main() {
	n := 100
	if len(os.Args) > 1 {
		n, _ = strconv.Atoi(os.Args[1])
	}

	numbers := make(chan int)
	go generate(numbers)
	for range n {
		prime := <-numbers
		fmt.Println(prime)
		rest := make(chan int)
		go sieve(numbers, rest, prime)
		numbers = rest
	}
	// All goroutines are still at it. The program ends when its main goroutine does.
}
