"""The end of the program: what the interpreter does then, among goroutines."""

import atexit
import contextlib
import os
import sys
import threading
from typing import NoReturn

from gopy import _core

main_has_exited = False  # it has called runtime.goexit()
_shutdown_of_threading = threading._shutdown  # type: ignore[attr-defined]
_joining = False


def others_left() -> bool:
    """Is there a thread that the end of the program waits for?"""
    main = threading.main_thread()
    return any(thread is not main and not thread.daemon for thread in threading.enumerate())


def goes_on() -> bool:
    """Is the thread that waits for the others about to find that there are none?"""
    return _joining and not others_left()


def _joins_begin() -> None:
    """Runs when threading has only to wait for the threads. That wakes nobody as long as there is one (see
    goes_on); so if all of them wait for ever, the program is deadlocked."""
    global _joining
    if sys.version_info < (3, 13):  # elsewhere _shutdown() does so whatever the thread that calls it
        main = threading.main_thread()
        main._tstate_lock.release()  # type: ignore[attr-defined]
        main._stop()  # type: ignore[attr-defined]
    _joining = True
    _core.add_external(-1)


def _shutdown_aside() -> None:
    """What threading does at the end of the main module, on another thread, while the main goroutine is
    parked: so those that started on its thread go on, for which the threads may wait. A panic, a goroutine's
    sys.exit() or a deadlock ends the program here as it does while the main module runs; whatever else is
    raised meanwhile, by a signal handler or a tracer, the interpreter tells and ignores."""
    from gopy._panic import Deadlock, GoroutinePanic

    failed: list[BaseException] = []

    def body() -> None:
        global _joining
        try:
            _shutdown_of_threading()
        except BaseException as exc:
            failed.append(exc)
        finally:
            if _joining:
                _core.add_external(1)
                _joining = False

    # They are called in reverse: this one after all others.
    threading._threading_atexits.insert(0, _joins_begin)  # type: ignore[attr-defined]
    try:
        _core.blocking(body)
    except (SystemExit, Deadlock, GoroutinePanic) as exc:
        status = _status(exc)
        try:
            atexit._run_exitfuncs()
        finally:
            leave(status)
    if failed:
        raise failed[0]


def _shutdown() -> None:
    """threading._shutdown(), which the interpreter calls when the main module has ended."""
    on_main = threading.current_thread() is threading.main_thread()
    if others_left() and on_main and _core.current().id == 1:  # also if main has not used gopy before
        _shutdown_aside()
    _shutdown_of_threading()


def at_exit() -> None:
    if main_has_exited and threading.current_thread() is threading.main_thread():
        try:
            _core.park_forever()
        except BaseException as exc:
            leave(_status(exc))


def on_forked_exit(exc: BaseException | None) -> NoReturn:
    """Called by the core when the goroutine that forked has ended, in the child: what the interpreter does
    when the main module has ended, except for what cannot be done on this stack."""
    status = _status(exc)
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    finally:
        leave(status)


def _status(exc: BaseException | None) -> int:
    """The exit status of a program that has ended with exc, which is told."""
    if exc is None:
        return 0
    if isinstance(exc, SystemExit) and (exc.code is None or isinstance(exc.code, int)):
        return exc.code or 0
    with contextlib.suppress(
        OSError, ValueError
    ):  # nobody reads it, or it is closed: the status says the rest
        if isinstance(exc, SystemExit):
            print(exc.code, file=sys.stderr)
        else:
            from gopy._panic import last_words

            print(last_words(exc), end="", file=sys.stderr)
    return 1


def leave(status: int) -> NoReturn:
    """The interpreter has its exit status already when atexit runs; only this still changes it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                status = status or 120  # as the interpreter's own
    os._exit(status)


def start() -> None:
    atexit.register(_core.shutdown)  # runs after at_exit, even if that fails: a tracer may raise there
    atexit.register(at_exit)
    threading._shutdown = _shutdown  # type: ignore[attr-defined]
