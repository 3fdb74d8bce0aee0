"""One goroutine adds to a WaitGroup and takes it back. Nobody waits.

ns per add and done together.
"""

from itertools import repeat
from time import perf_counter

from benchmarks.workload import Metric, Target, Workload


def with_gopy(n: int) -> float:
    from gopy.sync import WaitGroup

    wg = WaitGroup()
    start = perf_counter()
    for _ in repeat(None, n):
        wg.add(1)
        wg.done()
    return perf_counter() - start


WORKLOAD = Workload(
    title="WaitGroup add and done",
    metrics=(Metric(unit="ns", what="pair", targets=(Target(4, peer="go"),)),),
    versions={"gopy": with_gopy},
)
