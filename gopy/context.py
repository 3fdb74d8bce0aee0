"""Go's package context: cancellation, deadlines and values that follow a request through goroutines.

How it is made. What can be cancelled is a _CancelCtx. It keeps what changes in a dict, `_state`, and changes
it only by single operations of that dict, each of which is atomic, also without a GIL; so there is no lock,
and an exception that strikes in the middle (Ctrl-C) leaves nothing locked:

    "err"       (error, cause), by setdefault: the first cancel wins
    "done"      (what done() returns, the channel behind it), by setdefault
    "closed"    that channel has been closed
    "bubble"    the tag of the bubble that it was made in, once there have been bubbles (gopy.testing)
    "children"  {weak reference to the child: the child, or None}
    "link"      where its parent has it: ("children" of the parent, the weak reference)
    "timer", "fn", "stop"   what is to be stopped or run at its end, until somebody takes it away for that

Whoever adds ("done", a child) looks for "err" afterwards, and whoever sets "err" looks for those afterwards.
So one of both sees the other; if both do, what each takes out of the dict is its own.

A parent refers to a child weakly, unless the child is needed without anybody referring to it: its done() was
asked for (somebody may wait on the channel alone), it is an after_func(), or one of its own descendants is
needed. A child that has ended is out of its parent's dict. A context with a deadline has a timer, and no
goroutine.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, ParamSpec, overload
from weakref import ref

from gopy import _core
from gopy import time as gotime
from gopy._arguments import check_seconds, wrong_type
from gopy._core import Chan, RecvChan, default, go, kind_of, nilchan, preempt_point, recv, select

__all__ = [
    "CancelCauseFunc",
    "CancelFunc",
    "Canceled",
    "Context",
    "DeadlineExceeded",
    "after_func",
    "background",
    "cause",
    "todo",
    "with_cancel",
    "with_cancel_cause",
    "with_deadline",
    "with_deadline_cause",
    "with_timeout",
    "with_timeout_cause",
    "with_value",
    "without_cancel",
]

P = ParamSpec("P")

CancelFunc = Callable[[], None]
CancelCauseFunc = Callable[[BaseException | None], None]


class Canceled(Exception):
    """The context was cancelled."""

    def __str__(self) -> str:
        return "context canceled" if not self.args else super().__str__()


class DeadlineExceeded(TimeoutError):
    """The context's deadline has passed."""

    def __str__(self) -> str:
        return "context deadline exceeded" if not self.args else super().__str__()


# A context keeps its error as a class, and whoever asks gets a new exception of it. A raised exception refers
# to the frames that it has passed, which refer to the context: kept there, it would be garbage that only the
# collector finds, grow with everyone who raises it, and without a GIL break when two threads raise it.
_Error = Exception | type[Canceled] | type[DeadlineExceeded]
_Outcome = tuple[_Error, BaseException | None]

_CANCELED: _Outcome = (Canceled, None)


class Context:
    """A deadline, a cancellation signal and values, handed down from caller to callee; safe from any thread.

    Made by this module's functions. A subclass with methods of its own can be a parent too: if it has its own
    done(), a goroutine waits for that until the child has ended.
    """

    __slots__ = ("__weakref__",)

    def done(self) -> RecvChan[None]:
        """The channel that is closed when the context is cancelled or times out; nil if it never is."""
        preempt_point()
        return _NIL

    def err(self) -> Exception | None:
        """None until then, and then a new Canceled each time, or a new DeadlineExceeded."""
        preempt_point()
        return None

    def raise_if_done(self) -> None:
        """Raise what err() would return, if anything, with cause(self) as its `__cause__`."""
        err = self.err()
        if err is None:
            return
        why = cause(self)
        if type(err) in (Canceled, DeadlineExceeded):
            err = type(err)()
        try:
            raise err from (None if why is None or type(why) is type(err) else why)
        finally:  # its traceback refers to this frame, which must not refer back
            err = why = None

    def deadline(self) -> float | None:
        """When it ends by itself, on the clock of time.monotonic(); None: never."""
        preempt_point()
        return None

    def value(self, key: object, default: Any = None) -> Any:
        """The value that with_value() has given to this key, nearest first; else the default."""
        preempt_point()
        return default


