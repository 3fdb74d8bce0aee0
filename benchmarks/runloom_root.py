"""Runs a function as runloom's root fiber, on as many hubs as GOMAXPROCS says."""

import os
from collections.abc import Callable
from typing import TypeVar

import runloom

T = TypeVar("T")


def on_hubs(main: Callable[[], T]) -> T:
    results: list[T] = []
    runloom.run(int(os.environ["GOMAXPROCS"]), lambda: results.append(main()))
    return results[0]
