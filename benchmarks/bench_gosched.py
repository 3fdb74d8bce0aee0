"""Two goroutines yield to each other, in turn.

ns per yield, which is one switch. The greenlets that it is compared with do nothing but switch to each other:
"greenlet in C" calls PyGreenlet_Switch in a C loop (greenlet_switch.c, compiled when the suite starts),
"greenlet" calls the bound method switch(), in the cheapest loop that Python has, as all do. Both pairs are
siblings, started at the same depth of the C stack, as two goroutines are: each switch copies one's part of
the stack out and the other's in.
"""

from collections.abc import Callable
from itertools import repeat
from time import perf_counter
from typing import Any

from benchmarks.workload import Metric, Target, Workload


def with_gopy(n: int) -> float:
    from gopy import Chan, go
    from gopy.runtime import gosched

    done: Chan[None] = Chan()

    def yielder() -> None:
        for _ in repeat(None, n // 2):
            gosched()
        done.send(None)

    start = perf_counter()
    go(yielder)
    go(yielder)
    done.recv()
    done.recv()
    return perf_counter() - start


def greenlet_pair(n: int, switch_often: Callable[[Any, int], None]) -> float:
    """switch_often(other, n // 2) in each of two greenlets, the other being the other one."""
    from greenlet import getcurrent, greenlet

    root = getcurrent()
    pair: list[greenlet] = []

    def run(other: int) -> None:
        root.switch()
        switch_often(pair[other], n // 2)

    pair += greenlet(run), greenlet(run)
    pair[0].switch(1)
    pair[1].switch(0)
    start = perf_counter()
    pair[0].switch()
    elapsed = perf_counter() - start
    for unfinished in filter(None, pair):
        unfinished.switch()
    return elapsed


def with_greenlet_in_c(n: int) -> float:
    from benchmarks.builds import import_greenlet_switch

    return greenlet_pair(n, import_greenlet_switch().switch_often)


def with_greenlet(n: int) -> float:
    def switch_often(other: Any, times: int) -> None:
        switch = other.switch
        for _ in repeat(None, times):
            switch()

    return greenlet_pair(n, switch_often)


def with_gevent(n: int) -> float:
    import gevent

    def yielder() -> None:
        for _ in repeat(None, n // 2):
            gevent.sleep(0)

    start = perf_counter()
    gevent.joinall([gevent.spawn(yielder), gevent.spawn(yielder)])
    return perf_counter() - start


def with_asyncio(n: int) -> float:
    import asyncio

    async def yielder() -> None:
        for _ in repeat(None, n // 2):
            await asyncio.sleep(0)

    async def main() -> float:
        start = perf_counter()
        await asyncio.gather(yielder(), yielder())
        return perf_counter() - start

    return asyncio.run(main())


def with_trio(n: int) -> float:
    import trio

    async def yielder() -> None:
        for _ in repeat(None, n // 2):
            await trio.lowlevel.checkpoint()

    async def main() -> float:
        start = perf_counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(yielder)
            nursery.start_soon(yielder)
        return perf_counter() - start

    return trio.run(main)


def with_runloom(n: int) -> float:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def main() -> float:
        done = runloom.Chan()

        def yielder() -> None:
            for _ in repeat(None, n // 2):
                runloom.yield_now()
            done.send(None)

        start = perf_counter()
        runloom.fiber(yielder)
        runloom.fiber(yielder)
        done.recv()
        done.recv()
        return perf_counter() - start

    return on_hubs(main)


WORKLOAD = Workload(
    title="gosched, two goroutines in turn",
    metrics=(Metric(unit="ns", what="yield", targets=(Target(1.2, peer="greenlet in C"),)),),
    versions={
        "gopy": with_gopy,
        "greenlet in C": with_greenlet_in_c,
        "greenlet": with_greenlet,
        "gevent": with_gevent,
        "asyncio": with_asyncio,
        "trio": with_trio,
        "runloom": with_runloom,
    },
    step=2,
)
