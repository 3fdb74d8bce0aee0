"""golang.org/x/sync/singleflight: one call at a time for each key, shared by all who ask meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, NamedTuple, TypeVar

from gopy._arguments import check_callable, wrong_type
from gopy._asyncio import is_cancelled
from gopy._core import Chan, RecvChan, block_on, go
from gopy._failure import Failure
from gopy._panic import _Goexit, goexit
from gopy.sync import Mutex, WaitGroup

__all__ = ["Group", "Result"]

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Result(NamedTuple, Generic[T]):
    """What do_chan()'s channel receives: fn's value, or the exception that it raised; and whether others got
    it, too."""

    val: T | None
    err: BaseException | None
    shared: bool


class _Call:
    """A call under way, or one that has ended. `dups` and `chans` change with the group's mutex held and
    until the end; the rest is set at the end, before the wait group is done."""

    __slots__ = ("_claim", "abandoned", "by_goexit", "chans", "dups", "failure", "value", "wg")

    def __init__(self) -> None:
        self.wg = WaitGroup()
        self.wg.add()
        self.dups = 0
        self.chans: list[_Waiting] = []
        self.value: Any = None
        self.failure: Failure | None = None
        self.by_goexit = False
        self.abandoned = False  # whoever made it was cancelled: those who wait make their own
        self._claim = Mutex()

    def claim(self) -> bool:
        """Is the caller the first to ask? Then the call is its to make and to end."""
        return self._claim.try_lock()

    def fail(self, exc: BaseException) -> None:
        """Called where exc is handled, by a frame that is not to stay in the traceback: it refers to us."""
        if isinstance(exc, _Goexit):
            self.by_goexit = True
        else:
            self.failure = Failure(exc, exc.__traceback__ and exc.__traceback__.tb_next)

    def error(self) -> BaseException | None:
        """For one Result. Who waits on a channel goes on, and can only be told that there is no value."""
        if self.by_goexit:
            return RuntimeError("singleflight: `fn` called goexit()")
        return None if self.failure is None else self.failure.to_raise()


# A channel that is to receive the Result, and the function that was to give it.
_Waiting = tuple[Chan[Result[Any]], Callable[[], Any]]


def _outcome(ended: list[tuple[_Call, bool]]) -> tuple[Any, bool]:
    """What do() returns or raises. What is raised refers to this frame, which must not refer back."""
    call, others = ended.pop()
    try:
        if call.failure is not None:
            raise call.failure.to_raise()
        if call.by_goexit:
            goexit()
        return call.value, others or call.dups > 0
    finally:
        call = None  # type: ignore[assignment]


def _check(key: Hashable, fn: object) -> None:
    check_callable("fn", fn)
    _check_key(key)


def _check_key(key: Hashable) -> None:
    try:
        hash(key)
    except TypeError:
        raise wrong_type("key", "hashable", key) from None


class Group(Generic[K, V]):
    """A space of keys: of the calls for one key only one is under way at a time.

    group: Group[str, bytes] = Group()
    """

    __slots__ = ("_calls", "_mu")

    def __init__(self) -> None:
        self._mu = Mutex()
        self._calls: dict[K, _Call] = {}

    def do(self, key: K, fn: Callable[[], V]) -> tuple[V, bool]:
        """(fn(), was it shared with others). While a call for the same key is under way, park until it has
        ended, and return its value instead.

        What fn raised is raised by all of them. If it called goexit(), they all do; that is RuntimeError on a
        thread that gopy does not run.
        """
        return _outcome([block_on(self._do(key, fn, False))])

    async def ado(self, key: K, fn: Callable[[], Awaitable[V] | V]) -> tuple[V, bool]:
        """do() for those who await. What fn returns is awaited if it can be.

        If a task is cancelled while it makes the call, another that waits for it makes its own instead.
        """
        return _outcome([await self._do(key, fn, True)])

    async def _do(self, key: K, fn: Callable[[], Any], awaits: bool) -> tuple[_Call, bool]:
        """A call that has ended; was it another's?"""
        _check(key, fn)
        try:
            while True:
                mine = call = _Call()
                try:
                    call = self._join(key, mine)
                    if call is mine:
                        value = fn()
                        mine.value = await value if awaits and isinstance(value, Awaitable) else value
                except BaseException as exc:
                    mine.abandoned = awaits and is_cancelled(exc)
                    if mine.abandoned:
                        raise
                    mine.fail(exc)
                finally:
                    if call is mine:
                        self._end(key, mine)
                if call is not mine:
                    await call.wg.await_()
                if not call.abandoned:
                    return call, call is not mine
        finally:  # what fn has raised refers to this frame, which must not refer back
            mine = call = None  # type: ignore[assignment]

    def do_chan(self, key: K, fn: Callable[[], V]) -> RecvChan[Result[V]]:
        """Like do(), with fn in a goroutine of its own: a channel that will receive the Result.

        The channel is not closed. If fn calls goexit(), the Result has a RuntimeError. A SystemExit or
        KeyboardInterrupt of fn is in the Result, and ends the program as well.
        """
        _check(key, fn)
        ch: Chan[Result[V]] = Chan(1)
        self._do_chan(key, fn, ch)
        return ch.recv_only()

    def _do_chan(self, key: K, fn: Callable[[], V], ch: Chan[Result[V]]) -> None:
        mine = call = _Call()
        try:
            call = self._join(key, mine, (ch, fn))
            if call is mine:
                go(self._run, key, mine, fn)
        except BaseException as exc:
            if call is mine and mine.claim():  # else its goroutine runs: only this one has been interrupted
                mine.fail(exc)
                self._end(key, mine)
            raise

    def _join(self, key: K, mine: _Call, waiting: _Waiting | None = None) -> _Call:
        """The call that is under way for key, from now on `mine` if there was none."""
        with self._mu:
            call = self._calls.setdefault(key, mine)
            if waiting is not None:
                call.chans.append(waiting)
            if call is not mine:
                call.dups += 1
            return call

    def _run(self, key: K, call: _Call, fn: Callable[[], object]) -> None:
        failure: Failure | None = None
        if not call.claim():
            return
        try:
            call.value = fn()
        except BaseException as exc:
            call.fail(exc)
            if isinstance(exc, (SystemExit, KeyboardInterrupt)):
                failure = call.failure  # None after goexit()
        finally:
            self._end(key, call)
            del call  # what failed keeps the frame of fn, and that this one
        if failure is not None:
            raise failure.to_raise()

    def _end(self, key: K, call: _Call) -> None:
        """Tell all who wait for it."""
        try:
            with self._mu:
                if self._calls.get(key) is call:
                    del self._calls[key]
        finally:
            call.wg.done()
        for ch, fn in call.chans:
            if call.abandoned:
                self._do_chan(key, fn, ch)
            else:
                ch.send(Result(call.value, call.error(), call.dups > 0))  # does not wait: it has room for one

    def forget(self, key: K) -> None:
        """Have the next do() or do_chan() for this key call its function, even if a call is under way."""
        _check_key(key)
        with self._mu:
            self._calls.pop(key, None)
