"""bench_spawn.py with stackless goroutines: each sends one value on a buffered channel.

ns per goroutine, from the first `go` until the last value is in.
"""

from time import perf_counter

from benchmarks.bench_spawn import with_asyncio
from benchmarks.workload import Metric, Target, Workload


def with_gopy(n: int) -> float:
    from gopy import Chan, go

    async def work(i: int) -> None:
        await done.asend(i)

    start = perf_counter()
    done: Chan[int] = Chan(n)
    for i in range(n):
        go(work, i)
    for _ in range(n):
        done.recv()
    return perf_counter() - start


WORKLOAD = Workload(
    title="spawn and finish an `async def` goroutine, {n:,} in one go",
    metrics=(Metric(unit="ns", what="goroutine", targets=(Target(1 / 8, peer="asyncio"),)),),
    versions={"gopy": with_gopy, "asyncio": with_asyncio},
    n=100_000,
    quick_n=20_000,
    go_program="spawn",
)
