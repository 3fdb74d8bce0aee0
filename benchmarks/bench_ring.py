"""A token goes round a ring of 1,000 goroutines, the main one among them, on unbuffered channels.

ns per hop. Building the ring is not timed.
"""

from itertools import pairwise
from time import perf_counter

from benchmarks.workload import Metric, Target, Workload

NODES = 1_000


def with_gopy(n: int) -> float:
    from gopy import Chan, RecvChan, SendChan, go

    def node(left: RecvChan[int], right: SendChan[int]) -> None:
        for token in left:
            right.send(token)
        right.close()

    links: list[Chan[int]] = [Chan() for _ in range(NODES)]
    for left, right in pairwise(links):
        go(node, left, right)
    links[0].send(0)
    links[-1].recv()  # everyone has started

    start = perf_counter()
    for lap in range(n // NODES):
        links[0].send(lap)
        links[-1].recv()
    elapsed = perf_counter() - start
    links[0].close()
    links[-1].recv_ok()  # everyone has finished
    return elapsed


def with_gevent(n: int) -> float:
    import gevent
    from gevent.queue import Channel

    laps = n // NODES

    def node(left: Channel, right: Channel) -> None:
        for _ in range(laps + 1):
            right.put(left.get())

    links = [Channel() for _ in range(NODES)]
    for left, right in pairwise(links):
        gevent.spawn(node, left, right)
    links[0].put(0)
    links[-1].get()

    start = perf_counter()
    for lap in range(laps):
        links[0].put(lap)
        links[-1].get()
    return perf_counter() - start


def with_asyncio(n: int) -> float:
    """asyncio has no rendezvous: queues of one element."""
    import asyncio

    laps = n // NODES

    async def main() -> float:
        async def node(left: asyncio.Queue[int], right: asyncio.Queue[int]) -> None:
            for _ in range(laps + 1):
                await right.put(await left.get())

        links: list[asyncio.Queue[int]] = [asyncio.Queue(1) for _ in range(NODES)]
        tasks = [asyncio.create_task(node(*pair)) for pair in pairwise(links)]
        await links[0].put(0)
        await links[-1].get()

        start = perf_counter()
        for lap in range(laps):
            await links[0].put(lap)
            await links[-1].get()
        elapsed = perf_counter() - start
        await asyncio.wait(tasks)
        return elapsed

    return asyncio.run(main())


def with_trio(n: int) -> float:
    import trio

    laps = n // NODES

    async def main() -> float:
        async def node(left: trio.MemoryReceiveChannel[int], right: trio.MemorySendChannel[int]) -> None:
            async for token in left:
                await right.send(token)
            await right.aclose()

        links = [trio.open_memory_channel[int](0) for _ in range(NODES)]
        async with trio.open_nursery() as nursery:
            for (_, left), (right, _) in pairwise(links):
                nursery.start_soon(node, left, right)
            first, last = links[0][0], links[-1][1]
            await first.send(0)
            await last.receive()

            start = perf_counter()
            for lap in range(laps):
                await first.send(lap)
                await last.receive()
            elapsed = perf_counter() - start
            await first.aclose()
            return elapsed

    return trio.run(main)


def with_runloom(n: int) -> float:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def main() -> float:
        def node(left: runloom.Chan, right: runloom.Chan) -> None:
            for token in left:
                right.send(token)
            right.close()

        links = [runloom.Chan() for _ in range(NODES)]
        for left, right in pairwise(links):
            runloom.fiber(node, left, right)
        links[0].send(0)
        links[-1].recv()

        start = perf_counter()
        for lap in range(n // NODES):
            links[0].send(lap)
            links[-1].recv()
        elapsed = perf_counter() - start
        links[0].close()
        return elapsed

    return on_hubs(main)


WORKLOAD = Workload(
    title="a token round a ring of 1,000 goroutines",
    metrics=(Metric(unit="ns", what="hop", targets=(Target(3, peer="go"),)),),
    versions={
        "gopy": with_gopy,
        "gevent": with_gevent,
        "asyncio": with_asyncio,
        "trio": with_trio,
        "runloom": with_runloom,
    },
    step=NODES,
)
