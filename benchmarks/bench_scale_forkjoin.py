"""A tree of 131,071 goroutines: each starts two, down to the sixteenth level, and adds up what they send.

ns per goroutine.
"""

from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.workload import Metric, Workload

if TYPE_CHECKING:
    from gopy import Chan

LEVELS = 16


def halves(size: int) -> tuple[int, int]:
    """How many goroutines are to be below each child of a tree of so many."""
    return (size - 1) // 2, size // 2


def with_gopy(n: int) -> float:
    from gopy import Chan, go

    def node(size: int, result: "Chan[int]") -> None:
        if size <= 1:
            result.send(size)
            return
        sums: Chan[int] = Chan()
        for half in halves(size):
            go(node, half, sums)
        result.send(1 + sums.recv() + sums.recv())

    result: Chan[int] = Chan()
    start = perf_counter()
    go(node, n, result)
    assert result.recv() == n
    return perf_counter() - start


def with_gopy_async(n: int) -> float:
    from gopy import Chan, go

    async def node(size: int, result: "Chan[int]") -> None:
        if size <= 1:
            await result.asend(size)
            return
        sums: Chan[int] = Chan()
        for half in halves(size):
            go(node, half, sums)
        await result.asend(1 + await sums.arecv() + await sums.arecv())

    result: Chan[int] = Chan()
    start = perf_counter()
    go(node, n, result)
    assert result.recv() == n
    return perf_counter() - start


WORKLOAD = Workload(
    title="a tree of {n:,} goroutines, each of which waits for its two children",
    metrics=(Metric(unit="ns", what="goroutine"),),
    versions={"gopy": with_gopy, "gopy, async": with_gopy_async},
    n=2 ** (LEVELS + 1) - 1,
    quick_n=2**13 - 1,
    in_quick=False,
    parallel=True,
)
