"""Park 1,000,000 goroutines on one channel, all at once, wake them all, and wait until they have finished.

Three numbers: ns per goroutine from the first `go` until the last has finished, bytes of resident memory per
goroutine at the peak, and resident memory ten seconds afterwards in relation to that at the start, each after
a collection, which empties Python's free lists.
"""

import gc
import resource
from time import perf_counter

from benchmarks.bench_memory import resident
from benchmarks.workload import Metric, Target, Workload

SETTLE = 1e-5  # seconds a goroutine, for what is given back in the background


def peak() -> int:
    """The most bytes that were ever resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def settled() -> int:
    gc.collect()
    return resident()


def with_gopy(n: int) -> tuple[float, float, float]:
    from gopy import Chan, go, runtime, time

    def park_and_finish() -> None:
        gate: Chan[None] = Chan()
        tokens: Chan[None] = Chan(n)

        def wait() -> None:
            tokens.send(None)
            gate.recv()
            tokens.recv()

        for _ in range(n):
            go(wait)
        while len(tokens) < n:
            runtime.gosched()
        gate.close()
        while len(tokens):
            runtime.gosched()

    before = settled()
    start = perf_counter()
    park_and_finish()
    elapsed = perf_counter() - start
    time.sleep(n * SETTLE)
    return elapsed, peak() - before, settled() / before


def with_asyncio(n: int) -> tuple[float, float, float]:
    import asyncio

    async def park_and_finish() -> None:
        gate = asyncio.Event()
        tasks = [asyncio.create_task(gate.wait()) for _ in range(n)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.wait(tasks)

    async def main() -> tuple[float, float, float]:
        before = settled()
        start = perf_counter()
        await park_and_finish()
        elapsed = perf_counter() - start
        await asyncio.sleep(n * SETTLE)
        return elapsed, peak() - before, settled() / before

    return asyncio.run(main())


def with_trio(n: int) -> tuple[float, float, float]:
    import trio
    import trio.testing

    async def park_and_finish() -> None:
        gate = trio.Event()
        async with trio.open_nursery() as nursery:
            for _ in range(n):
                nursery.start_soon(gate.wait)
            await trio.testing.wait_all_tasks_blocked()
            gate.set()

    async def main() -> tuple[float, float, float]:
        before = settled()
        start = perf_counter()
        await park_and_finish()
        elapsed = perf_counter() - start
        await trio.sleep(n * SETTLE)
        return elapsed, peak() - before, settled() / before

    return trio.run(main)


WORKLOAD = Workload(
    title="{n:,} goroutines parked on one channel at once, then finished",
    metrics=(
        Metric(unit="ns", what="goroutine"),
        Metric(unit="bytes", what="goroutine at the peak"),
        Metric(unit="ratio", what="memory afterwards / at the start", targets=(Target(1.1),)),
    ),
    versions={"gopy": with_gopy, "asyncio": with_asyncio, "trio": with_trio},
    n=1_000_000,
    cold=True,
    in_quick=False,
    runs=3,
    needs_bytes=9 << 30,
    timeout=180,
)
