"""Measure a round trip: two goroutines on unbuffered channels, beside two OS threads on queues.

    python examples/ping_pong.py

One side sends a ping and waits for the pong, again and again. Between two goroutines on one OS thread each
message is a switch of greenlets; between two threads the kernel must put one to sleep and wake the other.
"""

import argparse
import queue
import statistics
import threading
import time
from collections.abc import Callable

from gopy import Chan, go, runtime


def goroutines(rounds: int) -> float:
    """Seconds for so many round trips between two goroutines."""
    ping: Chan[int] = Chan()
    pong: Chan[int] = Chan()
    took: Chan[float] = Chan()

    def pinger() -> None:
        start = time.perf_counter()
        for i in range(rounds):
            ping.send(i)
            pong.recv()
        took.send(time.perf_counter() - start)
        ping.close()

    def ponger() -> None:
        for i in ping:
            pong.send(i)

    go(ponger)
    go(pinger)
    return took.recv()


def threads(rounds: int) -> float:
    """Seconds for so many round trips between two OS threads."""
    ping: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    pong: queue.SimpleQueue[int] = queue.SimpleQueue()
    took: queue.SimpleQueue[float] = queue.SimpleQueue()

    def pinger() -> None:
        start = time.perf_counter()
        for i in range(rounds):
            ping.put(i)
            pong.get()
        took.put(time.perf_counter() - start)
        ping.put(None)

    def ponger() -> None:
        while (i := ping.get()) is not None:
            pong.put(i)

    pair = [threading.Thread(target=ponger), threading.Thread(target=pinger)]
    for thread in pair:
        thread.start()
    for thread in pair:
        thread.join()
    return took.get()


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Round trips between two goroutines, and between two OS threads."
    )
    parser.add_argument(
        "rounds", type=int, nargs="?", default=20_000, help="per measurement (default: %(default)s)"
    )
    rounds = parser.parse_args().rounds
    if rounds < 1:
        parser.error("rounds must be at least 1")

    def median_ns(measure: Callable[[int], float]) -> float:
        return statistics.median(measure(rounds) for _ in range(5)) / rounds * 1e9

    print(f"{rounds} round trips, median of 5 runs, GOMAXPROCS={runtime.GOMAXPROCS()}")
    goroutine_ns, thread_ns = median_ns(goroutines), median_ns(threads)
    print(f"two goroutines  {goroutine_ns:8.0f} ns per round trip")
    print(f"two OS threads  {thread_ns:8.0f} ns per round trip, {thread_ns / goroutine_ns:.1f} times as long")


if __name__ == "__main__":
    main()
