"""Atomic counters: many goroutines count together, without a lock."""

from gopy import atomic, sync


def main() -> None:
    clicks = atomic.Uint64()
    clock = atomic.Uint32()
    clock.store((1 << 32) - 10)

    wg = sync.WaitGroup()

    def click() -> None:
        for _ in range(500):
            clicks.add(1)
        clock.add(1)

    for _ in range(20):
        wg.go(click)
    wg.wait()
    print("clicks:", clicks.load())
    print("a counter of 32 bits has wrapped around to", clock.load())

    # Exactly one of many may go first.
    first = atomic.Bool()
    winners = atomic.Int32()

    def race() -> None:
        if first.compare_and_swap(False, True):
            winners.add(1)

    for _ in range(20):
        wg.go(race)
    wg.wait()
    print("winners:", winners.load())


if __name__ == "__main__":
    main()
