"""Goroutines that are left behind."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gopy import _core, runtime, time
from gopy._arguments import check_callable, check_seconds
from gopy._core import Goroutine


def left(before: frozenset[int], ignore: Callable[[Goroutine], bool] | None, grace: float) -> list[Goroutine]:
    """Those that are none of `before`, by id, and are alive still after `grace` seconds at most."""
    me, until = _core.running_here(), time.now() + grace
    found = []
    for goroutine in runtime.goroutines():
        if goroutine.id in before or goroutine is me or (ignore is not None and ignore(goroutine)):
            continue
        try:
            goroutine.join(max(until - time.now(), 0.0))
        except TimeoutError:
            found.append(goroutine)
    return found


def report(goroutines: list[Goroutine]) -> str:
    many = f"{len(goroutines)} goroutine{'s' if len(goroutines) > 1 else ''} left behind"
    return f"{many}:\n\n{runtime._dump(goroutines, sys._getframe())}"


@contextmanager
def leaks(*, ignore: Callable[[Goroutine], bool] | None = None, grace: float = 0.1) -> Iterator[None]:
    """AssertionError with their stacks if goroutines that were started inside are alive still `grace` seconds
    after the block.

    Goroutines for which `ignore` returns True do not count. Parks for up to `grace` seconds, on the bubble's
    clock if it is used in one. An exception that leaves the block is raised as it is, and nothing is looked
    at.
    """
    if ignore is not None:
        check_callable("ignore", ignore, "callable or None")
    seconds = check_seconds("grace", grace)
    before = frozenset(goroutine.id for goroutine in runtime.goroutines())
    yield
    found = left(before, ignore, seconds)
    if found:
        raise AssertionError(report(found))
