"""The part `time`: time.sleep(), and in a bubble of gopy.testing also its clocks."""

import functools
import time

from gopy import _core
from gopy.monkey import _registry

_original = time.sleep
_clock = time.monotonic  # the real one


@functools.wraps(_original)
def sleep(seconds: float, /) -> None:
    if not _core.parks():
        _original(seconds)
    elif seconds > 0:
        _core.sleep(seconds)
    elif seconds == 0:
        _core.gosched()
    else:
        _original(seconds)  # raises


def patch() -> None:
    _registry.replace(time, "sleep", sleep)
    # Not what others have imported by name: threading's loops have a clock of their own (_threads.py).
    for name in ("time", "time_ns", "monotonic", "monotonic_ns"):
        _registry.replace(time, name, getattr(_core, name), everywhere=False)


class Deadline:
    """Of a call that waits several times: how much is left of its timeout."""

    __slots__ = ("_when",)

    def __init__(self, timeout: float | None) -> None:
        self._when = None if timeout is None else _clock() + timeout

    def left(self) -> float | None:
        return None if self._when is None else max(self._when - _clock(), 0.0)
