"""32 pairs of goroutines, each of which plays ping-pong over two unbuffered channels of its own.

ns per round trip, all pairs' together.
"""

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.workload import Metric, Workload

if TYPE_CHECKING:
    from gopy import Chan

PAIRS = 32


def timed(ping: Callable[..., Any], pong: Callable[..., Any], trips: int) -> float:
    from gopy import Chan, go

    done: Chan[None] = Chan(PAIRS)
    start = perf_counter()
    for _ in range(PAIRS):
        there: Chan[int] = Chan()
        back: Chan[int] = Chan()
        go(pong, there, back)
        go(ping, there, back, trips, done)
    for _ in range(PAIRS):
        done.recv()
    return perf_counter() - start


def with_gopy(n: int) -> float:
    def ping(there: "Chan[int]", back: "Chan[int]", trips: int, done: "Chan[None]") -> None:
        for i in range(trips):
            there.send(i)
            back.recv()
        there.close()
        done.send(None)

    def pong(there: "Chan[int]", back: "Chan[int]") -> None:
        for value in there:
            back.send(value)

    return timed(ping, pong, n // PAIRS)


def with_gopy_async(n: int) -> float:
    async def ping(there: "Chan[int]", back: "Chan[int]", trips: int, done: "Chan[None]") -> None:
        for i in range(trips):
            await there.asend(i)
            await back.arecv()
        there.close()
        await done.asend(None)

    async def pong(there: "Chan[int]", back: "Chan[int]") -> None:
        async for value in there:
            await back.asend(value)

    return timed(ping, pong, n // PAIRS)


WORKLOAD = Workload(
    title="32 pairs that play ping-pong",
    metrics=(Metric(unit="ns", what="round trip"),),
    versions={"gopy": with_gopy, "gopy, async": with_gopy_async},
    step=PAIRS,
    in_quick=False,
    parallel=True,
)
