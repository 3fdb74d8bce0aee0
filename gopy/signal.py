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
import os
import signal as _signal
from typing import Any

from gopy import _core
from gopy._core import SendChan

__all__ = ["notify", "stop"]

_uncatchable = frozenset({_signal.SIGKILL, _signal.SIGSTOP})


def _member(signum: int) -> int:
    """The signal.Signals of this number; a real-time signal has none and stays an int."""
    if isinstance(signum, bool) or not isinstance(signum, int):
        raise TypeError(f"`signum` must be an int, got {type(signum).__name__}")
    if signum not in _signal.valid_signals():
        raise ValueError(f"`signum` must be a signal's number, got {signum}")
    if signum in _uncatchable:
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
