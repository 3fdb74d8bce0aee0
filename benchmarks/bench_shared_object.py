"""16 goroutines use an object over and over: one of their own, or one that all share.

ns per use. Without a GIL every use of a shared object counts a reference on the same cache line, so that two
cores may be slower than one: compare GOMAXPROCS=1 and 2. So with the constants of an imported module, small
ints apart, but not with those of the main script, which CPython 3.13 and 3.14 make immortal.
"""

from collections.abc import Callable
from time import perf_counter

from benchmarks.workload import Metric, Workload

GOROUTINES = 16


class Config:
    def __init__(self) -> None:
        self.limit = 7


def constant() -> int:
    return 7


def reads_own(times: int) -> None:
    config = Config()
    for _ in range(times):
        config.limit


def with_gopy(n: int) -> tuple[float, ...]:
    from gopy.sync import WaitGroup

    shared = Config()

    def reads_shared(times: int) -> None:
        config = shared
        for _ in range(times):
            config.limit

    def loads_constant(times: int) -> None:
        for _ in range(times):
            x = 1_000_003  # noqa: F841

    def calls_function(times: int) -> None:
        for _ in range(times):
            constant()

    def timed(body: Callable[[int], None]) -> float:
        wg = WaitGroup()
        start = perf_counter()
        for _ in range(GOROUTINES):
            wg.go(body, n // GOROUTINES)
        wg.wait()
        return perf_counter() - start

    return timed(reads_own), timed(reads_shared), timed(loads_constant), timed(calls_function)


WORKLOAD = Workload(
    title="16 goroutines use objects",
    metrics=(
        Metric(unit="ns", what="read of an object of its own"),
        Metric(unit="ns", what="read of one shared object"),
        Metric(unit="ns", what="load of a large constant"),
        Metric(unit="ns", what="call of one function"),
    ),
    versions={"gopy": with_gopy},
    n=1_600_000,
    step=GOROUTINES,
    in_go=False,
    in_quick=False,
)
