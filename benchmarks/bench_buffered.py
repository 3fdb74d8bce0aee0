"""One goroutine sends on a channel with room for one value, then receives it. Nobody waits.

ns per send and receive together.
"""

from time import perf_counter

from benchmarks.workload import Metric, Target, Workload


def with_gopy(n: int) -> float:
    from gopy import Chan

    ch: Chan[int] = Chan(1)
    start = perf_counter()
    for i in range(n):
        ch.send(i)
        ch.recv()
    return perf_counter() - start


def with_simplequeue(n: int) -> float:
    from queue import SimpleQueue

    queue: SimpleQueue[int] = SimpleQueue()
    start = perf_counter()
    for i in range(n):
        queue.put(i)
        queue.get()
    return perf_counter() - start


def with_gevent(n: int) -> float:
    from gevent.queue import SimpleQueue

    queue = SimpleQueue()
    start = perf_counter()
    for i in range(n):
        queue.put(i)
        queue.get()
    return perf_counter() - start


def with_asyncio(n: int) -> float:
    import asyncio

    async def main() -> float:
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        start = perf_counter()
        for i in range(n):
            await queue.put(i)
            await queue.get()
        return perf_counter() - start

    return asyncio.run(main())


def with_trio(n: int) -> float:
    import trio

    async def main() -> float:
        send, receive = trio.open_memory_channel[int](1)
        start = perf_counter()
        for i in range(n):
            await send.send(i)
            await receive.receive()
        return perf_counter() - start

    return trio.run(main)


def with_runloom(n: int) -> float:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def main() -> float:
        ch = runloom.Chan(1)
        start = perf_counter()
        for i in range(n):
            ch.send(i)
            ch.recv()
        return perf_counter() - start

    return on_hubs(main)


WORKLOAD = Workload(
    title="buffered send and receive in one goroutine",
    metrics=(
        Metric(unit="ns", what="pair", targets=(Target(1.2, peer="go"), Target(0.5, peer="SimpleQueue"))),
    ),
    versions={
        "gopy": with_gopy,
        "SimpleQueue": with_simplequeue,
        "gevent": with_gevent,
        "asyncio": with_asyncio,
        "trio": with_trio,
        "runloom": with_runloom,
    },
    in_uvloop=False,  # nobody waits, so no event loop has anything to do
)