_NIL: RecvChan[None] = nilchan.recv_only()
_closed: Chan[None] = _core.bubble_chan(0)
_closed.close()
_CLOSED = (_closed.recv_only(), _closed)

_NEAREST = object()  # value(_NEAREST) is the nearest _CancelCtx: also through a parent that is not ours


class _Root(Context):
    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


class _Derived(Context):
    """What has a parent. Chains may be long, so nothing here recurses along them."""

    __slots__ = ("_parent",)

    _parent: Context

    def done(self) -> RecvChan[None]:
        return _up(self, _ends).done()

    def err(self) -> Exception | None:
        return _up(self, _ends).err()

    def deadline(self) -> float | None:
        return _up(self, _has_deadline).deadline()

    def value(self, key: object, default: Any = None) -> Any:
        preempt_point()
        ctx: Context = self
        while isinstance(ctx, _Derived):
            if key is _NEAREST:
                if isinstance(ctx, _CancelCtx):
                    return ctx
                if isinstance(ctx, _WithoutCancel):
                    return default
            elif isinstance(ctx, _ValueCtx) and (ctx._key is key or ctx._key == key):
                return ctx._value
            ctx = ctx._parent
        return ctx.value(key) if default is None else ctx.value(key, default)

    def _suffix(self) -> str:
        raise NotImplementedError

    def __repr__(self) -> str:
        parts = []
        ctx: Context = self
        while isinstance(ctx, _Derived) and type(ctx).__repr__ is _Derived.__repr__:
            parts.append(ctx._suffix())
            ctx = ctx._parent
        parts.append(
            repr(ctx) if isinstance(ctx, _Root) or type(ctx).__repr__ is not object.__repr__ else _name(ctx)
        )
        return "".join(reversed(parts))


def _up(ctx: _Derived, found: tuple[type[Context], ...]) -> Context:
    """The nearest ancestor of one of these types, or the first that is not ours."""
    up = ctx._parent
    while isinstance(up, _Derived) and not isinstance(up, found):
        up = up._parent
    return up


def _name(value: object) -> str:
    return value if isinstance(value, str) else "<nil>" if value is None else type(value).__qualname__


class _ValueCtx(_Derived):
    __slots__ = ("_key", "_value")

    def __init__(self, parent: Context, key: object, value: object) -> None:
        self._parent = parent
        self._key = key
        self._value = value

    def _suffix(self) -> str:
        return f".WithValue({_name(self._key)}, {_name(self._value)})"


class _WithoutCancel(_Derived):
    __slots__ = ()

    def __init__(self, parent: Context) -> None:
        self._parent = parent

    def done(self) -> RecvChan[None]:
        preempt_point()
        return _NIL

    def err(self) -> Exception | None:
        preempt_point()
        return None

    def deadline(self) -> float | None:
        preempt_point()
        return None

    def _suffix(self) -> str:
        return ".WithoutCancel"


