"""10,000 stackless goroutines that compute a little and pass a value on, in turn.

ns per goroutine. Without a GIL it measures how well steps are spread over the cores. The constants are small
for the reason that cpu_parallel gives.
"""

from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.workload import Metric, Target, Workload

if TYPE_CHECKING:
    from gopy import Chan


def compute(x: int) -> int:
    for i in range(200):
        x = (x * 31 + i) % 251
    return x


async def work(mine: "Chan[int]", done: "Chan[int]") -> None:
    x = 1
    for _ in range(5):
        await mine.asend(compute(x))
        x = await mine.arecv()
    await done.asend(x)


def with_gopy(n: int) -> float:
    from gopy import Chan, go

    done: Chan[int] = Chan(n)
    start = perf_counter()
    for _ in range(n):
        go(work, Chan(1), done)
    for _ in range(n):
        done.recv()
    return perf_counter() - start


WORKLOAD = Workload(
    title="{n:,} `async def` goroutines that compute and use channels in turn",
    metrics=(
        Metric(
            unit="ns", what="goroutine", targets=(Target(1 / 1.8, peer="gopy", regimes=("free-threaded",)),)
        ),
    ),
    versions={"gopy": with_gopy},
    n=10_000,
    quick_n=2_000,
    in_go=False,
)
