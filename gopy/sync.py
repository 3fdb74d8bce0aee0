"""Go's package sync: what goroutines and threads wait with for each other. A wait blocks the goroutine
that calls, or the thread if it is one that gopy does not run."""

from collections import deque
from collections.abc import Callable
from functools import update_wrapper
from typing import Generic, Protocol, TypeVar

from gopy._arguments import check_callable
from gopy._core import Cond, Map, Mutex, Once, RWMutex, WaitGroup, preempt_point
from gopy._failure import Failure, without_frames

__all__ = [
    "Cond",
    "Locker",
    "Map",
    "Mutex",
    "Once",
    "Pool",
    "RWMutex",
    "WaitGroup",
    "once_func",
    "once_value",
]

T = TypeVar("T")

_POOLED = 1024  # values that a Pool keeps


class Locker(Protocol):
    """What can be locked and unlocked: a Mutex, an RWMutex, its rlocker(), or your own."""

    def lock(self) -> None: ...
    def unlock(self) -> None: ...


def once_value(fn: Callable[[], T]) -> Callable[[], T]:
    """A function that returns what fn() returned, calling it only the first time.

    Calls that come meanwhile park until fn has returned. What fn raised is raised again at every call, from
    the second on without its traceback: fn, and what it refers to, is not kept once it has been called.
    """
    check_callable("fn", fn)
    once = Once()
    todo = [fn]
    value: T
    failure: Failure | None = None

    def first() -> None:
        nonlocal value, failure
        try:
            value = todo.pop()()
        except BaseException as exc:
            failure = Failure(without_frames(exc), None)
            raise

    def call() -> T:
        once.do(first)
        if failure is not None:
            raise failure.to_raise()
        return value

    return _named_after(fn, call)


def once_func(fn: Callable[[], object]) -> Callable[[], None]:
    """A function that calls fn() the first time and does nothing after. Otherwise as once_value()."""
    value = once_value(fn)

    def call() -> None:
        value()

    return _named_after(fn, call)


def _named_after(fn: Callable[[], object], call: Callable[[], T]) -> Callable[[], T]:
    """call, with the name of fn and without a reference to it or its attributes."""
    update_wrapper(call, fn, updated=())
    del vars(call)["__wrapped__"]
    return call


class Pool(Generic[T]):
    """Values to be used again, whose making is to be saved: the last one put back is the first one got.

    It may forget any of them at any time, as it does with the oldest of more than 1024.
    """

    def __init__(self, new: Callable[[], T] | None = None) -> None:
        """With `new`, get() makes a value when there is none."""
        if new is not None:
            check_callable("new", new)
        self._new = new
        self._values: deque[T] = deque(maxlen=_POOLED)

    def get(self) -> T | None:
        """Take a value out: any that was put back, or else new(), or None."""
        preempt_point()
        try:
            return self._values.pop()
        except IndexError:
            return None if self._new is None else self._new()

    def put(self, x: T) -> None:
        """Put a value back. None is ignored."""
        preempt_point()
        if x is not None:
            self._values.append(x)
