"""Park 100,000 goroutines on a channel, and see by how much the resident memory (RSS) has grown.

Bytes per parked goroutine: all that it costs, its objects and its place in the channel's queue too. Threads
are 1,000.
"""

from pathlib import Path

from benchmarks.workload import Metric, Target, Workload


def resident(pid: int | str = "self") -> int:
    """Resident bytes of a process, this one if not another is named.

    By a look at every page: the kernel's running count may be off by 100 KB.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no Rss in /proc/{pid}/smaps_rollup")


def with_gopy(n: int) -> float:
    from gopy import Chan, go, runtime

    gate: Chan[None] = Chan()
    tokens: Chan[None] = Chan(n)

    def wait() -> None:
        tokens.send(None)
        gate.recv()
        tokens.recv()

    before = resident()
    for _ in range(n):
        go(wait)
    while len(tokens) < n:
        runtime.gosched()
    grown = resident() - before
    gate.close()
    while len(tokens):
        runtime.gosched()
    return grown


def with_gevent(n: int) -> float:
    import gevent
    from gevent.event import Event

    gate = Event()
    before = resident()
    greenlets = [gevent.spawn(gate.wait) for _ in range(n)]
    gevent.sleep(0)
    grown = resident() - before
    gate.set()
    gevent.joinall(greenlets)
    return grown


def with_asyncio(n: int) -> float:
    import asyncio

    async def main() -> float:
        gate = asyncio.Event()
        before = resident()
        tasks = [asyncio.create_task(gate.wait()) for _ in range(n)]
        await asyncio.sleep(0)
        grown = resident() - before
        gate.set()
        await asyncio.wait(tasks)
        return grown

    return asyncio.run(main())


def with_trio(n: int) -> float:
    import trio
    import trio.testing

    async def main() -> float:
        gate = trio.Event()
        async with trio.open_nursery() as nursery:
            before = resident()
            for _ in range(n):
                nursery.start_soon(gate.wait)
            await trio.testing.wait_all_tasks_blocked()
            grown = resident() - before
            gate.set()
        return grown

    return trio.run(main)


def with_threads(n: int) -> float:
    from threading import Barrier, Event, Thread

    parked, gate = Barrier(n + 1), Event()

    def wait() -> None:
        parked.wait()
        gate.wait()

    threads = [Thread(target=wait) for _ in range(n)]
    before = resident()
    for thread in threads:
        thread.start()
    parked.wait()
    grown = resident() - before
    gate.set()
    for thread in threads:
        thread.join()
    return grown


def with_runloom(n: int) -> float:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def main() -> float:
        gate, tokens = runloom.Chan(), runloom.Chan(n)

        def wait() -> None:
            tokens.send(None)
            gate.recv()

        before = resident()
        for _ in range(n):
            runloom.fiber(wait)
        while len(tokens) < n:
            runloom.yield_now()
        grown = resident() - before
        gate.close()
        return grown

    return on_hubs(main)


WORKLOAD = Workload(
    title="resident memory of a parked stackful goroutine",
    metrics=(Metric(unit="bytes", what="goroutine", targets=(Target(7 * 1024),)),),
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
    cold=True,
    scales="memory of a parked goroutine",
)
