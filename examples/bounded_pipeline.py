"""A bounded pipeline: stages joined by channels, a few goroutines in the costly one, and a way out.

    puzzles --> solvers (4) --> main

A puzzle is to find the number after which the SHA-256 digest of a text begins with a zero byte. When main has
seen enough it closes done, and whoever is about to send gives up: no goroutine is left behind.
"""

import hashlib
from typing import NamedTuple

from gopy import Chan, Defer, RecvChan, SendChan, atomic, deferring, go, recv, runtime, select, send, sync

SOLVERS = 4


class Solution(NamedTuple):
    puzzle: int
    number: int


running = atomic.Int32()  # goroutines of the pipeline that have not ended
busy = atomic.Int32()  # solvers at work
crowded = atomic.Bool()  # whether there were too many of them at once


def puzzles(done: RecvChan[None], n: int) -> RecvChan[int]:
    """Send 0, 1, ... up to n."""
    out: Chan[int] = Chan()
    running.add(1)

    @go
    @deferring
    def _(defer: Defer) -> None:
        defer(running.add, -1)
        defer(out.close)
        for puzzle in range(n):
            match select(send(out, puzzle), recv(done)):
                case (1, _, _):
                    return

    return out


@deferring
def solve(defer: Defer, puzzle: int) -> Solution:
    if busy.add(1) > SOLVERS:
        crowded.store(True)
    defer(busy.add, -1)
    number = 0
    while True:
        digest = hashlib.sha256(b"puzzle %d: %d" % (puzzle, number)).digest()
        if digest[0] == 0:
            return Solution(puzzle, number)
        number += 1


@deferring
def solver(defer: Defer, done: RecvChan[None], source: RecvChan[int], out: SendChan[Solution]) -> None:
    """Solve what comes in."""
    defer(running.add, -1)
    for puzzle in source:
        match select(send(out, solve(puzzle)), recv(done)):
            case (1, _, _):
                return


def pipeline(done: RecvChan[None], n: int) -> RecvChan[Solution]:
    """Join the stages. What is returned is closed when all solvers have ended."""
    source = puzzles(done, n)
    out: Chan[Solution] = Chan()
    wg = sync.WaitGroup()
    running.add(SOLVERS)
    for _ in range(SOLVERS):
        wg.go(solver, done, source, out)

    @go
    def _() -> None:
        wg.wait()
        out.close()

    return out


def main() -> None:
    n = 24

    # To the end: solutions come in any order.
    done: Chan[None] = Chan()
    numbers = [0] * n
    for s in pipeline(done, n):
        numbers[s.puzzle] = s.number
    for puzzle, number in enumerate(numbers):
        print("puzzle", puzzle, "is solved by", number)
    if not crowded.load():
        print("never more than", SOLVERS, "at once")

    # Or only until there are five, of puzzles without end.
    enough = 0
    out = pipeline(done, 1_000_000)
    for _ in out:
        enough += 1
        if enough == 5:
            break
    done.close()
    for _ in out:  # closed when the last solver has ended
        pass
    print("stopped after", enough, "solutions")
    while running.load() > 0:  # the sender of puzzles may be a moment behind
        runtime.gosched()
    print("goroutines left:", running.load())


if __name__ == "__main__":
    main()
