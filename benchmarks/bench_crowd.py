"""100,000 goroutines are parked, each on a channel of its own, while two others do round trips between them.

ns per round trip, as in pingpong: what it costs more than there is what a crowd costs that does nothing.
There are as many round trips as goroutines in the crowd. Parking the crowd and waking it are not timed.
"""

from time import perf_counter

from benchmarks.workload import Metric, Workload


def with_gopy(n: int) -> float:
    from gopy import Chan, go, runtime

    gates: list[Chan[None]] = [Chan() for _ in range(n)]
    tokens: Chan[None] = Chan(n)
    ping: Chan[int] = Chan()
    pong: Chan[int] = Chan()

    def wait(gate: Chan[None]) -> None:
        tokens.send(None)
        gate.recv()
        tokens.recv()

    def echo() -> None:
        for value in ping:
            pong.send(value)

    for gate in gates:
        go(wait, gate)
    while len(tokens) < n:
        runtime.gosched()
    go(echo)
    start = perf_counter()
    for i in range(n):
        ping.send(i)
        pong.recv()
    elapsed = perf_counter() - start
    ping.close()
    for gate in gates:
        gate.close()
    while len(tokens):
        runtime.gosched()
    return elapsed


def with_gevent(n: int) -> float:
    import gevent
    from gevent.event import Event
    from gevent.queue import Channel

    gates = [Event() for _ in range(n)]
    ping, pong = Channel(), Channel()

    def echo() -> None:
        for _ in range(n):
            pong.put(ping.get())

    crowd = [gevent.spawn(gate.wait) for gate in gates]
    gevent.sleep(0)  # all that are ready get their turn first: here they park
    echoer = gevent.spawn(echo)
    start = perf_counter()
    for i in range(n):
        ping.put(i)
        pong.get()
    elapsed = perf_counter() - start
    for gate in gates:
        gate.set()
    gevent.joinall([echoer, *crowd])
    return elapsed


def with_asyncio(n: int) -> float:
    """asyncio has no rendezvous: queues of one element."""
    import asyncio

    async def main() -> float:
        gates = [asyncio.Event() for _ in range(n)]
        ping: asyncio.Queue[int] = asyncio.Queue(1)
        pong: asyncio.Queue[int] = asyncio.Queue(1)

        async def echo() -> None:
            for _ in range(n):
                await pong.put(await ping.get())

        crowd = [asyncio.create_task(gate.wait()) for gate in gates]
        await asyncio.sleep(0)  # all that are ready get their turn first: here they park
        echoer = asyncio.create_task(echo())
        start = perf_counter()
        for i in range(n):
            await ping.put(i)
            await pong.get()
        elapsed = perf_counter() - start
        for gate in gates:
            gate.set()
        await asyncio.wait([echoer, *crowd])
        return elapsed

    return asyncio.run(main())


def with_trio(n: int) -> float:
    import trio
    import trio.testing

    async def main() -> float:
        gates = [trio.Event() for _ in range(n)]
        send_ping, receive_ping = trio.open_memory_channel[int](0)
        send_pong, receive_pong = trio.open_memory_channel[int](0)

        async def echo() -> None:
            async for value in receive_ping:
                await send_pong.send(value)

        async with trio.open_nursery() as nursery, send_ping:
            for gate in gates:
                nursery.start_soon(gate.wait)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(echo)
            start = perf_counter()
            for i in range(n):
                await send_ping.send(i)
                await receive_pong.receive()
            elapsed = perf_counter() - start
            for gate in gates:
                gate.set()
        return elapsed

    return trio.run(main)


def with_threads(n: int) -> float:
    from queue import SimpleQueue
    from threading import Barrier, Event, Thread

    parked, gate = Barrier(n + 1), Event()
    ping: SimpleQueue[int] = SimpleQueue()
    pong: SimpleQueue[int] = SimpleQueue()

    def wait() -> None:
        parked.wait()
        gate.wait()

    def echo() -> None:
        for _ in range(n):
            pong.put(ping.get())

    threads = [Thread(target=wait) for _ in range(n)]
    for thread in threads:
        thread.start()
    parked.wait()
    threads.append(Thread(target=echo))
    threads[-1].start()
    start = perf_counter()
    for i in range(n):
        ping.put(i)
        pong.get()
    elapsed = perf_counter() - start
    gate.set()
    for thread in threads:
        thread.join()
    return elapsed


def with_runloom(n: int) -> float:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def main() -> float:
        gates = [runloom.Chan() for _ in range(n)]
        tokens, ping, pong = runloom.Chan(n), runloom.Chan(), runloom.Chan()

        def wait(gate: runloom.Chan) -> None:
            tokens.send(None)
            gate.recv()
            tokens.recv()

        def echo() -> None:
            for value in ping:
                pong.send(value)

        for gate in gates:
            runloom.fiber(wait, gate)
        while len(tokens) < n:
            runloom.yield_now()
        runloom.fiber(echo)
        start = perf_counter()
        for i in range(n):
            ping.send(i)
            pong.recv()
        elapsed = perf_counter() - start
        ping.close()
        for gate in gates:
            gate.close()
        return elapsed

    return on_hubs(main)


WORKLOAD = Workload(
    title="unbuffered round trip while {n:,} goroutines are parked",
    metrics=(Metric(unit="ns", what="round trip"),),
    versions={
        "gopy": with_gopy,
        "gevent": with_gevent,
        "asyncio": with_asyncio,
        "trio": with_trio,
        "threads": with_threads,
        "runloom": with_runloom,
    },
    n=100_000,
    quick_n=10_000,
    n_for={"threads": 1_000, "runloom": 10_000},
    scales="round trip among parked goroutines",
)
