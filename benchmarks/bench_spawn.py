"""Spawn 100,000 goroutines, each of which sends one value on a buffered channel, and receive them all.

ns per goroutine, from the first `go` until the last value is in. All are given one function, made before: a
bound method for each goroutine, and the collections that they cause, would be measured with it.
"""

from time import perf_counter

from benchmarks.workload import Metric, Target, Workload


def with_gopy(n: int) -> float:
    from gopy import Chan, go

    start = perf_counter()
    done: Chan[int] = Chan(n)
    send = done.send
    for i in range(n):
        go(send, i)
    for _ in range(n):
        done.recv()
    return perf_counter() - start


def with_gevent(n: int) -> float:
    import gevent
    from gevent.queue import SimpleQueue

    start = perf_counter()
    done = SimpleQueue()
    put = done.put
    for i in range(n):
        gevent.spawn(put, i)
    for _ in range(n):
        done.get()
    return perf_counter() - start


def with_asyncio(n: int) -> float:
    import asyncio

    async def main() -> float:
        async def work(i: int) -> None:
            done.put_nowait(i)

        start = perf_counter()
        done: asyncio.Queue[int] = asyncio.Queue()
        tasks = [asyncio.create_task(work(i)) for i in range(n)]  # asyncio keeps no reference of its own
        for _ in range(n):
            await done.get()
        elapsed = perf_counter() - start
        await asyncio.wait(tasks)
        return elapsed

    return asyncio.run(main())


def with_trio(n: int) -> float:
    import trio

    async def main() -> float:
        start = perf_counter()
        sender, receive = trio.open_memory_channel[int](n)
        send = sender.send
        async with trio.open_nursery() as nursery:
            for i in range(n):
                nursery.start_soon(send, i)
            for _ in range(n):
                await receive.receive()
            return perf_counter() - start

    return trio.run(main)


def with_threads(n: int) -> float:
    from queue import SimpleQueue
    from threading import Thread

    start = perf_counter()
    done: SimpleQueue[int] = SimpleQueue()
    put = done.put
    for i in range(n):
        Thread(target=put, args=(i,)).start()
    for _ in range(n):
        done.get()
    return perf_counter() - start


def with_runloom(n: int) -> float:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def main() -> float:
        start = perf_counter()
        done = runloom.Chan(n)
        send = done.send
        for i in range(n):
            runloom.fiber(send, i)
        for _ in range(n):
            done.recv()
        return perf_counter() - start

    return on_hubs(main)


WORKLOAD = Workload(
    title="spawn and finish, counted through a channel, {n:,} in one go",
    metrics=(
        Metric(unit="ns", what="goroutine", targets=(Target(0.5, peer="go"), Target(0.05, peer="asyncio"))),
    ),
    versions={
        "gopy": with_gopy,
        "gevent": with_gevent,
        "asyncio": with_asyncio,
        "trio": with_trio,
        "threads": with_threads,
        "runloom": with_runloom,
    },
    n=100_000,
    quick_n=20_000,
    n_for={"threads": 1_000, "runloom": 10_000},
    scales="spawn and finish",
    parallel=True,
)
