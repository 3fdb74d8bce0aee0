"""100,000 goroutines sleep at once, each until a random time within 50 ms of its start.

ns per sleep, from the first `go` until the last has finished: they are spawned, put into the heap, taken out
of it and woken, and the processor is never idle for long. The times are the same in every version.
"""

from collections.abc import Callable
from time import perf_counter

from benchmarks.workload import Metric, Target, Workload


def seconds(i: int) -> float:
    return (i * 7919 % 50_021) * 1e-6


def sleepers(n: int, seconds: Callable[[int], float], clock: Callable[[], float]) -> float:
    """What the clock counts while n goroutines of gopy sleep, the i-th for seconds(i)."""
    from gopy import Chan, go
    from gopy.time import sleep

    start = clock()
    done: Chan[None] = Chan(n)

    def nap(i: int) -> None:
        sleep(seconds(i))
        done.send(None)

    for i in range(n):
        go(nap, i)
    for _ in range(n):
        done.recv()
    return clock() - start


def with_gopy(n: int) -> float:
    return sleepers(n, seconds, perf_counter)


def with_gevent(n: int) -> float:
    import gevent

    start = perf_counter()
    greenlets = [gevent.spawn(gevent.sleep, seconds(i)) for i in range(n)]
    gevent.joinall(greenlets)
    return perf_counter() - start


def with_asyncio(n: int) -> float:
    import asyncio

    async def main() -> float:
        start = perf_counter()
        tasks = [asyncio.create_task(asyncio.sleep(seconds(i))) for i in range(n)]
        await asyncio.wait(tasks)
        return perf_counter() - start

    return asyncio.run(main())


WORKLOAD = Workload(
    title="{n:,} goroutines sleep at once, until random times within 50 ms",
    metrics=(Metric(unit="ns", what="sleep", targets=(Target(1 / 3, peer="asyncio"),)),),
    versions={"gopy": with_gopy, "gevent": with_gevent, "asyncio": with_asyncio},
    n=100_000,
    quick_n=20_000,
)
