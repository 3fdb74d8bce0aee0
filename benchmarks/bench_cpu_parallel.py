"""64 independent goroutines that only compute, in pure Python.

ns per goroutine, from the first `go` until the last has finished. The threads are a pool of GOMAXPROCS. Go
computes in Go, so what can be compared with it is how much GOMAXPROCS=2 gains.

The constants in the loop are small: a larger one, of an imported module, is an object whose references all
goroutines count together, see shared_object.
"""

import os
from time import perf_counter

from benchmarks.workload import Metric, Target, Workload


def burn(_: int = 0) -> int:
    x = 0
    for i in range(50_000):
        x = (x * 31 + i) % 251
    return x


def with_gopy(n: int) -> float:
    from gopy import Chan, go

    done: Chan[int] = Chan(n)

    def work() -> None:
        done.send(burn())

    start = perf_counter()
    for _ in range(n):
        go(work)
    for _ in range(n):
        done.recv()
    return perf_counter() - start


def with_threads(n: int) -> float:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(int(os.environ["GOMAXPROCS"])) as pool:
        start = perf_counter()
        list(pool.map(burn, range(n)))
        return perf_counter() - start


def with_runloom(n: int) -> float:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def main() -> float:
        done = runloom.Chan(n)
        start = perf_counter()
        for _ in range(n):
            runloom.fiber(lambda: done.send(burn()))
        for _ in range(n):
            done.recv()
        return perf_counter() - start

    return on_hubs(main)


WORKLOAD = Workload(
    title="{n} goroutines that only compute",
    metrics=(
        Metric(
            unit="ns", what="goroutine", targets=(Target(1 / 1.9, peer="gopy", regimes=("free-threaded",)),)
        ),
    ),
    versions={"gopy": with_gopy, "threads": with_threads, "runloom": with_runloom},
    n=64,
    scaled_by_gomaxprocs=frozenset({"threads"}),
    parallel=True,
)
