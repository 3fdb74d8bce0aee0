"""64 workers take 6,400 jobs from one channel and send the results on another.

ns per job.
"""

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.bench_scale_jobs import job
from benchmarks.workload import Metric, Workload

if TYPE_CHECKING:
    from gopy import Chan

WORKERS = 64


def timed(n: int, worker: Callable[[], Any], jobs: "Chan[int]", results: "Chan[int]") -> float:
    from gopy import go

    def feed() -> None:
        for i in range(n):
            jobs.send(i % 251)
        jobs.close()

    start = perf_counter()
    for _ in range(WORKERS):
        go(worker)
    go(feed)
    for _ in range(n):
        results.recv()
    return perf_counter() - start


def with_gopy(n: int) -> float:
    from gopy import Chan

    jobs: Chan[int] = Chan()
    results: Chan[int] = Chan()

    def worker() -> None:
        for x in jobs:
            results.send(job(x))

    return timed(n, worker, jobs, results)


def with_gopy_async(n: int) -> float:
    from gopy import Chan

    jobs: Chan[int] = Chan()
    results: Chan[int] = Chan()

    async def worker() -> None:
        async for x in jobs:
            await results.asend(job(x))

    return timed(n, worker, jobs, results)


WORKLOAD = Workload(
    title="{n:,} jobs for 64 workers, by one channel",
    metrics=(Metric(unit="ns", what="job"),),
    versions={"gopy": with_gopy, "gopy, async": with_gopy_async},
    n=6_400,
    quick_n=640,
    in_quick=False,
    parallel=True,
)
