"""Dining philosophers: five at a round table, a fork between each two, and nobody may starve.

Whoever takes forks in any order may wait for ever, each holding one and asking for the next. Here everyone
takes the fork with the lower number first, so that there is always one who can take both.
"""

from gopy import Defer, deferring, runtime, sync

MEALS = 20

NAMES = ["Hypatia", "Confucius", "Avicenna", "Hildegard", "Spinoza"]


class Table:
    """Knows who is eating, so that it can tell when neighbours do."""

    def __init__(self) -> None:
        self.mu = sync.Mutex()
        self.eating = [False] * 5
        self.eaten = [0] * 5
        self.neighbours = 0

    def begin(self, seat: int) -> None:
        with self.mu:
            if self.eating[(seat + 1) % 5] or self.eating[(seat + 4) % 5]:
                self.neighbours += 1
            self.eating[seat] = True

    def end(self, seat: int) -> None:
        with self.mu:
            self.eating[seat] = False
            self.eaten[seat] += 1


@deferring
def dine(defer: Defer, t: Table, seat: int, first: sync.Mutex, second: sync.Mutex) -> None:
    first.lock()
    defer(first.unlock)
    runtime.gosched()  # holding one fork: the moment when it goes wrong, if it can
    second.lock()
    defer(second.unlock)
    t.begin(seat)
    defer(t.end, seat)
    runtime.gosched()  # eating


def main() -> None:
    t = Table()
    forks = [sync.Mutex() for _ in range(5)]

    def philosopher(seat: int, first: sync.Mutex, second: sync.Mutex) -> None:
        for _ in range(MEALS):
            dine(t, seat, first, second)
            runtime.gosched()  # thinking

    wg = sync.WaitGroup()
    for seat in range(5):
        first, second = forks[seat], forks[(seat + 1) % 5]
        if seat == 4:
            first, second = second, first
        wg.go(philosopher, seat, first, second)
    wg.wait()

    for seat, name in enumerate(NAMES):
        print(name, "has eaten", t.eaten[seat], "times")
    print("neighbours who ate at the same time:", t.neighbours)


if __name__ == "__main__":
    main()
