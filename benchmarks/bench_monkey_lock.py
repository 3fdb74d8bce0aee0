"""A patched threading.Lock that nobody else uses, taken and given back in a `with`; and an RLock.

ns per pair. "threads" is the lock as it is without patching.
"""

import threading
from functools import partial
from itertools import repeat
from time import perf_counter

from benchmarks.patched import patched
from benchmarks.workload import Metric, Target, Workload


def pairs(peer: str, n: int) -> tuple[float, float]:
    patched(peer)
    times = []
    for kind in (threading.Lock, threading.RLock):
        lock = kind()
        start = perf_counter()
        for _ in repeat(None, n):
            with lock:
                pass
        times.append(perf_counter() - start)
    return times[0], times[1]


WORKLOAD = Workload(
    title="a patched threading.Lock, uncontended",
    metrics=(
        Metric(unit="ns", what="Lock, pair", targets=(Target(1.2, peer="threads"),)),
        Metric(unit="ns", what="RLock, pair", targets=(Target(1.5, peer="threads"),)),
    ),
    versions={peer: partial(pairs, peer) for peer in ("gopy", "gevent", "threads")},
    in_go=False,
)
