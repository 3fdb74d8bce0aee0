"""Measure one version of one workload in this process and print the result as a line of JSON.

    python -m benchmarks.child pingpong gevent -ms 100

The Go programs in benchmarks/go/ take the same options and print the same line.
"""

import argparse
import faulthandler
import json
import math
import sys
from collections.abc import Coroutine
from importlib import import_module
from typing import Any

from benchmarks.workload import UVLOOP, Metric, Version, Workload


def version_of(workload: Workload, peer: str) -> Version:
    """What the peer is to do. uvloop's is the version "asyncio", with an asyncio.run() that is uvloop's."""
    if peer != UVLOOP or UVLOOP in workload.versions:
        return workload.versions[peer]
    import asyncio

    import uvloop

    def run(main: Coroutine[Any, Any, Any]) -> Any:  # uvloop.run() itself calls asyncio.run() on CPython 3.14
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)

    asyncio.run = run
    return workload.versions["asyncio"]


def as_tuple(result: float | tuple[float, ...]) -> tuple[float, ...]:
    return result if isinstance(result, tuple) else (result,)


def calibrated(version: Version, step: int, seconds: float) -> tuple[tuple[float, ...], int]:
    """Do it more and more often until that takes long enough. The shorter runs before are the warm-up."""
    n = step * math.ceil(100 / step)
    while True:
        totals = as_tuple(version(n))
        if totals[0] >= seconds:
            return totals, n
        growth = min(1.25 * seconds / max(totals[0], 1e-9), 100)
        n = step * math.ceil(n * max(growth, 1.5) / step)


def repeated(version: Version, n: int, seconds: float) -> tuple[tuple[float, ...], int]:
    """Do it n times, over and over until that takes long enough, after a first time that does not count."""
    version(n)
    sums, count = as_tuple(version(n)), n
    while sums[0] < seconds:
        sums = tuple(map(sum, zip(sums, as_tuple(version(n)), strict=True)))
        count += n
    return sums, count


def cold(version: Version, n: int, step: int) -> tuple[tuple[float, ...], int]:
    """Do it once, after a warm-up too small to leave memory behind, or without one where n is 1."""
    if n > 1:
        version(max(step, min(n // 10, 100)))
    return as_tuple(version(n)), n


def per_operation(metric: Metric, total: float, n: int) -> float:
    """What one of the n operations took, in the metric's unit."""
    return {"ns": total / n * 1e9, "bytes": total / n, "ratio": total}[metric.unit]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure one version of one workload.")
    parser.add_argument("workload")
    parser.add_argument("peer")
    parser.add_argument("-n", type=int, default=0, help="operations in one go; 0: enough to be timed")
    parser.add_argument("-ms", type=float, default=100, help="how long to measure at least")
    parser.add_argument("-cold", action="store_true", help="measure a single go, after a tiny warm-up")
    parser.add_argument("-timeout", type=float, default=60, help="seconds until it is killed")
    args = parser.parse_args()

    faulthandler.dump_traceback_later(args.timeout, exit=True)
    workload: Workload = import_module(f"benchmarks.bench_{args.workload}").WORKLOAD
    version = version_of(workload, args.peer)
    if args.cold:
        totals, n = cold(version, args.n, workload.step)
    elif args.n:
        totals, n = repeated(version, args.n, args.ms / 1e3)
    else:
        totals, n = calibrated(version, workload.step, args.ms / 1e3)
    values = [per_operation(metric, total, n) for metric, total in zip(workload.metrics, totals, strict=True)]
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(json.dumps({"values": values, "n": n, "gil": gil}), flush=True)


if __name__ == "__main__":
    main()
