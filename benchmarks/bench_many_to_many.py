"""Four producers send on one unbuffered channel, four consumers receive.

ns per value. On two cores every value may have to cross from one to the other.
"""

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.workload import Metric, Target, Workload

if TYPE_CHECKING:
    from gopy import Chan

SIDE = 4


def timed(produce: Callable[[], Any], consume: Callable[[], Any], done: "Chan[None]") -> float:
    from gopy import go

    start = perf_counter()
    for _ in range(SIDE):
        go(produce)
        go(consume)
    for _ in range(SIDE):
        done.recv()
    return perf_counter() - start


def with_gopy(n: int) -> float:
    from gopy import Chan

    values: Chan[int] = Chan()
    done: Chan[None] = Chan()

    def produce() -> None:
        for i in range(n // SIDE):
            values.send(i)

    def consume() -> None:
        for _ in range(n // SIDE):
            values.recv()
        done.send(None)

    return timed(produce, consume, done)


def with_gopy_async(n: int) -> float:
    from gopy import Chan

    values: Chan[int] = Chan()
    done: Chan[None] = Chan()

    async def produce() -> None:
        for i in range(n // SIDE):
            await values.asend(i)

    async def consume() -> None:
        for _ in range(n // SIDE):
            await values.arecv()
        await done.asend(None)

    return timed(produce, consume, done)


def with_threads(n: int) -> float:
    """A queue without a bound: SimpleQueue knows no other."""
    from queue import SimpleQueue
    from threading import Thread

    values: SimpleQueue[int] = SimpleQueue()

    def produce() -> None:
        for i in range(n // SIDE):
            values.put(i)

    def consume() -> None:
        for _ in range(n // SIDE):
            values.get()

    threads = [Thread(target=work) for _ in range(SIDE) for work in (produce, consume)]
    start = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return perf_counter() - start


def with_runloom(n: int) -> float:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def main() -> float:
        values, done = runloom.Chan(), runloom.Chan()

        def produce() -> None:
            for i in range(n // SIDE):
                values.send(i)

        def consume() -> None:
            for _ in range(n // SIDE):
                values.recv()
            done.send(None)

        start = perf_counter()
        for _ in range(SIDE):
            runloom.fiber(produce)
            runloom.fiber(consume)
        for _ in range(SIDE):
            done.recv()
        return perf_counter() - start

    return on_hubs(main)


WORKLOAD = Workload(
    title="4 producers and 4 consumers, unbuffered",
    metrics=(Metric(unit="ns", what="value", targets=(Target(2_000, regimes=("free-threaded",)),)),),
    versions={
        "gopy": with_gopy,
        "gopy, async": with_gopy_async,
        "threads": with_threads,
        "runloom": with_runloom,
    },
    step=SIDE,
)
