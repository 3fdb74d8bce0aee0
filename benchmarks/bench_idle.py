"""10,000 goroutines are parked and 8 Ps have nothing to do.

The CPU time that the process takes, as a share of one core's, over three seconds.
"""

from time import perf_counter, process_time

from benchmarks.workload import Metric, Target, Workload

SECONDS = 3


def with_gopy(n: int) -> float:
    from gopy import Chan, go, runtime, time

    runtime.GOMAXPROCS(8)
    gate: Chan[None] = Chan()
    parked: Chan[None] = Chan(n)

    def wait() -> None:
        parked.send(None)
        gate.recv()

    for _ in range(n):
        go(wait)
    for _ in range(n):
        parked.recv()
    time.sleep(0.2)  # seconds, for the last of them to park, and for the Ms to find nothing to do
    start, cpu = perf_counter(), process_time()
    time.sleep(SECONDS)
    share = (process_time() - cpu) / (perf_counter() - start)
    gate.close()
    return share


def with_asyncio(n: int) -> float:
    import asyncio

    async def main() -> float:
        gate = asyncio.Event()
        tasks = [asyncio.create_task(gate.wait()) for _ in range(n)]
        await asyncio.sleep(0.2)
        start, cpu = perf_counter(), process_time()
        await asyncio.sleep(SECONDS)
        share = (process_time() - cpu) / (perf_counter() - start)
        gate.set()
        await asyncio.wait(tasks)
        return share

    return asyncio.run(main())


WORKLOAD = Workload(
    title="CPU of a process with {n:,} parked goroutines and 8 Ps",
    metrics=(Metric(unit="ratio", what="core", targets=(Target(0.005, regimes=("gil", "free-threaded")),)),),
    versions={"gopy": with_gopy, "asyncio": with_asyncio},
    n=10_000,
    cold=True,
    in_go=False,
    in_uvloop=False,
    in_quick=False,
)
