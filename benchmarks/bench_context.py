"""Make a context that can be cancelled, and cancel it.

ns per with_cancel(background()) and its cancel().
"""

from time import perf_counter

from benchmarks.workload import Metric, Target, Workload


def with_gopy(n: int) -> float:
    from gopy.context import background, with_cancel

    start = perf_counter()
    for _ in range(n):
        _, cancel = with_cancel(background())
        cancel()
    return perf_counter() - start


WORKLOAD = Workload(
    title="with_cancel and cancel",
    metrics=(Metric(unit="ns", what="context", targets=(Target(6, peer="go"),)),),
    versions={"gopy": with_gopy},
)