class _CancelCtx(_Derived):
    """Made by _derive(): without __init__ it takes half the time."""

    __slots__ = ("_state",)

    _state: dict[str, Any]

    def done(self) -> RecvChan[None]:
        preempt_point()
        state = self._state
        done: tuple[RecvChan[None], Chan[None]] | None = state.get("done")
        if done is None:
            if "err" in state:
                done = state.setdefault("done", _CLOSED)
            else:
                _need(self)
                channel: Chan[None] = _core.bubble_chan(state.get("bubble", 0)) if in_bubbles else Chan()
                done = state.setdefault("done", (channel.recv_only(), channel))
            if "err" in state:
                self._close()
        return done[0]

    def _close(self) -> None:
        state = self._state
        done = state.get("done")
        if done is not None and "closed" not in state:
            _core.bubble_close(done[1])
            state["closed"] = True

    def err(self) -> Exception | None:
        preempt_point()  # whoever polls this must not keep from running what is to end it
        state = self._state
        outcome: _Outcome | None = state.get("err")
        if outcome is None:
            return None
        self._close()  # whoever has set it may not have come to that, and done() must agree with err()
        error = outcome[0]
        return error() if isinstance(error, type) else error

    def _cause(self) -> BaseException | None:
        outcome: _Outcome | None = self._state.get("err")
        return outcome and outcome[1]

    def _cancel(self) -> None:
        """End the context, and all below it, as Canceled. Idempotent; from any goroutine or thread."""
        preempt_point()
        state = self._state
        state.setdefault("err", _CANCELED)
        if len(state) > 1:
            _end(self, _CANCELED)

    def _cancel_cause(self, cause: BaseException | None, /) -> None:
        """Like any cancel function, and cause(ctx) is `cause`, if this is the first."""
        preempt_point()
        _end(self, (Canceled, _check_cause(cause)))

    def _suffix(self) -> str:
        return ".WithCancel"


class _TimerCtx(_CancelCtx):
    __slots__ = ("_deadline", "_held", "_why")

    _deadline: float
    _held: list[_CancelCtx | None]  # refers to it when it is needed; the timer has it
    _why: BaseException | None

    def deadline(self) -> float | None:
        preempt_point()
        return self._deadline

    def __del__(self) -> None:
        timer = self._state.pop("timer", None)
        if timer is not None:
            timer.stop()

    def _suffix(self) -> str:
        return f".WithDeadline({self._deadline:.6f} [{self._deadline - gotime.now():.6f}s])"


_ends: tuple[type[Context], ...] = (_CancelCtx, _WithoutCancel)
_has_deadline: tuple[type[Context], ...] = (_TimerCtx, _WithoutCancel)


in_bubbles = False  # there has been one


def _new_state() -> dict[str, Any]:
    return {"bubble": _core.bubble_tag()} if in_bubbles else {}


def _derive(parent: Context) -> _CancelCtx:
    ctx = _CancelCtx()
    ctx._parent = parent
    ctx._state = _new_state()
    return ctx


def _expire(weak: ref[_TimerCtx], held: list[_CancelCtx | None]) -> None:
    ctx = weak()
    if ctx is not None:
        _end(ctx, (DeadlineExceeded, ctx._why))


def _need(ctx: Context) -> None:
    """Have ctx kept alive by its parent, that by its own, and each by its timer."""
    while isinstance(ctx, _CancelCtx) and "needed" not in ctx._state:
        ctx._state["needed"] = True
        link = ctx._state.get("link")
        if link is not None:
            link[0][link[1]] = ctx
        if isinstance(ctx, _TimerCtx):
            ctx._held[0] = ctx
        if "err" in ctx._state:
            _end(ctx, _CANCELED)  # it may have ended before that: let go again
        ctx = _up(ctx, _ends)


def _end(ctx: _CancelCtx, outcome: _Outcome) -> None:
    """End ctx and all below it. What has ended already stays as it is, but all that goes with it is done."""
    below: list[tuple[_CancelCtx, _Outcome]] = []
    while True:
        state = ctx._state
        outcome = state.setdefault("err", outcome)
        if len(state) > 1:
            _finish(ctx, state)
            children = state.get("children")
            while children:
                try:
                    weak, child = children.popitem()
                except KeyError:
                    break
                child = child or weak()
                if child is not None:
                    below.append((child, outcome))
        if not below:
            return
        ctx, outcome = below.pop()


def _finish(ctx: _CancelCtx, state: dict[str, Any]) -> None:
    """What goes with ctx's end, apart from its children: each only once, for it is taken out of the dict."""
    ctx._close()
    link = state.get("link")
    if link is not None:
        link[0].pop(link[1], None)
    if isinstance(ctx, _TimerCtx):
        ctx._held[0] = None
    timer = state.pop("timer", None)
    if timer is not None:
        timer.stop()
    fn = state.pop("fn", None)
    if fn is not None:
        call, args, kwargs = fn
        go(call, *args, **kwargs)
    stop = state.pop("stop", None)
    if stop is not None:
        stop()


