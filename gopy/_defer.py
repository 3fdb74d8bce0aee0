"""Defer: Go's defer and recover.

One coroutine, _unwind, makes the deferred calls; a plain function or a generator drives it by hand, because
nothing in it is awaited there. While an exception is in flight a deferred call runs as if in a `finally`
block: the exception is the one being handled, and becomes the context of what the call raises. For that it
must be raised once more, which overwrites its context and lengthens its traceback: both are put back.
"""

import functools
import sys
from collections.abc import Awaitable, Callable, Generator
from types import FrameType
from typing import Any, NoReturn, ParamSpec, TypeVar, cast

from gopy._arguments import check_callable
from gopy._core import kind_of
from gopy._panic import Panic, _Goexit

P = ParamSpec("P")
T = TypeVar("T")


class Defer:
    """Go's defer. `@deferring` gives the function a Defer as its first argument.

    `defer(fn, *args, **kwargs)` notes a call. Those calls are made last-in first-out when the function
    returns or raises, each even if an earlier one failed. The last failure is what leaves the function; the
    one before is its `__context__`, and so on. What the calls return is discarded.
    """

    __slots__ = ("_calls", "_ended", "_frame", "_in_flight")

    def __init__(self) -> None:
        self._calls: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]] = []
        self._ended = False
        self._in_flight: BaseException | None = None
        self._frame: FrameType | None = None  # _unwind's, while there is one

    def __call__(self, fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Have fn(*args, **kwargs) called when the function ends, before all that was deferred earlier.

        TypeError: fn is not callable. RuntimeError: the function has ended.
        """
        check_callable("fn", fn)
        if self._ended:
            raise RuntimeError("defer after the end of the function")
        self._calls.append((fn, args, kwargs))

    def recover(self) -> BaseException | None:
        """In a deferred call: take the exception in flight, which stops it, and return it. The function then
        returns what its return statement gave, or None if it did not get that far.

        As in Go the answer is None if nothing is in flight, while goexit() ends the goroutine, and unless the
        deferred function itself asks: not one that it calls, nor anybody else.
        """
        exc = self._in_flight
        if exc is None or isinstance(exc, _Goexit | GeneratorExit) or not self._is_deferred(sys._getframe(1)):
            return None
        self._in_flight = None
        return exc

    def _is_deferred(self, caller: FrameType) -> bool:
        """Is `caller` the frame of a deferred call? It is our own if recover() itself was deferred, which a
        deferred function that is deferring too may also have done."""
        if caller is self._frame:
            return True
        frame = caller.f_back
        while frame is not None and frame.f_code in _between:
            frame = frame.f_back
        return frame is not None and frame is self._frame

    async def _unwind(self, exc: BaseException | None, awaits: bool) -> BaseException | None:
        """Make the deferred calls while `exc` is in flight. -> what is in flight then."""
        ending = (
            exc if isinstance(exc, GeneratorExit) else None
        )  # a recover() in between does not change that
        self._frame = sys._getframe()
        while self._calls:
            try:
                fn, args, kwargs = self._calls.pop()
                self._in_flight = exc
                if exc is None:
                    result = fn(*args, **kwargs)
                    if awaits and isinstance(result, Awaitable):
                        await result
                    continue
                context, traceback = exc.__context__, exc.__traceback__
                try:
                    raise exc
                except BaseException:
                    exc.__context__, exc.__traceback__ = context, traceback
                    result = fn(*args, **kwargs)
                    if awaits and isinstance(result, Awaitable):
                        await result
                if self._in_flight is None:
                    exc = ending or _goexit_behind(exc)
            except BaseException as failure:
                exc = failure
        try:
            return exc
        finally:  # a traceback may refer to this frame, which must not refer to the traceback
            exc = ending = context = traceback = None

    def _run(self, exc: BaseException | None) -> BaseException | None:
        while self._calls:
            try:
                self._unwind(exc, False).send(None)
            except StopIteration as end:
                exc = end.value
            except BaseException as interrupt:  # Ctrl-C, between two calls
                interrupt.__context__ = interrupt.__context__ or exc
                exc = interrupt
        return self._end(exc)

    async def _arun(self, exc: BaseException | None) -> BaseException | None:
        while self._calls:
            try:
                exc = await self._unwind(exc, True)
            except BaseException as interrupt:
                interrupt.__context__ = interrupt.__context__ or exc
                exc = interrupt
        return self._end(exc)

    def _end(self, exc: BaseException | None) -> BaseException | None:
        self._ended = True
        self._in_flight = self._frame = None
        return exc


def _goexit_behind(exc: BaseException) -> BaseException | None:
    """The goexit() on whose way `exc` was raised: when that has been recovered, the goroutine still ends."""
    at: BaseException | None = exc
    while at is not None and not isinstance(at, _Goexit):
        at = at.__context__
    return at


def _here_removed(exc: BaseException) -> BaseException:
    """The caller will raise exc again, which adds its frame to the traceback once more."""
    return exc.with_traceback(exc.__traceback__ and exc.__traceback__.tb_next)


def _place(fn: Callable[..., object]) -> int:
    """Where among the arguments the Defer goes: first, but after `self` or `cls`."""
    import inspect

    try:
        first = next(iter(inspect.signature(fn).parameters), None)
    except (TypeError, ValueError):
        return 0
    return int(first in ("self", "cls"))


def _plain(fn: Callable[..., T], at: int) -> Callable[..., T]:
    @functools.wraps(fn)
    def call_deferring(*args: Any, **kwargs: Any) -> Any:
        defer, exc, result = Defer(), None, None
        try:
            result = fn(*args[:at], defer, *args[at:], **kwargs)
        except BaseException as failure:
            exc = _here_removed(failure)
        exc = defer._run(exc)
        if exc is None:
            return result
        context = exc.__context__  # overwritten if the caller is handling an exception
        try:
            raise exc
        finally:
            exc.__context__ = context
            exc = context = None

    return call_deferring


def _generator(fn: Callable[..., Any], at: int) -> Callable[..., Any]:
    @functools.wraps(fn)
    def generate_deferring(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        defer, exc, result = Defer(), None, None
        try:
            result = yield from fn(*args[:at], defer, *args[at:], **kwargs)
        except BaseException as failure:
            exc = _here_removed(failure)
        exc = defer._run(exc)
        if exc is None:
            return result
        context = exc.__context__
        try:
            raise exc
        finally:
            exc.__context__ = context
            exc = context = None

    return generate_deferring


def _coroutine(fn: Callable[..., Any], at: int) -> Callable[..., Any]:
    @functools.wraps(fn)
    async def await_deferring(*args: Any, **kwargs: Any) -> Any:
        defer, exc, result = Defer(), None, None
        try:
            result = await fn(*args[:at], defer, *args[at:], **kwargs)
        except BaseException as failure:
            exc = _here_removed(failure)
        exc = await defer._arun(exc)
        if exc is None:
            return result
        context = exc.__context__
        try:
            raise exc
        finally:
            exc.__context__ = context
            exc = context = None

    return await_deferring


def deferring(fn: Callable[..., T], /) -> Callable[..., T]:
    """Make fn a function that can defer: it is given a Defer before its other arguments (in a method, after
    `self` or `cls`), and what it defers is called when it ends.

        @deferring
        def copy(defer, source, target):
            src = open(source, "rb")
            defer(src.close)
            ...

    A generator function defers to its end, which closing it early brings forward. An `async def` function
    also awaits what its deferred calls return, where that can be awaited. TypeError: fn is not a function, or
    is an async generator function.
    """
    check_callable("fn", fn)
    make = {"plain": _plain, "generator": _generator, "coroutine": _coroutine}[kind_of(fn, 0, "fn")]
    return cast(Callable[..., T], make(fn, _place(fn)))


def panic(value: object, /) -> NoReturn:
    """Raise value if it is an exception, or the class of one; else Panic(value)."""
    if not isinstance(value, BaseException) and not (
        isinstance(value, type) and issubclass(value, BaseException)
    ):
        value = Panic(value)
    try:
        raise value
    finally:  # its traceback refers to this frame, which must not refer back
        value = None


# The frames that may stand between a deferred function and the _unwind that calls it.
_between = frozenset(
    made.__code__
    for made in (
        _plain(panic, 0),
        _generator(panic, 0),
        _coroutine(panic, 0),
        Defer._run,
        Defer._arun,
    )
)
