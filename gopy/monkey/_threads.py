"""The part `threading`: locks, identities, threading.local, and waiting for threads.

A thread stays a thread. What blocks there on two locks of C (Semaphore, Barrier, Queue, Future) is the
standard library's own Python on those two and on Condition, which here park whoever waits, goroutine or
thread. Condition and Event are the library's classes, with methods of C (csrc/python/pycondition.c).
"""

import _frozen_importlib
import _thread
import functools
import queue
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from gopy import _core
from gopy._panic import _Goexit
from gopy.monkey import _registry, _signals
from gopy.monkey._sleep import Deadline

_thread_module: Any = _thread
_threading: Any = threading


class _Started:
    """The Event of a thread that has been started."""

    def is_set(self) -> bool:
        return True


def _is_dead(goroutine: _core.Goroutine) -> bool:
    return goroutine.state == "dead"


def _join(goroutine: _core.Goroutine, timeout: float | None) -> None:
    try:
        goroutine.join(None if timeout is None else max(timeout, 0))
    except TimeoutError:
        pass


class GoroutineThread(threading.Thread):
    """What current_thread() is in a goroutine. The goroutine's end takes it along; threading.enumerate()
    has it not.
    """

    _started = _Started()
    _context = None

    def __init__(
        self, goroutine: _core.Goroutine
    ) -> None:  # not Thread's, which makes locks and is for those that start
        self._goroutine = goroutine
        self._name = f"goroutine-{goroutine.id}"
        self._daemonic = False  # the threads that it starts inherit that
        self._ident = _core.get_ident()
        self._native_id = threading.get_native_id()
        self._initialized = True

    def is_alive(self) -> bool:
        return not _is_dead(self._goroutine)

    def join(self, timeout: float | None = None) -> None:
        if self is current_thread():
            raise RuntimeError("cannot join current thread")
        _join(self._goroutine, timeout)

    def _set_os_name(self) -> None:  # from 3.14 on, when it is renamed: the thread is not its own
        pass

    def __repr__(self) -> str:
        state = "started" if self.is_alive() else "stopped"
        return f"<{type(self).__name__}({self._name}, {state} {self._ident})>"


_mine = threading.local()
_active: dict[int, threading.Thread] = _threading._active
_original_current_thread = threading.current_thread


@functools.wraps(_original_current_thread)
def current_thread() -> threading.Thread:
    thread = _active.get(_core.get_ident())
    if thread is not None:
        return thread
    goroutine = _core.running_here()
    if goroutine is None:
        return _original_current_thread()
    try:
        return _mine.thread  # type: ignore[no-any-return]
    except AttributeError:
        thread = _mine.thread = GoroutineThread(goroutine)
        return thread


def _ended(thread: threading.Thread) -> threading.Event:
    """Set when the thread has taken itself out of the list of those that run."""
    return vars(thread).setdefault("_gopy_ended", threading.Event())  # type: ignore[no-any-return]


def _making_join(original: Callable[..., None]) -> Callable[..., None]:
    def join(self: threading.Thread, timeout: float | None = None) -> None:
        deadline = Deadline(timeout)
        if _core.parks() and self is not current_thread():
            ended = _ended(self)  # before the look: see _making_delete
            if self.ident is not None and _active.get(self.ident) is self:
                _core.bubble_lends()
                ended.wait(None if timeout is None else max(timeout, 0))
        original(self, deadline.left())

    return join


def _making_delete(original: Callable[..., None]) -> Callable[..., None]:
    def _delete(self: threading.Thread) -> None:
        try:
            original(self)
        finally:
            _ended(self).set()

    return _delete


