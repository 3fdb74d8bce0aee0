"""6,400 jobs, a goroutine each.

ns per job, from the first `go` until the last result has come.
"""

from time import perf_counter

from benchmarks.workload import Metric, Workload


def job(x: int) -> int:
    for i in range(1_000):
        x = (x * 31 + i) % 251
    return x


def with_gopy(n: int) -> float:
    from gopy import Chan, go

    results: Chan[int] = Chan()

    def work(x: int) -> None:
        results.send(job(x))

    start = perf_counter()
    for i in range(n):
        go(work, i % 251)
    for _ in range(n):
        results.recv()
    return perf_counter() - start


def with_gopy_async(n: int) -> float:
    from gopy import Chan, go

    results: Chan[int] = Chan()

    async def work(x: int) -> None:
        await results.asend(job(x))

    start = perf_counter()
    for i in range(n):
        go(work, i % 251)
    for _ in range(n):
        results.recv()
    return perf_counter() - start


WORKLOAD = Workload(
    title="{n:,} jobs, a goroutine each",
    metrics=(Metric(unit="ns", what="job"),),
    versions={"gopy": with_gopy, "gopy, async": with_gopy_async},
    n=6_400,
    quick_n=640,
    in_quick=False,
    parallel=True,
)
