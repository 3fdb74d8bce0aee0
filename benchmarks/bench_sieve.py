"""The concurrent prime sieve: a chain of goroutines, one a prime, each of which filters out its multiples.

ns per number sieved, for the numbers up to 3,600 (503 primes, some 150,000 values handed over). Unlike the
original, the chain is closed from its head at the end, so that every goroutine finishes.
"""

from time import perf_counter

from benchmarks.workload import Metric, Target, Workload


def with_gopy(n: int) -> float:
    from gopy import Chan, RecvChan, SendChan, go

    def generate(ch: SendChan[int]) -> None:
        for i in range(2, n + 1):
            ch.send(i)
        ch.close()

    def sift(left: RecvChan[int], right: SendChan[int], prime: int) -> None:
        for i in left:
            if i % prime:
                right.send(i)
        right.close()

    start = perf_counter()
    ch: Chan[int] = Chan()
    go(generate, ch)
    while True:
        prime, ok = ch.recv_ok()
        if not ok:
            return perf_counter() - start
        right: Chan[int] = Chan()
        go(sift, ch, right, prime)
        ch = right


def with_gevent(n: int) -> float:
    import gevent
    from gevent.queue import Channel

    def generate(ch: Channel) -> None:
        for i in range(2, n + 1):
            ch.put(i)
        ch.put(0)

    def sift(left: Channel, right: Channel, prime: int) -> None:
        while i := left.get():
            if i % prime:
                right.put(i)
        right.put(0)

    start = perf_counter()
    ch = Channel()
    gevent.spawn(generate, ch)
    while prime := ch.get():
        right = Channel()
        gevent.spawn(sift, ch, right, prime)
        ch = right
    return perf_counter() - start


def with_asyncio(n: int) -> float:
    """asyncio has no rendezvous: queues of one element."""
    import asyncio

    async def main() -> float:
        async def generate(ch: asyncio.Queue[int]) -> None:
            for i in range(2, n + 1):
                await ch.put(i)
            await ch.put(0)

        async def sift(left: asyncio.Queue[int], right: asyncio.Queue[int], prime: int) -> None:
            while i := await left.get():
                if i % prime:
                    await right.put(i)
            await right.put(0)

        start = perf_counter()
        ch: asyncio.Queue[int] = asyncio.Queue(1)
        tasks = [asyncio.create_task(generate(ch))]
        while prime := await ch.get():
            right: asyncio.Queue[int] = asyncio.Queue(1)
            tasks.append(asyncio.create_task(sift(ch, right, prime)))
            ch = right
        elapsed = perf_counter() - start
        await asyncio.wait(tasks)
        return elapsed

    return asyncio.run(main())


def with_trio(n: int) -> float:
    import trio

    async def main() -> float:
        async def generate(ch: trio.MemorySendChannel[int]) -> None:
            async with ch:
                for i in range(2, n + 1):
                    await ch.send(i)

        async def sift(
            left: trio.MemoryReceiveChannel[int], right: trio.MemorySendChannel[int], prime: int
        ) -> None:
            async with right:
                async for i in left:
                    if i % prime:
                        await right.send(i)

        async with trio.open_nursery() as nursery:
            start = perf_counter()
            send, receive = trio.open_memory_channel[int](0)
            nursery.start_soon(generate, send)
            while True:
                try:
                    prime = await receive.receive()
                except trio.EndOfChannel:
                    return perf_counter() - start
                left = receive
                send, receive = trio.open_memory_channel[int](0)
                nursery.start_soon(sift, left, send, prime)

    return trio.run(main)


def with_runloom(n: int) -> float:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def generate(ch: runloom.Chan) -> None:
        for i in range(2, n + 1):
            ch.send(i)
        ch.close()

    def sift(left: runloom.Chan, right: runloom.Chan, prime: int) -> None:
        for i in left:
            if i % prime:
                right.send(i)
        right.close()

    def main() -> float:
        start = perf_counter()
        ch = runloom.Chan()
        runloom.fiber(generate, ch)
        while True:
            prime, ok = ch.recv()
            if not ok:
                return perf_counter() - start
            right = runloom.Chan()
            runloom.fiber(sift, ch, right, prime)
            ch = right

    return on_hubs(main)


WORKLOAD = Workload(
    title="prime sieve up to {n:,}",
    metrics=(Metric(unit="ns", what="number", targets=(Target(3, peer="go"),)),),
    versions={
        "gopy": with_gopy,
        "gevent": with_gevent,
        "asyncio": with_asyncio,
        "trio": with_trio,
        "runloom": with_runloom,
    },
    n=3_600,
    quick_n=1_200,
)
