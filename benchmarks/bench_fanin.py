"""Eight producers send on one unbuffered channel, one consumer receives.

ns per value.
"""

from time import perf_counter

from benchmarks.workload import Metric, Target, Workload

PRODUCERS = 8


def with_gopy(n: int) -> float:
    from gopy import Chan, go

    values: Chan[int] = Chan()

    def produce() -> None:
        for i in range(n // PRODUCERS):
            values.send(i)

    start = perf_counter()
    for _ in range(PRODUCERS):
        go(produce)
    for _ in range(n):
        values.recv()
    return perf_counter() - start


def with_gevent(n: int) -> float:
    import gevent
    from gevent.queue import Channel

    values = Channel()

    def produce() -> None:
        for i in range(n // PRODUCERS):
            values.put(i)

    start = perf_counter()
    for _ in range(PRODUCERS):
        gevent.spawn(produce)
    for _ in range(n):
        values.get()
    return perf_counter() - start


def with_asyncio(n: int) -> float:
    """asyncio has no rendezvous: a queue of one element."""
    import asyncio

    async def main() -> float:
        values: asyncio.Queue[int] = asyncio.Queue(1)

        async def produce() -> None:
            for i in range(n // PRODUCERS):
                await values.put(i)

        start = perf_counter()
        tasks = [asyncio.create_task(produce()) for _ in range(PRODUCERS)]
        for _ in range(n):
            await values.get()
        elapsed = perf_counter() - start
        await asyncio.wait(tasks)
        return elapsed

    return asyncio.run(main())


def with_trio(n: int) -> float:
    import trio

    async def main() -> float:
        send, receive = trio.open_memory_channel[int](0)

        async def produce() -> None:
            for i in range(n // PRODUCERS):
                await send.send(i)

        async with trio.open_nursery() as nursery:
            start = perf_counter()
            for _ in range(PRODUCERS):
                nursery.start_soon(produce)
            for _ in range(n):
                await receive.receive()
            return perf_counter() - start

    return trio.run(main)


def with_threads(n: int) -> float:
    """A queue without a bound: SimpleQueue knows no other."""
    from queue import SimpleQueue
    from threading import Thread

    values: SimpleQueue[int] = SimpleQueue()

    def produce() -> None:
        for i in range(n // PRODUCERS):
            values.put(i)

    start = perf_counter()
    for _ in range(PRODUCERS):
        Thread(target=produce).start()
    for _ in range(n):
        values.get()
    return perf_counter() - start


def with_runloom(n: int) -> float:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def main() -> float:
        values = runloom.Chan()

        def produce() -> None:
            for i in range(n // PRODUCERS):
                values.send(i)

        start = perf_counter()
        for _ in range(PRODUCERS):
            runloom.fiber(produce)
        for _ in range(n):
            values.recv()
        return perf_counter() - start

    return on_hubs(main)


WORKLOAD = Workload(
    title="fan-in from 8 producers to one consumer, unbuffered",
    metrics=(Metric(unit="ns", what="value", targets=(Target(3, peer="go"),)),),
    versions={
        "gopy": with_gopy,
        "gevent": with_gevent,
        "asyncio": with_asyncio,
        "trio": with_trio,
        "threads": with_threads,
        "runloom": with_runloom,
    },
    step=PRODUCERS,
)
