"""10,000 goroutines count to ten under one mutex.

ns per lock, count and unlock, starting the goroutines included.
"""

from time import perf_counter

from benchmarks.workload import Metric, Target, Workload

GOROUTINES = 10_000


class Counter:
    value = 0


def with_gopy(n: int) -> float:
    from gopy.sync import Mutex, WaitGroup

    mutex, counter, wg = Mutex(), Counter(), WaitGroup()

    def count() -> None:
        for _ in range(n // GOROUTINES):
            with mutex:
                counter.value += 1

    start = perf_counter()
    for _ in range(GOROUTINES):
        wg.go(count)
    wg.wait()
    elapsed = perf_counter() - start
    assert counter.value == n // GOROUTINES * GOROUTINES
    return elapsed


def with_gopy_async(n: int) -> float:
    from gopy import go
    from gopy.sync import Mutex, WaitGroup

    mutex, counter, wg = Mutex(), Counter(), WaitGroup()

    async def count() -> None:
        for _ in range(n // GOROUTINES):
            async with mutex:
                counter.value += 1
        wg.done()

    start = perf_counter()
    wg.add(GOROUTINES)
    for _ in range(GOROUTINES):
        go(count)
    wg.wait()
    elapsed = perf_counter() - start
    assert counter.value == n // GOROUTINES * GOROUTINES
    return elapsed


def with_asyncio(n: int) -> float:
    import asyncio

    counter = Counter()

    async def count(lock: asyncio.Lock) -> None:
        for _ in range(n // GOROUTINES):
            async with lock:
                counter.value += 1

    async def main() -> float:
        lock = asyncio.Lock()
        start = perf_counter()
        await asyncio.gather(*(count(lock) for _ in range(GOROUTINES)))
        return perf_counter() - start

    return asyncio.run(main())


def with_runloom(n: int) -> float:
    import runloom
    import runloom.sync

    from benchmarks.runloom_root import on_hubs

    def main() -> float:
        mutex, counter, done = runloom.sync.Lock(), Counter(), runloom.Chan(GOROUTINES)

        def count() -> None:
            for _ in range(n // GOROUTINES):
                with mutex:
                    counter.value += 1
            done.send(None)

        start = perf_counter()
        for _ in range(GOROUTINES):
            runloom.fiber(count)
        for _ in range(GOROUTINES):
            done.recv()
        return perf_counter() - start

    return on_hubs(main)


WORKLOAD = Workload(
    title="10,000 goroutines on one mutex",
    metrics=(Metric(unit="ns", what="operation", targets=(Target(2_000, regimes=("free-threaded",)),)),),
    versions={
        "gopy": with_gopy,
        "gopy, async": with_gopy_async,
        "asyncio": with_asyncio,
        "runloom": with_runloom,
    },
    n=100_000,
    step=GOROUTINES,
)