def _adopt(ctx: _CancelCtx, parent: Context) -> None:
    """Have ctx end when its parent does."""
    if type(parent) is _Root:
        return
    up = parent
    if isinstance(parent, _Derived) and not isinstance(parent, _ends):
        up = _up(parent, _ends)
    if isinstance(up, _CancelCtx):
        _add_child(up, ctx)
    elif not isinstance(up, (_Root, _WithoutCancel)):
        _adopt_by_foreign(ctx, up)


def _add_child(up: _CancelCtx, ctx: _CancelCtx) -> None:
    state = up._state
    if "err" not in state:
        children = state.get("children")
        if children is None:
            children = state.setdefault("children", {})
        weak = ref(ctx, lambda weak: children.pop(weak, None) and None)
        ctx._state["link"] = (children, weak)
        children[weak] = None
    outcome = state.get("err")
    if outcome is not None:
        _end(ctx, outcome)


def _adopt_by_foreign(ctx: _CancelCtx, parent: Context) -> None:
    done = parent.done()
    if done == _NIL:
        return
    if select(recv(done), default)[0] == 0:
        _end_with(ctx, parent)
        return
    nearest = parent.value(_NEAREST)
    if isinstance(nearest, _CancelCtx) and nearest.done() == done:
        _add_child(nearest, ctx)
        return
    after = getattr(parent, "after_func", None)
    if callable(after):
        ctx._state["stop"] = after(lambda: _end_with(ctx, parent))
        if "err" in ctx._state:
            _end(ctx, _CANCELED)
    else:
        go(_watch, ctx, parent, done)


def _watch(ctx: _CancelCtx, parent: Context, done: RecvChan[None]) -> None:
    if select(recv(done), recv(ctx.done()))[0] == 0:
        _end_with(ctx, parent)


def _end_with(ctx: _CancelCtx, parent: Context) -> None:
    _end(ctx, (parent.err() or Canceled, cause(parent)))


def _check_parent(parent: Context, name: str = "parent") -> None:
    if not isinstance(parent, Context):
        for method in ("done", "err", "deadline", "value"):
            if not callable(getattr(parent, method, None)):
                raise wrong_type(name, "a Context", parent)


def _check_cause(cause: BaseException | None) -> BaseException | None:
    if cause is not None and not isinstance(cause, BaseException):
        raise wrong_type("cause", "an exception or None", cause)
    return cause


_BACKGROUND = _Root("context.Background")
_TODO = _Root("context.TODO")


def background() -> Context:
    """The root: never cancelled, without values or a deadline."""
    return _BACKGROUND


def todo() -> Context:
    """Like background(), for where it is not clear yet which context to use."""
    return _TODO


def with_cancel(parent: Context) -> tuple[Context, CancelFunc]:
    """A child of parent, and the function that cancels it and all below it; it ends with its parent, too.

    Call the function when the work is done, however it ended: until then the parent may remember the child.
    """
    ctx = _CancelCtx()  # _derive(), written out
    ctx._parent = parent
    ctx._state = _new_state() if in_bubbles else {}
    if type(parent) is not _Root:
        _check_parent(parent)
        _adopt(ctx, parent)
    return ctx, ctx._cancel


def with_cancel_cause(parent: Context) -> tuple[Context, CancelCauseFunc]:
    """Like with_cancel(); the function takes an exception, which cause() then returns for the child and all
    below it. With None the cause is the Canceled itself."""
    _check_parent(parent)
    ctx = _derive(parent)
    _adopt(ctx, parent)
    return ctx, ctx._cancel_cause


