"""Panics: what they are, how one ends the program, and how a deadlock is told."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn

from gopy import _asyncio, _core, _exit, _preempt, _stacks
from gopy._arguments import check_callable
from gopy._core import Goroutine


class Panic(RuntimeError):
    """A run-time panic, with Go's message.

    An exception of any type that leaves a goroutine's function unhandled is that goroutine's panic: its
    traceback goes to stderr with the goroutine's id and name, and the program ends as if the main goroutine
    had raised GoroutinePanic (see runtime.set_panic_handler).
    """

    __module__ = "gopy"  # tracebacks name it as programs do


class ClosedChannelError(Panic):
    """A send on a closed channel, or the close of one."""

    __module__ = "gopy"


class GoroutinePanic(Panic):
    """Raised in the main goroutine when another one panicked; `__cause__` is the exception that did it."""

    __module__ = "gopy"

    goroutine: Goroutine
    _told = False  # its cause has been printed


class Deadlock(Panic):
    """Raised in the main goroutine, with every goroutine's stack, when no goroutine can ever run again."""

    __module__ = "gopy"


class _Goexit(SystemExit):
    """Unwinds a goroutine for runtime.goexit(). As a SystemExit it passes `except Exception`, and leaves the
    main module without a word."""


PanicHandler = Callable[[Goroutine, BaseException], bool]

_handler: PanicHandler | None = None
stray: PanicHandler | None = (
    None  # gopy.testing's: tells of a panic by itself, if the test is over that has started it
)


def set_panic_handler(handler: PanicHandler | None) -> PanicHandler | None:
    """Have handler(goroutine, exception) called for each panic, in the goroutine that panicked, and return
    the previous handler. If it returns True the program goes on. None is the default: print and end the
    program, or with GOPY_PANIC=print in the environment print and go on."""
    global _handler
    if handler is not None:
        check_callable("handler", handler, "callable or None")
    was, _handler = _handler, handler
    return was


def _print_panic(goroutine: Goroutine, exc: BaseException) -> bool:
    """-> whether it is told."""
    try:
        text = _stacks.exception_text(exc) + _stacks.created_by(goroutine)
        if sys.stderr is not None:
            print(f"panic in goroutine {goroutine.id} [{goroutine.name}]:\n{text}", end="", file=sys.stderr)
            sys.stderr.flush()
            return True
    except Exception:  # nobody left to tell; the panic itself must still reach the main goroutine
        pass
    return False


def last_words(exc: BaseException) -> str:
    """What is printed when the program ends with exc: a panic's cause is not told twice."""
    return _stacks.exception_text(exc, chain=not (isinstance(exc, GoroutinePanic) and exc._told))


def _on_end(cls: type[BaseException], exc: BaseException, tb: TracebackType | None) -> None:
    """sys.excepthook once there was a panic, unless the program has set one of its own."""
    if isinstance(exc, GoroutinePanic) and exc._told:
        print(last_words(exc), end="", file=sys.stderr, flush=True)
    else:
        sys.__excepthook__(cls, exc, tb)


def _summary(exc: BaseException) -> str:
    try:
        return f"{type(exc).__name__}: {exc}"
    except Exception:
        return type(exc).__name__


def _on_panic(goroutine: Goroutine, exc: BaseException) -> None:
    """Called by the core when an exception has left a goroutine's function."""
    bubble = _core.bubble_of(goroutine)
    if isinstance(exc, (SystemExit, KeyboardInterrupt)):
        if bubble is None:
            _core.interrupt_main(exc)
        else:
            bubble.panicked(goroutine, exc)
        return
    handler = _handler
    if handler is not None:
        try:
            if handler(goroutine, exc):
                return
        except BaseException as second:  # the handler's own failure is a panic too
            second.__context__ = exc
            exc = second
    if bubble is not None:
        bubble.panicked(goroutine, exc)
        return
    if stray is not None and stray(goroutine, exc):
        return
    told = _print_panic(goroutine, exc)
    if handler is None and os.environ.get("GOPY_PANIC") == "print":
        return
    panic = GoroutinePanic(f"goroutine {goroutine.id} [{goroutine.name}]: {_summary(exc)}")
    panic.goroutine = goroutine
    panic.__cause__ = exc
    panic._told = told
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _on_end
    _core.interrupt_main(panic)


def goexit() -> NoReturn:
    """End this goroutine, running its finally blocks. In the main goroutine: the others go on, and when the
    last is gone the program fails as a deadlock. RuntimeError on a thread that gopy does not run."""
    if _core.current().id == 1:
        _exit.main_has_exited = True
    raise _Goexit(0)


def _signals_can_wake() -> bool:
    ours = (signal.default_int_handler, _core.sigint, _core.preempt_signal)
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        if callable(handler) and handler not in ours and not getattr(handler, "gopy_only_looks", False):
            return True
    return False


def _count_threads() -> int:
    """How many threads the process has, also such as Python knows nothing of: any of them may call back."""
    try:
        if sys.platform == "linux":
            return len(os.listdir("/proc/self/task"))
        import psutil  # type: ignore[import-untyped]  # not for every program

        return psutil.Process().num_threads()
    except OSError:
        return sys.maxsize  # unknown: somebody may be there


def _all_asleep() -> bool:
    return not _exit.goes_on() and _core.all_asleep(_count_threads)


def _on_idle() -> None:
    """Called by the core, in a goroutine of its own on the main thread, when every goroutine has been parked
    for a while and there is no timer: raise Deadlock in the main goroutine unless something else may wake
    one."""
    if _signals_can_wake() or not _all_asleep():
        return
    if _exit.main_has_exited:
        message = "no goroutines (main called runtime.goexit) - deadlock!"
    else:
        message = "all goroutines are asleep - deadlock!"
    from gopy import runtime

    deadlock = Deadlock(f"{message}\n\n{runtime.stack(all=True)}")
    if _all_asleep():  # still, after all that Python
        _core.interrupt_main(deadlock)


def _debug_at_adoption() -> None:
    from gopy import runtime

    runtime._dump_at_start()
    if sys.flags.dev_mode or "hogs" in os.environ.get("GOPY_DEBUG", "").split(","):
        from gopy import debug

        debug.hogs()


def _on_adopt() -> None:
    """Called by the core when the main thread first uses gopy: Ctrl-C is the main goroutine's from now on."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _core.sigint)
        _core.signal_retake()  # gopy.signal may have been notifying of it already
    _preempt.at_adoption()
    _debug_at_adoption()
    _asyncio.watch_loops()


def _start(gomaxprocs: int) -> None:
    _stacks.start()
    main = threading.main_thread().ident
    hooks = (_on_panic, _on_idle, _on_adopt, _exit.on_forked_exit)
    asyncio_hooks = (_asyncio.loop_queue, _asyncio.once_ado, _asyncio.close_asyncgen)
    _core.start(gomaxprocs, main, *hooks, *asyncio_hooks, Panic, ClosedChannelError, _Goexit)
    os.register_at_fork(
        before=_core.before_fork, after_in_parent=_core.fork_parent, after_in_child=_core.fork_child
    )
    _exit.start()
