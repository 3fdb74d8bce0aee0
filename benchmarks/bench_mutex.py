"""One goroutine locks a mutex that nobody else uses, and unlocks it.

ns per lock and unlock together. "threads" is threading.Lock through `with`, as most programs use it.
"""

from itertools import repeat
from time import perf_counter

from benchmarks.workload import Metric, Target, Workload


def with_gopy(n: int) -> float:
    from gopy.sync import Mutex

    mutex = Mutex()
    start = perf_counter()
    for _ in repeat(None, n):
        mutex.lock()
        mutex.unlock()
    return perf_counter() - start


def with_gopy_in_with(n: int) -> float:
    from gopy.sync import Mutex

    mutex = Mutex()
    start = perf_counter()
    for _ in repeat(None, n):
        with mutex:
            pass
    return perf_counter() - start


def with_threads(n: int) -> float:
    from threading import Lock

    lock = Lock()
    start = perf_counter()
    for _ in repeat(None, n):
        with lock:
            pass
    return perf_counter() - start


def with_gevent(n: int) -> float:
    from gevent.lock import BoundedSemaphore

    lock = BoundedSemaphore(1)
    start = perf_counter()
    for _ in repeat(None, n):
        with lock:
            pass
    return perf_counter() - start


def with_asyncio(n: int) -> float:
    import asyncio

    async def main() -> float:
        lock = asyncio.Lock()
        start = perf_counter()
        for _ in repeat(None, n):
            async with lock:
                pass
        return perf_counter() - start

    return asyncio.run(main())


WORKLOAD = Workload(
    title="mutex lock and unlock, uncontended",
    metrics=(Metric(unit="ns", what="pair", targets=(Target(4, peer="go"), Target(1, peer="threads"))),),
    versions={
        "gopy": with_gopy,
        "gopy, in a with": with_gopy_in_with,
        "threads": with_threads,
        "gevent": with_gevent,
        "asyncio": with_asyncio,
    },
    scaled_by_gomaxprocs=frozenset({"gopy, in a with"}),
)
