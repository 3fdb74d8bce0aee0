"""16 producers send on one channel with room for 128 values, 16 consumers receive.

ns per value. All cores want the one channel, so more of them gain nothing, in Go neither.
"""

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.workload import Metric, Workload

if TYPE_CHECKING:
    from gopy import Chan

SIDE, ROOM = 16, 128


def timed(produce: Callable[..., Any], consume: Callable[..., Any], each: int) -> float:
    from gopy import Chan, go

    values: Chan[int] = Chan(ROOM)
    done: Chan[None] = Chan()
    start = perf_counter()
    for _ in range(SIDE):
        go(produce, values, each)
        go(consume, values, each, done)
    for _ in range(SIDE):
        done.recv()
    return perf_counter() - start


def with_gopy(n: int) -> float:
    def produce(values: "Chan[int]", each: int) -> None:
        for i in range(each):
            values.send(i)

    def consume(values: "Chan[int]", each: int, done: "Chan[None]") -> None:
        for _ in range(each):
            values.recv()
        done.send(None)

    return timed(produce, consume, n // SIDE)


def with_gopy_async(n: int) -> float:
    async def produce(values: "Chan[int]", each: int) -> None:
        for i in range(each):
            await values.asend(i)

    async def consume(values: "Chan[int]", each: int, done: "Chan[None]") -> None:
        for _ in range(each):
            await values.arecv()
        await done.asend(None)

    return timed(produce, consume, n // SIDE)


WORKLOAD = Workload(
    title="16 producers and 16 consumers, one buffered channel",
    metrics=(Metric(unit="ns", what="value"),),
    versions={"gopy": with_gopy, "gopy, async": with_gopy_async},
    step=SIDE,
    in_quick=False,
    parallel=True,
)
