"""The part `threading`, as far as signals are concerned.

Ctrl-C: where gopy's handler stands instead of Python's own, it is shown as that. asyncio.run(), for one,
cancels its task at a Ctrl-C only if it finds Python's handler, and sets that again at its end.
"""

import errno
import functools
import os
import signal
from typing import Any

from gopy import _core
from gopy.monkey import _registry

_original_getsignal, _original_signal = signal.getsignal, signal.signal
_original_pthread_kill = signal.pthread_kill


def _shown(handler: Any) -> Any:
    return signal.default_int_handler if handler is _core.sigint else handler


@functools.wraps(_original_getsignal)
def _getsignal(signalnum: int) -> Any:
    return _shown(_original_getsignal(signalnum))


@functools.wraps(_original_signal)
def _signal(signalnum: int, handler: Any) -> Any:
    if (
        handler is signal.default_int_handler
        and signalnum == signal.SIGINT
        and _core.running_here() is not None
    ):
        handler = _core.sigint
    return _shown(_original_signal(signalnum, handler))


@functools.wraps(_original_pthread_kill)
def _pthread_kill(thread_id: int, signalnum: int, /) -> None:
    native = _core.native_ident(thread_id)
    if native == 0:  # a goroutine that has ended, or has not begun; C's function would crash
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    _original_pthread_kill(native, signalnum)


_pthread_kill.__module__ = "signal"


def patch() -> None:
    _registry.replace(signal, "getsignal", _getsignal)
    _registry.replace(signal, "signal", _signal)
    _registry.replace(signal, "pthread_kill", _pthread_kill)
