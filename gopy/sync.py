"""Go's package sync: what goroutines and threads wait with for each other. A wait blocks the goroutine
that calls, or the thread if it is one that gopy does not run."""

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import update_wrapper
from typing import Any, Generic, Protocol, TypeVar, overload

from gopy._arguments import check_callable
from gopy._asyncio import is_cancelled
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
    "aonce_func",
    "aonce_value",
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
    ended: _Ended[T] = _Ended()

    def first() -> None:
        try:
            ended.value = todo.pop()()
        except BaseException as exc:
            ended.fail(exc)
            raise

    def call() -> T:
        once.do(first)
        return ended.result()

    return _named_after(fn, call)


@overload
def aonce_value(fn: Callable[[], Awaitable[T]]) -> Callable[[], Coroutine[Any, Any, T]]: ...
@overload
def aonce_value(fn: Callable[[], T]) -> Callable[[], Coroutine[Any, Any, T]]: ...
def aonce_value(fn: Callable[[], Any]) -> Callable[[], Coroutine[Any, Any, Any]]:
    """once_value() for those who await: the function returns a coroutine, and what fn() returns is awaited if
    it can be. If a task is cancelled while it makes the first call, the next one makes it."""
    check_callable("fn", fn)
    once = Once()
    todo = [fn]
    ended: _Ended[Any] = _Ended()

    async def first() -> None:
        try:
            result = todo[0]()
            ended.value = await result if isinstance(result, Awaitable) else result
        except BaseException as exc:
            if is_cancelled(exc):
                raise
            ended.fail(exc)
        todo.clear()

    async def call() -> Any:
        await once.ado(first)
        return ended.result()

    return _named_after(fn, call)


class _Ended(Generic[T]):
    """What the function of a once_value() has returned or raised."""

    value: T
    failure: Failure | None = None

    def fail(self, exc: BaseException) -> None:
        self.failure = Failure(without_frames(exc), None)

    def result(self) -> T:
        if self.failure is not None:
            raise self.failure.to_raise()
        return self.value


def once_func(fn: Callable[[], object]) -> Callable[[], None]:
    """A function that calls fn() the first time and does nothing after. Otherwise as once_value()."""
    value = once_value(fn)

    def call() -> None:
        value()

    return _named_after(fn, call)


def aonce_func(fn: Callable[[], object]) -> Callable[[], Coroutine[Any, Any, None]]:
    """once_func() for those who await. Otherwise as aonce_value()."""
    value = aonce_value(fn)

    async def call() -> None:
        await value()

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
