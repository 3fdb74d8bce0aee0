"""golang.org/x/sync/errgroup: goroutines that work on one task, its first error, and its cancellation."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from types import TracebackType, coroutine
from typing import Any, ParamSpec, Self, overload

from gopy import context
from gopy._arguments import check_int
from gopy._core import Chan, default, kind_of, recv, select
from gopy._failure import Failure
from gopy._panic import Panic
from gopy.sync import WaitGroup

__all__ = ["Group", "with_context"]

P = ParamSpec("P")

# Who takes a value out may start a goroutine, which puts it back at its end. Not the other way round: what a
# cancelled asyncio task was about to receive is somebody else's, but what it has sent stays sent.
_Slots = Chan[None] | None

# What is the program's also in a group: goexit() is a SystemExit.
_NOT_OURS = (SystemExit, KeyboardInterrupt)


def _name(fn: object) -> str:
    return getattr(fn, "__qualname__", type(fn).__name__)


class _Call:
    """A plain function's call in a goroutine of the group."""

    __slots__ = ("_args", "_fn", "_group", "_kwargs", "_slots")

    def __init__(
        self, group: Group, slots: _Slots, fn: Callable[..., object], args: Any, kwargs: dict[str, Any]
    ) -> None:
        self._group, self._slots, self._fn, self._args, self._kwargs = group, slots, fn, args, kwargs

    def __getattr__(self, name: str) -> Any:
        if name == "__qualname__":  # the goroutine is named after fn
            return _name(self._fn)
        raise AttributeError(name)

    def __call__(self) -> None:
        slots = self._slots
        try:
            self._fn(*self._args, **self._kwargs)
        except _NOT_OURS:
            raise
        except BaseException as exc:
            self._group._fail(exc)
        finally:  # fn's frame, which the exception keeps, refers to this one
            self = None  # type: ignore[assignment]
            _leave(slots)


@coroutine
def _delegate(
    group: Group, slots: _Slots, fn: Any, args: Any, kwargs: dict[str, Any]
) -> Generator[Any, Any, None]:
    """The same for what runs in steps: a coroutine or generator, or a function that returns one."""
    try:
        yield from (fn(*args, **kwargs) if callable(fn) else fn)
    except (*_NOT_OURS, GeneratorExit):
        raise
    except BaseException as exc:
        group._fail(exc)
    finally:
        del group, fn, args, kwargs  # the exception, which the group keeps, keeps this frame
        _leave(slots)


def _leave(slots: _Slots) -> None:
    if slots is not None:
        slots.send(None)  # does not wait: it has room for all


