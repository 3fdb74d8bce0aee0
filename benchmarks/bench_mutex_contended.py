"""100 goroutines on one mutex; each operation is a lock, an unlock and one yield.

ns per operation: first with the yield between two locks, then with the mutex held, so that all the others
come and wait for it. "uncontended" does the same, each goroutine on a mutex of its own: lock, unlock and one
switch. One that waits is switched to as it gets the mutex, so contention costs no switch more; but the yield
of the one that holds it is then a scheduling decision beside that switch, which the second target allows for.
"""

from collections.abc import Callable
from time import perf_counter

from benchmarks.workload import Metric, Target, Workload

GOROUTINES = 100


def measured(run: Callable[[int, bool], None], n: int) -> tuple[float, float]:
    times = []
    for held in (False, True):
        start = perf_counter()
        run(n // GOROUTINES, held)
        times.append(perf_counter() - start)
    return times[0], times[1]


def on_mutexes(n: int, how_many: int) -> tuple[float, float]:
    from gopy.runtime import gosched
    from gopy.sync import Mutex, WaitGroup

    mutexes = [Mutex() for _ in range(how_many)]

    def yields_between(mutex: Mutex, times: int) -> None:
        for _ in range(times):
            mutex.lock()
            mutex.unlock()
            gosched()

    def yields_within(mutex: Mutex, times: int) -> None:
        for _ in range(times):
            mutex.lock()
            gosched()
            mutex.unlock()

    def run(times: int, held: bool) -> None:
        wg = WaitGroup()
        for i in range(GOROUTINES):
            wg.go(yields_within if held else yields_between, mutexes[i % how_many], times)
        wg.wait()

    return measured(run, n)


def with_gopy(n: int) -> tuple[float, float]:
    return on_mutexes(n, 1)


def with_gopy_uncontended(n: int) -> tuple[float, float]:
    return on_mutexes(n, GOROUTINES)


def with_gevent(n: int) -> tuple[float, float]:
    import gevent
    from gevent.lock import BoundedSemaphore

    lock = BoundedSemaphore(1)

    def yields_between(times: int) -> None:
        for _ in range(times):
            lock.acquire()
            lock.release()
            gevent.sleep(0)

    def yields_within(times: int) -> None:
        for _ in range(times):
            lock.acquire()
            gevent.sleep(0)
            lock.release()

    def run(times: int, held: bool) -> None:
        body = yields_within if held else yields_between
        gevent.joinall([gevent.spawn(body, times) for _ in range(GOROUTINES)])

    return measured(run, n)


def with_asyncio(n: int) -> tuple[float, float]:
    import asyncio

    async def yields_between(lock: asyncio.Lock, times: int) -> None:
        for _ in range(times):
            async with lock:
                pass
            await asyncio.sleep(0)

    async def yields_within(lock: asyncio.Lock, times: int) -> None:
        for _ in range(times):
            async with lock:
                await asyncio.sleep(0)

    async def main(times: int, held: bool) -> None:
        lock = asyncio.Lock()
        body = yields_within if held else yields_between
        await asyncio.gather(*(body(lock, times) for _ in range(GOROUTINES)))

    return measured(lambda times, held: asyncio.run(main(times, held)), n)


def with_threads(n: int) -> tuple[float, float]:
    from threading import Lock, Thread
    from time import sleep

    lock = Lock()

    def yields_between(times: int) -> None:
        for _ in range(times):
            with lock:
                pass
            sleep(0)

    def yields_within(times: int) -> None:
        for _ in range(times):
            with lock:
                sleep(0)

    def run(times: int, held: bool) -> None:
        threads = [
            Thread(target=yields_within if held else yields_between, args=(times,)) for _ in range(GOROUTINES)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return measured(run, n)


WORKLOAD = Workload(
    title="{n:,} times lock, unlock and yield, by 100 goroutines on one mutex",
    metrics=(
        Metric(unit="ns", what="operation", targets=(Target(1.1, peer="uncontended"),)),
        Metric(unit="ns", what="operation, held", targets=(Target(1.3, peer="uncontended"),)),
    ),
    versions={
        "gopy": with_gopy,
        "uncontended": with_gopy_uncontended,
        "gevent": with_gevent,
        "asyncio": with_asyncio,
        "threads": with_threads,
    },
    n=200_000,
    quick_n=50_000,
    n_for={"threads": 10_000},
    step=GOROUTINES,
    scaled_by_gomaxprocs=frozenset({"uncontended"}),
)
