"""Waiting for the user blocks one goroutine, not the others: a clock ticks while you type.

    python examples/terminal_ticker.py

input() blocks its OS thread, in C. blocking() calls it on a thread of its own and parks only the goroutine
that wants the answer. The clock is in the title of the terminal's window. An empty line, Ctrl-D or Ctrl-C
ends the program.
"""

import sys

from gopy import Chan, blocking, go, recv, select, time
from gopy.atomic import Int64

ticks = Int64()


def tick(quit: Chan[None]) -> None:
    ticker = time.Ticker(0.1)
    while select(recv(ticker.c), recv(quit))[0] == 0:
        n = ticks.add(1)
        if sys.stderr.isatty():
            print(f"\033]0;{n / 10:.1f} s\007", end="", file=sys.stderr, flush=True)
    ticker.stop()


def main() -> None:
    quit: Chan[None] = Chan()
    clock = go(tick, quit)
    while True:
        before = ticks.load()
        try:
            line = blocking(input, "Type something: ")
        except EOFError:
            break
        if not line:
            break
        print(f"{len(line)} characters, and {ticks.load() - before} ticks of the clock meanwhile.")
    quit.close()
    clock.join()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