def _starting(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def start_new_thread(*args: Any, **kwargs: Any) -> Any:
        _core.bubble_lends()  # the thread may know what this bubble's goroutines wait for
        return original(*args, **kwargs)

    return start_new_thread


# A Timer that is started in a bubble of gopy.testing is a goroutine of the bubble, and so on its clock.


def _making_timer_start(original: Callable[..., None]) -> Callable[..., None]:
    def start(self: Any) -> None:
        if not _core.in_bubble() or self._started.is_set():
            original(self)
            return
        self._started.set()
        self._gopy_goroutine = _core.go(_run_timer, self)

    return start


def _run_timer(timer: Any) -> None:
    _mine.thread = timer
    timer._ident = _core.get_ident()
    try:
        timer.run()
    except _Goexit:
        raise
    except BaseException:
        timer._invoke_excepthook(timer)


def _making_timer_is_alive(original: Callable[..., bool]) -> Callable[..., bool]:
    def is_alive(self: Any) -> bool:
        goroutine = vars(self).get("_gopy_goroutine")
        return original(self) if goroutine is None else not _is_dead(goroutine)

    return is_alive


def _making_timer_join(original: Callable[..., None]) -> Callable[..., None]:
    def join(self: Any, timeout: float | None = None) -> None:
        goroutine = vars(self).get("_gopy_goroutine")
        if goroutine is None or self is current_thread():  # that raises
            original(self, timeout)
        else:
            _join(goroutine, timeout)

    return join


_WAITING = ("wait", "notify", "notify_all", "_is_owned", "_release_save", "_acquire_restore")


def _is_whole(cls: type) -> bool:
    """Is its waiting Condition's own, of which a subclass may have replaced a part?"""
    condition = threading.Condition
    return cls is condition or all(getattr(cls, name) is getattr(condition, name) for name in _WAITING)


def _taken_over(original: Callable[..., None], lock: Any) -> tuple[str, ...]:
    """The methods of its lock that a Condition has as attributes of its own, seen in one that the library has
    made.
    """
    made = object.__new__(threading.Condition)
    original(made, lock)
    names = tuple(name for name, value in vars(made).items() if getattr(value, "__self__", None) is lock)
    if vars(made).keys() != {"_lock", "_waiters", *names}:
        raise ImportError("gopy.monkey does not know this version of Python: a Condition holds more")
    return names


def _patch_conditions() -> None:
    condition, event = threading.Condition, threading.Event
    original: Any = condition.__init__

    def __init__(self: Any, lock: Any = None) -> None:  # of a subclass, or over a lock of another kind
        original(self, lock)
        if type(self._lock) in (_core.Lock, _core.RLock) and _is_whole(type(self)):
            self._waiters = _core.Waiters(self._lock)  # by which the methods in C know it

    slow = (
        __init__,
        condition.wait,
        condition.notify,
        condition.notify_all,
        event.wait,
        event.set,
        event.clear,
    )
    taken_over = tuple(_taken_over(original, lock) for lock in (_core.Lock(), _core.RLock()))
    all_methods = _core.condition_methods(condition, event, slow, taken_over)
    for cls, methods in zip((condition, event), all_methods, strict=True):
        for name, method in methods.items():
            _registry.replace_method(cls, name, partial(_registry.given, method))


def patch() -> None:
    _core.own_locals()
    _core.get_ident.__module__ = "_thread"
    for name in ("allocate_lock", "allocate", "LockType", "lock"):
        if hasattr(_thread_module, name):  # `lock` from 3.13 on
            _registry.replace(_thread_module, name, _core.Lock)
    _registry.replace(_thread_module, "RLock", _core.RLock)
    _registry.replace(_thread_module, "get_ident", _core.get_ident)
    for name in ("_allocate_lock", "Lock", "_LockType"):
        if hasattr(_threading, name):  # `_LockType` from 3.13 on
            _registry.replace(_threading, name, _core.Lock)
    _registry.replace(_threading, "_CRLock", _core.RLock)
    _registry.replace(_threading, "get_ident", _core.get_ident)
    if hasattr(
        _threading, "_get_main_thread_ident"
    ):  # from 3.13 on, for who has forked and is the main thread then
        _registry.replace(_threading, "_get_main_thread_ident", _core.get_ident)
    _registry.replace(_threading, "current_thread", current_thread)
    _signals.patch()
    _patch_conditions()
    _registry.replace_method(threading.Thread, "join", _making_join)
    _registry.replace_method(threading.Thread, "_delete", _making_delete)
    for module, name in (
        (_thread_module, "start_new_thread"),
        (_thread_module, "start_new"),
        (_thread_module, "start_joinable_thread"),  # from 3.13 on
        (_threading, "_start_new_thread"),  # until 3.12
        (_threading, "_start_joinable_thread"),
    ):
        if hasattr(module, name):
            _registry.replace(module, name, _starting(getattr(module, name)), everywhere=False)
    _registry.replace_method(threading.Timer, "start", _making_timer_start, inherited=True)
    _registry.replace_method(threading.Timer, "is_alive", _making_timer_is_alive, inherited=True)
    _registry.replace_method(threading.Timer, "join", _making_timer_join, inherited=True)
    for module, name in ((_threading, "_time"), (queue, "time")):
        _registry.replace(module, name, _core.monotonic_of_waits, everywhere=False)
    importlib: Any = _frozen_importlib
    importlib._thread.RLock = _core.RLock  # the rest of it is gopy's already: see gopy/_import.py
    functools_: Any = sys.modules["functools"]
    if hasattr(functools_, "RLock"):
        _registry.replace(functools_, "RLock", _core.RLock)
