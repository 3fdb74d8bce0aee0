"""Two who wake each other by the standard library's queue.Queue and threading.Event, in a patched program.

ns per hand-over: an item put and got while the other waits for it; an event set and waited for.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter

from benchmarks.patched import Run, patched
from benchmarks.workload import Metric, Target, Workload


def seconds(run: Run, one: Callable[[], None], other: Callable[[], None]) -> float:
    start = perf_counter()
    run(lambda i: other() if i else one(), 2)
    return perf_counter() - start


def by_queue(run: Run, n: int) -> float:
    import queue

    there: queue.Queue[int] = queue.Queue()
    back: queue.Queue[int] = queue.Queue()

    def one() -> None:
        for i in range(n // 2):
            there.put(i)
            back.get()

    def other() -> None:
        for i in range(n // 2):
            there.get()
            back.put(i)

    return seconds(run, one, other)


def by_event(run: Run, n: int) -> float:
    import threading

    there, back = threading.Event(), threading.Event()

    def turn(mine: threading.Event, other: threading.Event) -> None:
        for _ in range(n // 2):
            mine.wait()
            mine.clear()
            other.set()

    def first() -> None:
        back.set()
        turn(there, back)

    return seconds(run, first, lambda: turn(back, there))


def hand_over(peer: str, n: int) -> tuple[float, float]:
    run = patched(peer)
    return by_queue(run, n), by_event(run, n)


WORKLOAD = Workload(
    title="hand-overs by queue.Queue and threading.Event, patched",
    metrics=(
        Metric(unit="ns", what="hand-over by a Queue", targets=(Target(0.5, peer="gevent"),)),
        Metric(unit="ns", what="hand-over by an Event", targets=(Target(0.5, peer="gevent"),)),
    ),
    versions={peer: partial(hand_over, peer) for peer in ("gopy", "gevent", "threads")},
    step=2,
    in_go=False,
)
