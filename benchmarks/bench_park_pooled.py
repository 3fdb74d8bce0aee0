"""Batches of 100 goroutines: each parks once, is woken and finishes, on a worker that an earlier batch left.

ns per goroutine: spawn, one buffered send and receive (see bench_park_many), park, wake, finish.
"""

from time import perf_counter

from benchmarks.workload import Metric, Target, Workload

BATCH = 100


def with_gopy(n: int) -> float:
    from gopy import Chan, go, runtime

    tokens: Chan[None] = Chan(BATCH)

    def wait(gate: Chan[None]) -> None:
        tokens.send(None)
        gate.recv()
        tokens.recv()

    start = perf_counter()
    for _ in range(n // BATCH):
        gate: Chan[None] = Chan()
        for _ in range(BATCH):
            go(wait, gate)
        while len(tokens) < BATCH:
            runtime.gosched()
        gate.close()
        while len(tokens):
            runtime.gosched()
    return perf_counter() - start


def with_gevent(n: int) -> float:
    import gevent
    from gevent.event import Event

    start = perf_counter()
    for _ in range(n // BATCH):
        gate = Event()
        greenlets = [gevent.spawn(gate.wait) for _ in range(BATCH)]
        gevent.sleep(0)
        gate.set()
        gevent.joinall(greenlets)
    return perf_counter() - start


def with_asyncio(n: int) -> float:
    import asyncio

    async def main() -> float:
        start = perf_counter()
        for _ in range(n // BATCH):
            gate = asyncio.Event()
            tasks = [asyncio.create_task(gate.wait()) for _ in range(BATCH)]
            await asyncio.sleep(0)
            gate.set()
            await asyncio.wait(tasks)
        return perf_counter() - start

    return asyncio.run(main())


def with_trio(n: int) -> float:
    import trio

    async def main() -> float:
        start = perf_counter()
        for _ in range(n // BATCH):
            gate = trio.Event()
            async with trio.open_nursery() as nursery:
                for _ in range(BATCH):
                    nursery.start_soon(gate.wait)
                for _ in range(2):  # trio shuffles those that are ready: after the second, all had their turn
                    await trio.lowlevel.checkpoint()
                gate.set()
        return perf_counter() - start

    return trio.run(main)


def with_runloom(n: int) -> float:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def main() -> float:
        tokens = runloom.Chan(BATCH)

        def wait(gate: runloom.Chan) -> None:
            tokens.send(None)
            gate.recv()
            tokens.recv()

        start = perf_counter()
        for _ in range(n // BATCH):
            gate = runloom.Chan()
            for _ in range(BATCH):
                runloom.fiber(wait, gate)
            while len(tokens) < BATCH:
                runloom.yield_now()
            gate.close()
            while len(tokens):
                runloom.yield_now()
        return perf_counter() - start

    return on_hubs(main)


WORKLOAD = Workload(
    title="a goroutine parks once, on a pooled worker",
    metrics=(Metric(unit="ns", what="goroutine", targets=(Target(1_000),)),),
    versions={
        "gopy": with_gopy,
        "gevent": with_gevent,
        "asyncio": with_asyncio,
        "trio": with_trio,
        "runloom": with_runloom,
    },
    step=BATCH,
    parallel=True,
)
