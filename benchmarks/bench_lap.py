"""A token goes once round a ring of 100,000 goroutines, the main one among them, on unbuffered channels.

ns per hop: a value handed to a goroutine that has not run for as long as all the others took. Building the
ring is not timed. (bench_ring goes round a ring of 1,000, again and again.)
"""

from itertools import pairwise
from time import perf_counter

from benchmarks.workload import Metric, Workload


def with_gopy(n: int) -> float:
    from gopy import Chan, RecvChan, SendChan, go

    def node(left: RecvChan[int], right: SendChan[int]) -> None:
        for token in left:
            right.send(token)
        right.close()

    links: list[Chan[int]] = [Chan() for _ in range(n)]
    for left, right in pairwise(links):
        go(node, left, right)
    links[0].send(0)
    links[-1].recv()  # everyone has started

    start = perf_counter()
    links[0].send(1)
    links[-1].recv()
    elapsed = perf_counter() - start
    links[0].close()
    links[-1].recv_ok()  # everyone has finished
    return elapsed


def with_gevent(n: int) -> float:
    import gevent
    from gevent.queue import Channel

    def node(left: Channel, right: Channel) -> None:
        right.put(left.get())
        right.put(left.get())

    links = [Channel() for _ in range(n)]
    for left, right in pairwise(links):
        gevent.spawn(node, left, right)
    links[0].put(0)
    links[-1].get()

    start = perf_counter()
    links[0].put(1)
    links[-1].get()
    return perf_counter() - start


def with_asyncio(n: int) -> float:
    """asyncio has no rendezvous: queues of one element."""
    import asyncio

    async def main() -> float:
        async def node(left: asyncio.Queue[int], right: asyncio.Queue[int]) -> None:
            await right.put(await left.get())
            await right.put(await left.get())

        links: list[asyncio.Queue[int]] = [asyncio.Queue(1) for _ in range(n)]
        tasks = [asyncio.create_task(node(*pair)) for pair in pairwise(links)]
        await links[0].put(0)
        await links[-1].get()

        start = perf_counter()
        await links[0].put(1)
        await links[-1].get()
        elapsed = perf_counter() - start
        await asyncio.wait(tasks)
        return elapsed

    return asyncio.run(main())


def with_trio(n: int) -> float:
    import trio

    async def main() -> float:
        async def node(left: trio.MemoryReceiveChannel[int], right: trio.MemorySendChannel[int]) -> None:
            await right.send(await left.receive())
            await right.send(await left.receive())

        links = [trio.open_memory_channel[int](0) for _ in range(n)]
        async with trio.open_nursery() as nursery:
            for (_, left), (right, _) in pairwise(links):
                nursery.start_soon(node, left, right)
            first, last = links[0][0], links[-1][1]
            await first.send(0)
            await last.receive()

            start = perf_counter()
            await first.send(1)
            await last.receive()
            return perf_counter() - start

    return trio.run(main)


def with_runloom(n: int) -> float:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def main() -> float:
        def node(left: runloom.Chan, right: runloom.Chan) -> None:
            for token in left:
                right.send(token)
            right.close()

        links = [runloom.Chan() for _ in range(n)]
        for left, right in pairwise(links):
            runloom.fiber(node, left, right)
        links[0].send(0)
        links[-1].recv()

        start = perf_counter()
        links[0].send(1)
        links[-1].recv()
        elapsed = perf_counter() - start
        links[0].close()
        return elapsed

    return on_hubs(main)


WORKLOAD = Workload(
    title="a token once round a ring of {n:,} goroutines",
    metrics=(Metric(unit="ns", what="hop"),),
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
    step=2,  # a ring of one has nobody to receive
    scales="channel hop",
)
