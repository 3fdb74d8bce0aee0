"""runtime.preempt(): time slices also for goroutines that compute and call nothing of gopy's.

The C core brings such a goroutine to a point where it yields (csrc/python/pypreempt.c says how, and
where that cannot be done). On the main thread of a build with a GIL it needs the number of a signal
that has our handler. No such signal is ever sent: Python is only told that one has come.
"""

import os
import signal
import threading
from _thread import get_ident as _thread_ident  # of a thread, also once gopy.monkey has replaced the name

from gopy import _core

_signum = 0  # 0: none is ours yet
_wanted: float | None = None
_NEEDS_SIGNAL = not _core.FREE_THREADED


def _take_signal() -> int:
    """Make a signal ours that nobody handles: of the highest number, as Python calls handlers in their
    order, and ours may come back late. ValueError off the main thread. RuntimeError: there is none.
    """
    global _signum
    if not _signum:
        for number in sorted(signal.valid_signals(), reverse=True):
            if number > signal.SIGTERM and signal.getsignal(number) == signal.SIG_DFL:
                try:
                    signal.signal(number, _core.preempt_signal)
                except OSError:  # SIGSTOP, which nobody can handle
                    continue
                _signum = number
                break
        else:
            raise RuntimeError("preempt() needs a signal that nobody handles, and there is none")
    return _signum


def on_main_thread() -> bool:
    """Whether the main thread runs the caller, in whatever goroutine. Once patched, current_thread() is the
    goroutine's own, and so is the main thread's identity after a fork.
    """
    main = threading.main_thread().ident
    return main is not None and _thread_ident() == _core.native_ident(main)


def preempt(seconds: float | None) -> None:
    """Make a goroutine yield that has run for so long while others wait, even if it calls nothing of
    gopy's.

    Every call into gopy, parking or not, yields once its goroutine has run for 10 ms while others wait;
    that is always so, but for ==, bool(), hash(), repr() and reading an id. This is for goroutines that make
    no such call: they yield between two bytecodes. It looks every 5 ms. None, the default, turns it off.
    GOPY_PREEMPT=0.01 in the environment turns it on from the start.

    The switch may come anywhere, also while the goroutine holds a threading.Lock or RLock, which belong
    to its thread: another goroutine of that thread that takes the Lock then blocks the thread for ever,
    and one that takes the RLock gets it. Turn it on if goroutines use gopy.sync's locks only, or hold
    the others for no longer than a statement.

    Reached are goroutines on every thread of CPython 3.11 and of free-threaded builds, and with a GIL
    from 3.12 on those on the main thread. A goroutine inside a C function is reached when that returns.

    Call it on the main thread. ValueError: seconds is not positive, or elsewhere on a build with a GIL.
    TypeError: it is no number. RuntimeError: on a build with a GIL, if every signal has a handler already.
    """
    global _wanted
    on_main = on_main_thread()
    if seconds is not None and _NEEDS_SIGNAL and not on_main and not _signum:
        raise ValueError("preempt() must be called on the main thread")
    _core.preempt_after(seconds, _take_signal() if seconds is not None and _NEEDS_SIGNAL and on_main else 0)
    _wanted = seconds


def at_start() -> None:
    """Called when gopy is imported, on whatever thread."""
    global _wanted
    text = os.environ.get("GOPY_PREEMPT", "")
    if text in ("", "0"):
        return
    try:
        _wanted = float(text)
        _core.preempt_after(_wanted, 0)
    except ValueError:
        raise ValueError(
            f"the environment variable GOPY_PREEMPT must be a positive number of seconds, or 0, got {text!r}"
        ) from None
    if on_main_thread():
        at_adoption()


def at_adoption() -> None:
    """Called on the main thread when that first uses gopy."""
    if _wanted is not None and _NEEDS_SIGNAL:
        _core.preempt_after(_wanted, _take_signal())
