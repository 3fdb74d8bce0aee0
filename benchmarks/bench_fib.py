"""A pure-Python fib, timed before gopy is imported and after it has run, with its threads still there.

The ratio of the two times, each the best of many. "python" is the same without gopy: how far two such times
differ by chance.
"""

from collections.abc import Callable
from time import perf_counter

from benchmarks.workload import Metric, Target, Workload


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def best_time() -> float:
    """Seconds for fib(19), the best of 200."""
    best = 1.0
    for _ in range(200):
        start = perf_counter()
        fib(19)
        best = min(best, perf_counter() - start)
    return best


def after_over_before(meanwhile: Callable[[], None]) -> float:
    before = best_time()
    meanwhile()
    return best_time() / before


def use_gopy() -> None:
    """Some of everything, and goroutines that stay parked."""
    from gopy import Chan, go, recv, select, time

    values: Chan[int] = Chan()
    never: Chan[None] = Chan()

    def produce(i: int) -> None:
        values.send(i)
        time.sleep(0.001)
        fib(10)
        never.recv()

    for i in range(1_000):
        go(produce, i)
    for _ in range(1_000):
        select(recv(values), recv(never))
    time.sleep(0.05)


def with_gopy(_: int) -> float:
    return after_over_before(use_gopy)


def with_python(_: int) -> float:
    return after_over_before(lambda: None)


WORKLOAD = Workload(
    title="pure-Python fib after gopy has run",
    metrics=(Metric(unit="ratio", what="time after / before", targets=(Target(1.03),)),),
    versions={"gopy": with_gopy, "python": with_python},
    n=1,
    in_go=False,
    cold=True,
)