def _wrapper(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[..., Any]:
    """What runs fn, by its kind. Refuses what go() refuses."""
    return _Call if kind_of(fn, len(args) + len(kwargs), "fn") == "plain" else _delegate


def _leads_to(exc: BaseException, end: BaseException) -> bool:
    """Is `end` exc itself, or one of its causes and contexts?"""
    seen: set[int] = set()
    todo: list[BaseException | None] = [exc]
    while todo:
        at = todo.pop()
        if at is end:
            return True
        if at is not None and id(at) not in seen:
            seen.add(id(at))
            todo += [at.__cause__, at.__context__]
    return False


class Group:
    """Goroutines that work on parts of one task. With a context, `group.ctx` is one derived from it for them:
    it is cancelled, with the exception as its cause, when the first of them fails, and when wait() returns.

    An exception that leaves a function of the group is the group's, and no panic: wait() raises the first
    one. SystemExit and KeyboardInterrupt are the program's, as in any goroutine: they are raised in the main
    goroutine, and the group counts the function as returned, as it does with goexit(), also as in Go.

    As a context manager it waits when the block is left. If that is by an exception, the context is cancelled
    first, and the exception goes on, with the group's own as its context.
    """

    __slots__ = ("_cancel", "_ctx", "_first", "_slots", "_wg")

    def __init__(self, ctx: context.Context | None = None) -> None:
        self._cancel: context.CancelCauseFunc | None = None
        self._ctx: context.Context | None = None
        if ctx is not None:
            context._check_parent(ctx, "ctx")
            self._ctx, self._cancel = context.with_cancel_cause(ctx)
        self._wg = WaitGroup()
        self._slots: _Slots = None
        self._first: dict[str, tuple[BaseException, Failure]] = {}

    @property
    def ctx(self) -> context.Context | None:
        """The context of the group's goroutines; None if it was made without one."""
        return self._ctx

    @overload
    def go(self, fn: Coroutine[Any, Any, object] | Generator[Any, Any, object], /) -> None: ...
    @overload
    def go(self, fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    def go(self, fn: Any, /, *args: Any, **kwargs: Any) -> None:
        """Start fn as the function `go` does, in a goroutine of the group. At the limit, park until one of
        those ends."""
        wrapper, slots = _wrapper(fn, args, kwargs), self._slots
        if slots is not None:
            slots.recv()
        self._start(wrapper, slots, fn, args, kwargs)

    @overload
    async def ago(self, fn: Coroutine[Any, Any, object] | Generator[Any, Any, object], /) -> None: ...
    @overload
    async def ago(self, fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    async def ago(self, fn: Any, /, *args: Any, **kwargs: Any) -> None:
        """go() for those who await. A task that is cancelled has started nothing."""
        wrapper, slots = _wrapper(fn, args, kwargs), self._slots
        if slots is not None:
            await slots.arecv()
        self._start(wrapper, slots, fn, args, kwargs)

    @overload
    def try_go(self, fn: Coroutine[Any, Any, object] | Generator[Any, Any, object], /) -> bool: ...
    @overload
    def try_go(self, fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> bool: ...
    def try_go(self, fn: Any, /, *args: Any, **kwargs: Any) -> bool:
        """Like go(), but at the limit do nothing and return False. What it has not started it leaves alone:
        a coroutine is still to be awaited or closed."""
        wrapper, slots = _wrapper(fn, args, kwargs), self._slots
        if slots is not None and select(recv(slots), default)[0] != 0:
            return False
        self._start(wrapper, slots, fn, args, kwargs)
        return True

    def _start(
        self, wrapper: Callable[..., Any], slots: _Slots, fn: Any, args: Any, kwargs: dict[str, Any]
    ) -> None:
        try:
            call = wrapper(self, slots, fn, args, kwargs)
            if not isinstance(call, _Call):
                call.__qualname__ = _name(fn)
            self._wg.go(call)
        except BaseException:
            _leave(slots)
            raise

    def _fail(self, exc: BaseException) -> None:
        """Called where exc is handled. The frame there is not to stay in the traceback: it refers to us."""
        traceback = exc.__traceback__ and exc.__traceback__.tb_next
        first = exc, Failure(exc, traceback)
        if self._first.setdefault("", first) is first:
            exc.__traceback__ = traceback
            if self._cancel is not None:
                self._cancel(exc)

    def set_limit(self, n: int) -> None:
        """Have at most n goroutines at once from now on; less than 0: any number, as it is at first.

        Panic: goroutines that came under a limit are active.
        """
        n = check_int("n", n)
        if n < 0:
            self._slots = None
            return
        active = 0 if self._slots is None else self._slots.cap - len(self._slots)
        if active != 0:
            raise Panic(f"errgroup: modify limit while {active} goroutines in the group are still active")
        try:
            slots: Chan[None] = Chan(n)
        except ValueError:
            raise ValueError("`n` is out of range") from None
        for _ in range(n):
            slots.send(None)
        self._slots = slots

    def wait(self) -> None:
        """Park until the group's goroutines have all ended, then raise their first exception, if any."""
        self._wg.wait()
        self._ended()

    async def await_(self) -> None:
        """wait() for those who await. If the task is cancelled, the goroutines go on."""
        await self._wg.await_()
        self._ended()

    def _ended(self) -> None:
        first = self._first.get("")
        if self._cancel is not None:
            self._cancel(first and first[0])
        if first is not None:
            try:
                raise first[1].to_raise()
            finally:  # its traceback refers to this frame, which must not refer back
                self = first = None  # type: ignore[assignment]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, typ: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if exc is None:
            self.wait()
            return
        if self._cancel is not None:
            self._cancel(exc)
        self._wg.wait()
        self._add_to(exc)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, typ: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if exc is None:
            await self.await_()
            return
        if self._cancel is not None:
            self._cancel(exc)
        await self._wg.await_()
        self._add_to(exc)

    def _add_to(self, exc: BaseException) -> None:
        """The group's own exception is the context of the one that has ended the block."""
        if "" in self._first:
            failure = self._first[""][0]
            if not _leads_to(exc, failure) and not _leads_to(failure, exc):
                last = exc
                while last.__context__ is not None and last.__context__ is not exc:
                    last = last.__context__
                last.__context__ = failure


def with_context(ctx: context.Context) -> tuple[Group, context.Context]:
    """A new Group, and its context, which is derived from ctx."""
    context._check_parent(ctx, "ctx")
    group = Group(ctx)
    return group, group._ctx  # type: ignore[return-value]
