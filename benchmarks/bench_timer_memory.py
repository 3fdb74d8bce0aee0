"""Make 1,000,000 timers that are pending, and see by how much the resident memory (RSS) has grown.

Bytes per timer, with its place in the list that holds them: a Timer with its channel; one with a function.
"""

import gc

from benchmarks.bench_memory import resident
from benchmarks.workload import Metric, Target, Workload


def with_gopy(n: int) -> tuple[float, float]:
    from gopy.time import Timer, after_func

    gc.disable()  # it would look at all of them again and again, and moves nothing
    before = resident()
    timers = [Timer(3600 + i) for i in range(n)]
    grown = resident() - before
    del timers
    before = resident()
    functions = [after_func(3600 + i, print) for i in range(n)]
    with_function = resident() - before
    for function in functions:
        function.stop()
    return grown, with_function


def with_asyncio(n: int) -> tuple[float, float]:
    import asyncio

    async def main() -> float:
        loop = asyncio.get_running_loop()
        gc.disable()
        before = resident()
        timers = [loop.call_later(3600 + i, print) for i in range(n)]
        grown = resident() - before
        for timer in timers:
            timer.cancel()
        return grown

    grown = asyncio.run(main())
    return grown, grown


WORKLOAD = Workload(
    title="resident memory of {n:,} pending timers",
    metrics=(
        Metric(unit="bytes", what="Timer", targets=(Target(300),)),
        Metric(unit="bytes", what="after_func", targets=(Target(300),)),
    ),
    versions={"gopy": with_gopy, "asyncio": with_asyncio},
    n=1_000_000,
    quick_n=100_000,
    cold=True,
)
