"""bench_pingpong while a trace is recorded, and while none is: six events a round trip.

ns per round trip. What is recorded is not written: that is done after the time has been taken.
"""

import io

from benchmarks.bench_pingpong import with_gopy
from benchmarks.workload import Metric, Target, Workload


def traced(n: int) -> float:
    from gopy import trace

    trace.start(io.BytesIO())
    try:
        return with_gopy(n)
    finally:
        trace.stop()


WORKLOAD = Workload(
    title="unbuffered round trip while a trace is recorded",
    metrics=(Metric(unit="ns", what="round trip", targets=(Target(1.05, peer="gopy, not traced"),)),),
    versions={"gopy": traced, "gopy, not traced": with_gopy},
    in_go=False,
)
