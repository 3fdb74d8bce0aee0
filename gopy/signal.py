"""Go's package os/signal: signals as values on channels.

A signal that somebody is notified of has no other effect: a notified SIGINT raises no KeyboardInterrupt, and
a handler set before by the standard library's signal.signal() is not called. A handler set while the signal
is notified wins, until the next notify() of that signal. With the last stop() of a signal, what happened to
it before happens again. If one comes twice before it could be sent once, it may be sent once, as is the way
of signals.

While a program is notified of a signal it is not deadlocked, even if all its goroutines are parked. In the
child of a fork every notify still holds.
"""

import errno
import functools
import os
import signal as _signal
from collections.abc import Callable
from typing import Any

from gopy import _core, context
from gopy._arguments import check_signum
from gopy._core import Chan, SendChan, go, recv, select

__all__ = ["notify", "notify_context", "stop"]

_uncatchable = frozenset({_signal.SIGKILL, _signal.SIGSTOP})


def _member(signum: int) -> int:
    """The signal.Signals of this number; a real-time signal has none and stays an int."""
    if check_signum(signum) in _uncatchable:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    try:
        return _signal.Signals(signum)
    except ValueError:
        return signum


def notify(ch: SendChan[Any], *signums: int) -> None:
    """Send each of these signals that comes in to ch, as a signal.Signals; without signums, each that can be
    caught. Further calls add to what ch gets.

    Never blocks: a signal that ch has no receiver and no room for at that moment is dropped, as it is once ch
    is closed. So give ch a buffer; 1 is enough to learn that a signal came. Callable from every goroutine and
    thread. The signals arrive also while the main goroutine computes, is parked, or is in a C call. SIGSEGV
    and the like are sent only if a process sent them: a real fault has its former effect.

    TypeError, ValueError: not a channel to send on, not a signal's number. OSError: a signal that cannot be
    caught. Panic: ch is nilchan. Nothing has changed then.
    """
    wanted = tuple(map(_member, signums or sorted(_signal.valid_signals() - _uncatchable)))
    _core.signal_notify(ch, wanted)


def stop(ch: SendChan[Any]) -> None:
    """End what notify(ch) began. When stop returns, ch has got what came before and gets no more signals.
    Without a notify: nothing. TypeError: not a channel to send on."""
    _core.signal_stop(ch)


class _Received(context.Canceled):
    """The cause of a context that a signal has ended."""


class _NotifyContext(context._Derived):
    """What the context below it is, under another name."""

    __slots__ = ("_signums",)

    def __init__(self, ctx: context._Derived, signums: tuple[int, ...]) -> None:
        self._parent = ctx
        self._signums = signums

    def __repr__(self) -> str:
        assert isinstance(self._parent, context._Derived)
        names = " ".join(map(_name, self._signums))
        return f"signal.NotifyContext({self._parent._parent!r}{f', [{names}]' if names else ''})"


def _name(signum: int) -> str:
    """As Go has it: "terminated", "CPU time limit exceeded", "signal 40"."""
    text = _signal.strsignal(signum) if signum < 32 else None
    if not text:
        return f"signal {signum}"
    return text[0].lower() + text[1:] if text[1].islower() else text


_waits: dict[Callable[[], None], None] = {}  # of the contexts that have not ended


@functools.cache
def _go_on_in_forked_children() -> None:
    def resume() -> None:
        for wait in list(_waits):
            go(wait)

    os.register_at_fork(after_in_child=resume)  # called after the runtime's own


def notify_context(ctx: context.Context, *signums: int) -> tuple[context.Context, Callable[[], None]]:
    """A child of ctx that is cancelled when one of these signals comes in, or without signums any that can be
    caught; and stop(), which cancels it as well and ends the notification: from then on the signals have
    their former effect. -> (child, stop)

    The signals have no other effect until stop() is called, also after the first one has come, and if ctx
    ends. context.cause() tells which it was: a Canceled whose text is like "interrupt signal received".
    stop() may be called several times, from anywhere. Errors: those of notify(); TypeError: not a Context.
    """
    context._check_parent(ctx, "ctx")
    child, cancel = context.with_cancel_cause(ctx)
    assert isinstance(child, context._Derived)
    ch: Chan[int] = Chan(1)
    notify(ch, *signums)

    def wait() -> None:
        match select(recv(ch), recv(child.done())):
            case (0, signum, _):
                cancel(_Received(f"{_name(signum)} signal received"))
        _waits.pop(wait, None)

    def stop_notifying() -> None:
        cancel(None)
        stop(ch)

    if child.err() is None:
        _go_on_in_forked_children()
        _waits[wait] = None
        go(wait)
    return _NotifyContext(child, tuple(map(_member, signums))), stop_notifying
