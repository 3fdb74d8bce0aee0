"""Goroutines import modules as threads do: who comes second waits until the module is whole.

importlib has a lock for each module that is being imported, and sees when those that wait for each other's
would wait for ever: then one of them gets the module as it is. All of that stays. But what it takes for the
identity of a thread is a goroutine's here, and what its waiters wait with parks. Where no goroutine runs
nothing changes.
"""

import _frozen_importlib  # as which the interpreter knows importlib._bootstrap
import _thread
import types
from typing import Any

from gopy import _core
from gopy._core import Goroutine, Mutex

_importlib: Any = _frozen_importlib


class _Lock(Mutex):
    """What _thread.allocate_lock() makes, as far as importlib needs it."""

    def acquire(self, blocking: bool = True) -> bool:
        if self.try_lock():
            return True
        if blocking:
            self.lock()
        return blocking

    release = Mutex.unlock


_main: Goroutine | None = None


def _get_ident() -> int:
    """The same for the life of a goroutine. The main one's is its thread's, which may be in the middle of an
    import when it first uses gopy; and a goroutine that forks stays the same object in the child.
    """
    goroutine = _core.running_here()
    return _thread.get_ident() if goroutine is None or goroutine is _main else id(goroutine)


def start() -> None:
    global _main
    _main = _core.goroutines()[0]
    own = types.ModuleType("_thread")
    own.__dict__.update(_thread.__dict__, get_ident=_get_ident, allocate_lock=_Lock)
    _importlib._thread = own
    for ref in list(_importlib._module_locks.values()):  # of modules whose import has led here
        lock = ref()
        if lock is not None:
            with lock.lock:
                if not lock.waiters:
                    lock.wakeup = _Lock()
