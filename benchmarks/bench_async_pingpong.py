"""The round trip of bench_pingpong.py between two stackless goroutines.

ns per round trip: two values handed over, two steps.
"""

from time import perf_counter

from benchmarks.bench_pingpong import with_asyncio
from benchmarks.workload import Metric, Target, Workload


def with_gopy(n: int) -> float:
    from gopy import Chan, go

    ping: Chan[int] = Chan()
    pong: Chan[int] = Chan()

    async def ask() -> None:
        for i in range(n):
            await ping.asend(i)
            await pong.arecv()

    async def echo() -> None:
        for _ in range(n):
            await pong.asend(await ping.arecv())

    start = perf_counter()
    go(echo)
    go(ask).join()
    return perf_counter() - start


WORKLOAD = Workload(
    title="unbuffered round trip between two `async def` goroutines",
    metrics=(
        Metric(
            unit="ns", what="round trip", targets=(Target(1.3, peer="go"), Target(1 / 15, peer="asyncio"))
        ),
    ),
    versions={"gopy": with_gopy, "asyncio": with_asyncio},
    go_program="pingpong",
)
