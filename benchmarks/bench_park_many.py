"""100,000 goroutines park once each; when all are parked, all at once, they are woken and finish.

ns per goroutine, from the first `go` until the last has finished. A goroutine leaves a token in
a buffered channel before it parks and takes one out when it has been woken, so the length of that channel
tells when all are parked and when all have finished.
"""

from time import perf_counter

from benchmarks.workload import Metric, Target, Workload


def with_gopy(n: int) -> float:
    from gopy import Chan, go, runtime

    start = perf_counter()
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
    return perf_counter() - start


def with_gevent(n: int) -> float:
    import gevent
    from gevent.event import Event

    start = perf_counter()
    gate = Event()
    greenlets = [gevent.spawn(gate.wait) for _ in range(n)]
    gevent.sleep(0)  # all that are ready get their turn first: here they park
    gate.set()
    gevent.joinall(greenlets)
    return perf_counter() - start


def with_asyncio(n: int) -> float:
    import asyncio

    async def main() -> float:
        start = perf_counter()
        gate = asyncio.Event()
        tasks = [asyncio.create_task(gate.wait()) for _ in range(n)]
        await asyncio.sleep(0)  # all that are ready get their turn first: here they park
        gate.set()
        await asyncio.wait(tasks)
        return perf_counter() - start

    return asyncio.run(main())


def with_trio(n: int) -> float:
    import trio
    import trio.testing

    async def main() -> float:
        start = perf_counter()
        gate = trio.Event()
        async with trio.open_nursery() as nursery:
            for _ in range(n):
                nursery.start_soon(gate.wait)
            await trio.testing.wait_all_tasks_blocked()
            gate.set()
        return perf_counter() - start

    return trio.run(main)


def with_runloom(n: int) -> float:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def main() -> float:
        start = perf_counter()
        gate, tokens = runloom.Chan(), runloom.Chan(n)

        def wait() -> None:
            tokens.send(None)
            gate.recv()
            tokens.recv()

        for _ in range(n):
            runloom.fiber(wait)
        while len(tokens) < n:
            runloom.yield_now()
        gate.close()
        while len(tokens):
            runloom.yield_now()
        return perf_counter() - start

    return on_hubs(main)


WORKLOAD = Workload(
    title="{n:,} goroutines park once, all alive at once, then finish",
    metrics=(
        Metric(unit="ns", what="goroutine", targets=(Target(4, peer="go"), Target(1 / 3, peer="gevent"))),
    ),
    versions={
        "gopy": with_gopy,
        "gevent": with_gevent,
        "asyncio": with_asyncio,
        "trio": with_trio,
        "runloom": with_runloom,
    },
    n=100_000,
    quick_n=10_000,
    n_for={"runloom": 10_000},
    scales="park and wake",
)
