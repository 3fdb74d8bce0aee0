"""50,000 goroutines sleep at once, each until a random time within 0.3 s of its start.

ns of CPU time per sleep, of all threads together: the cores that have nothing to do must not spend any.
"""

from time import process_time

from benchmarks.bench_sleep_many import sleepers
from benchmarks.workload import Metric, Workload


def seconds(i: int) -> float:
    return (i * 7919 % 300_007) * 1e-6


def with_gopy(n: int) -> float:
    return sleepers(n, seconds, process_time)


def with_gopy_async(n: int) -> float:
    from gopy import Chan, go
    from gopy.time import asleep

    start = process_time()
    done: Chan[None] = Chan(n)

    async def nap(i: int) -> None:
        await asleep(seconds(i))
        await done.asend(None)

    for i in range(n):
        go(nap, i)
    for _ in range(n):
        done.recv()
    return process_time() - start


WORKLOAD = Workload(
    title="{n:,} goroutines sleep at once, until random times within 0.3 s: CPU time",
    metrics=(Metric(unit="ns", what="sleep, of CPU time"),),
    versions={"gopy": with_gopy, "gopy, async": with_gopy_async},
    n=50_000,
    quick_n=5_000,
    in_quick=False,
    parallel=True,
)
