"""Print the first N primes with the concurrent prime sieve, the classic of Go's tutorials.

    python examples/prime_sieve.py 20

Each prime found adds a goroutine that drops its multiples, so the N-th number to come through has passed N
goroutines on its way: a chain of unbuffered channels that does nothing but communicate.
"""

import argparse
import itertools
import signal

from gopy import Chan, RecvChan, SendChan, go


def generate(numbers: SendChan[int]) -> None:
    """Send 2, 3, 4, ... for ever."""
    for number in itertools.count(2):
        numbers.send(number)


def sieve(numbers: RecvChan[int], rest: SendChan[int], prime: int) -> None:
    """Pass on what prime does not divide."""
    for number in numbers:
        if number % prime:
            rest.send(number)


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the first N primes, found by N goroutines in a row.")
    parser.add_argument(
        "n", metavar="N", type=int, nargs="?", default=100, help="how many (default: %(default)s)"
    )
    n = parser.parse_args().n
    if n < 0:
        parser.error("N must not be negative")

    numbers: Chan[int] = Chan()
    go(generate, numbers)
    for _ in range(n):
        prime = numbers.recv()
        print(prime)
        rest: Chan[int] = Chan()
        go(sieve, numbers, rest, prime)
        numbers = rest
    # All goroutines are still at it. As in Go, the program ends when its main goroutine does.


if __name__ == "__main__":
    for signum in signal.SIGINT, signal.SIGPIPE:  # Ctrl-C and `| head` end it without a traceback
        signal.signal(signum, signal.SIG_DFL)
    main()
