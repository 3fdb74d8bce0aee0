"""Patching a program that has just begun. What that imports has been imported before.

ns per patch_all().
"""

import importlib
import pkgutil
from time import perf_counter

from benchmarks.workload import Metric, Target, Workload

PATCHED = ("queue", "select", "selectors", "signal", "socket", "ssl", "subprocess", "threading", "time")


def imported(package: str) -> None:
    for name in PATCHED:
        importlib.import_module(name)
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if module.name.startswith("_"):
            importlib.import_module(f"{package}.{module.name}")


def with_gopy(n: int) -> float:
    from gopy import monkey

    imported("gopy.monkey")
    start = perf_counter()
    monkey.patch_all()
    return perf_counter() - start


def with_gevent(n: int) -> float:
    from gevent import monkey

    for name in ("_util", "hub", "os", "resolver", "select", "selectors", "socket", "ssl", "subprocess"):
        importlib.import_module(f"gevent.{name}")
    start = perf_counter()
    monkey.patch_all()
    return perf_counter() - start


WORKLOAD = Workload(
    title="patch_all()",
    metrics=(Metric(unit="ns", what="patch_all()", targets=(Target(60e6),)),),
    versions={"gopy": with_gopy, "gevent": with_gevent},
    n=1,
    cold=True,
    in_go=False,
)