def with_deadline(parent: Context, deadline: float) -> tuple[Context, CancelFunc]:
    """Like with_cancel(); it also ends, with DeadlineExceeded, at `deadline` on time.monotonic()'s clock.

    If the parent's deadline is earlier, that remains. A pending deadline costs a timer, and no goroutine.
    TypeError unless a number, ValueError for nan.
    """
    return _with_deadline(parent, check_seconds("deadline", deadline), None)


def with_deadline_cause(parent: Context, deadline: float, cause: BaseException) -> tuple[Context, CancelFunc]:
    """with_deadline(); if it ends by that deadline, cause() returns `cause`. The function sets no cause."""
    return _with_deadline(parent, check_seconds("deadline", deadline), _check_cause(cause))


def with_timeout(parent: Context, timeout: float) -> tuple[Context, CancelFunc]:
    """with_deadline() `timeout` seconds from now. Negative is zero: it has ended when it is returned."""
    return _with_deadline(parent, gotime.now() + max(check_seconds("timeout", timeout), 0.0), None)


def with_timeout_cause(parent: Context, timeout: float, cause: BaseException) -> tuple[Context, CancelFunc]:
    """with_timeout(); if it ends by that timeout, cause() returns `cause`. The function sets no cause."""
    seconds = max(check_seconds("timeout", timeout), 0.0)
    return _with_deadline(parent, gotime.now() + seconds, _check_cause(cause))


def _with_deadline(parent: Context, deadline: float, why: BaseException | None) -> tuple[Context, CancelFunc]:
    _check_parent(parent)
    earlier = parent.deadline()
    if earlier is not None and earlier < deadline:
        return with_cancel(parent)
    ctx = _TimerCtx()
    ctx._parent, ctx._state = parent, _new_state()
    ctx._deadline, ctx._why, ctx._held = deadline, why, [None]
    _adopt(ctx, parent)
    left = deadline - gotime.now()
    if left <= 0:
        _end(ctx, (DeadlineExceeded, why))
    elif "err" not in ctx._state:
        ctx._state["timer"] = gotime.after_func(left, _expire, ref(ctx), ctx._held)
        if "err" in ctx._state:
            _end(ctx, _CANCELED)
    return ctx, ctx._cancel


def with_value(parent: Context, key: object, value: object) -> Context:
    """A child of parent that has a value for key. Keys are compared by ==: give yours a type of their own."""
    _check_parent(parent)
    if key is None:
        raise TypeError("`key` must not be None")
    return _ValueCtx(parent, key, value)


def without_cancel(parent: Context) -> Context:
    """A child with the values of parent, which is not cancelled with it and has no deadline."""
    _check_parent(parent)
    return _WithoutCancel(parent)


@overload
def after_func(
    ctx: Context, fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
) -> Callable[[], bool]: ...
@overload
def after_func(
    ctx: Context, fn: Coroutine[Any, Any, object] | Generator[Any, Any, object], /
) -> Callable[[], bool]: ...
def after_func(ctx: Context, fn: Any, /, *args: Any, **kwargs: Any) -> Callable[[], bool]:
    """Run fn(*args, **kwargs), or whatever else go() takes, in a goroutine of its own when ctx has ended; at
    once if it has. -> stop.

    stop() returns True if it has prevented that; False if fn was started, or was stopped before. Several
    calls on one ctx are independent.
    """
    _check_parent(ctx, "ctx")
    kind_of(fn, len(args) + len(kwargs), "fn")  # refuses what go() will not take
    child = _derive(ctx)
    child._state["fn"] = (fn, args, kwargs)
    _adopt(child, ctx)
    _need(child)

    def stop() -> bool:
        stopped = child._state.pop("fn", None) is not None
        if stopped:
            _end(child, _CANCELED)
        return stopped

    return stop


def cause(ctx: Context) -> BaseException | None:
    """Why ctx has ended: the cause given to the cancel that ended it, or else ctx.err(). None: it has not."""
    _check_parent(ctx, "ctx")
    err = ctx.err()
    if err is None:
        return None
    nearest = ctx.value(_NEAREST)
    why = nearest._cause() if isinstance(nearest, _CancelCtx) else None
    return why if why is not None else err
