"""One goroutine sends on an unbuffered channel, another receives and answers on a second one.

ns per round trip: two values handed over, two switches.
"""

from time import perf_counter

from benchmarks.workload import Metric, Target, Workload


def with_gopy(n: int) -> float:
    from gopy import Chan, go

    ping: Chan[int] = Chan()
    pong: Chan[int] = Chan()

    def echo() -> None:
        for value in ping:
            pong.send(value)

    go(echo)
    start = perf_counter()
    for i in range(n):
        ping.send(i)
        pong.recv()
    elapsed = perf_counter() - start
    ping.close()
    return elapsed


def with_gevent(n: int) -> float:
    import gevent
    from gevent.queue import Channel

    ping, pong = Channel(), Channel()

    def echo() -> None:
        for _ in range(n):
            pong.put(ping.get())

    echoer = gevent.spawn(echo)
    start = perf_counter()
    for i in range(n):
        ping.put(i)
        pong.get()
    elapsed = perf_counter() - start
    echoer.join()
    return elapsed


def with_asyncio(n: int) -> float:
    """asyncio has no rendezvous: queues of one element."""
    import asyncio

    async def main() -> float:
        ping: asyncio.Queue[int] = asyncio.Queue(1)
        pong: asyncio.Queue[int] = asyncio.Queue(1)

        async def echo() -> None:
            for _ in range(n):
                await pong.put(await ping.get())

        echoer = asyncio.create_task(echo())
        start = perf_counter()
        for i in range(n):
            await ping.put(i)
            await pong.get()
        elapsed = perf_counter() - start
        await echoer
        return elapsed

    return asyncio.run(main())


def with_trio(n: int) -> float:
    import trio

    async def main() -> float:
        send_ping, receive_ping = trio.open_memory_channel[int](0)
        send_pong, receive_pong = trio.open_memory_channel[int](0)

        async def echo() -> None:
            async for value in receive_ping:
                await send_pong.send(value)

        async with trio.open_nursery() as nursery, send_ping:
            nursery.start_soon(echo)
            start = perf_counter()
            for i in range(n):
                await send_ping.send(i)
                await receive_pong.receive()
            return perf_counter() - start

    return trio.run(main)


def with_threads(n: int) -> float:
    from queue import SimpleQueue
    from threading import Thread

    ping: SimpleQueue[int] = SimpleQueue()
    pong: SimpleQueue[int] = SimpleQueue()

    def echo() -> None:
        for _ in range(n):
            pong.put(ping.get())

    echoer = Thread(target=echo)
    echoer.start()
    start = perf_counter()
    for i in range(n):
        ping.put(i)
        pong.get()
    elapsed = perf_counter() - start
    echoer.join()
    return elapsed


def with_runloom(n: int) -> float:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def main() -> float:
        ping, pong = runloom.Chan(), runloom.Chan()

        def echo() -> None:
            for value in ping:
                pong.send(value)

        runloom.fiber(echo)
        start = perf_counter()
        for i in range(n):
            ping.send(i)
            pong.recv()
        elapsed = perf_counter() - start
        ping.close()
        return elapsed

    return on_hubs(main)


WORKLOAD = Workload(
    title="unbuffered round trip between two goroutines",
    metrics=(
        Metric(
            unit="ns",
            what="round trip",
            targets=(
                Target(1.4, peer="go"),
                Target(1 / 8, peer="gevent"),
                Target(1.3, peer="gopy", regimes=("free-threaded",)),
            ),
        ),
    ),
    versions={
        "gopy": with_gopy,
        "gevent": with_gevent,
        "asyncio": with_asyncio,
        "trio": with_trio,
        "threads": with_threads,
        "runloom": with_runloom,
    },
)
