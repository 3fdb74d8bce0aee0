"""Resident memory of a stackless goroutine that is parked in a receive.

Bytes per goroutine, once all are parked.
"""

from benchmarks.bench_memory import resident, with_asyncio
from benchmarks.workload import Metric, Target, Workload


def with_gopy(n: int) -> float:
    from gopy import Chan, go, time

    gate: Chan[None] = Chan()
    parked = 0

    async def wait() -> None:
        nonlocal parked
        parked += 1
        await gate.arecv()

    before = resident()
    for _ in range(n):
        go(wait)
    while parked < n:
        time.sleep(0.001)
    grown = resident() - before
    gate.close()
    return grown


WORKLOAD = Workload(
    title="resident memory of a parked `async def` goroutine",
    metrics=(Metric(unit="bytes", what="goroutine", targets=(Target(1024),)),),
    versions={"gopy": with_gopy, "asyncio": with_asyncio},
    n=100_000,
    quick_n=10_000,
    cold=True,
    go_program="memory",
)
