"""The scheduler seen from a program. Go's package runtime, and runtime/debug where it fits."""

import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import TextIO, TypedDict

from gopy import _core, _stacks
from gopy._arguments import check_bool, check_signum, wrong_type
from gopy._core import GOMAXPROCS as GOMAXPROCS
from gopy._core import Goroutine
from gopy._core import agosched as agosched
from gopy._core import await_read as await_read
from gopy._core import await_write as await_write
from gopy._core import current as current
from gopy._core import go_locked as go_locked
from gopy._core import goroutines as goroutines
from gopy._core import gosched as gosched
from gopy._core import lock_os_thread as lock_os_thread
from gopy._core import num_goroutine as num_goroutine
from gopy._core import stats as stats
from gopy._core import unlock_os_thread as unlock_os_thread
from gopy._core import wait_read as wait_read
from gopy._core import wait_write as wait_write
from gopy._cpu import num_cpu as num_cpu
from gopy._leaked import leaked as leaked
from gopy._panic import PanicHandler as PanicHandler
from gopy._panic import goexit as goexit
from gopy._panic import set_panic_handler as set_panic_handler
from gopy._preempt import preempt as preempt

__all__ = [
    "GOMAXPROCS",
    "PanicHandler",
    "Stats",
    "agosched",
    "await_read",
    "await_write",
    "current",
    "dump_on",
    "go_locked",
    "goexit",
    "goroutines",
    "gosched",
    "leaked",
    "lock_os_thread",
    "num_cpu",
    "num_goroutine",
    "preempt",
    "set_panic_handler",
    "stack",
    "stats",
    "unlock_os_thread",
    "wait_read",
    "wait_write",
]


class Stats(TypedDict):
    """What stats() returns: settings and gauges of the moment, then counters since import."""

    gomaxprocs: int
    ms: int
    idle_ps: int
    goroutines: int
    runq: int
    runnable: int
    parked: int
    timers: int
    netpoll: int
    spawned: int
    switches: int
    steals: int
    stolen: int
    handoffs: int
    preemptions: int
    gil: bool


def _ago(seconds: float) -> str:
    minutes = math.floor(seconds / 60)
    return f", {minutes} minute{'s' if minutes > 1 else ''}" if minutes else ""


def _dump(wanted: list[Goroutine], here: FrameType) -> str:
    """The text of each. `here` is the frame that the calling goroutine's stack is to end with."""
    stacks = _core.stacks(wanted, _core.running_here(), here)
    texts = []
    for goroutine, (state, waited, locked, frames) in zip(wanted, stacks, strict=True):
        header = (
            f"goroutine {goroutine.id} [{state}{_ago(waited)}{', locked to thread' if locked else ''}]:\n"
        )
        texts.append(header + _stacks.frames_text(frames) + _stacks.created_by(goroutine))
    return "\n".join(texts)


def _goroutine_stack(goroutine: Goroutine) -> str:
    """Goroutine.stack()."""
    _core.preempt_point()
    return _dump([goroutine], sys._getframe(1))


def stack(all: bool = False) -> str:
    """This goroutine's Python stack as text, or with `all` every goroutine's, the calling one first, as in
    Go's dumps: a header line `goroutine 7 [chan receive, 3 minutes]:`, then the frames, the newest last.

    Where no goroutine runs (on a plain thread), all=False gives the thread's own stack, without a header.
    """
    _core.preempt_point()
    here = sys._getframe(1)
    check_bool("all", all)
    me = _core.running_here()
    if me is None and not all:
        return "".join(traceback.format_stack(here))
    found = [] if me is None else [me]
    if all:
        found += [g for g in goroutines() if g is not me]
    return _dump(found, here)


class _DumpHandler:
    """A signal handler that writes every goroutine's stack. It wakes nobody: a deadlock stays one."""

    gopy_only_looks = True

    def __init__(self, file: TextIO | None) -> None:
        self.file = file

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        from gopy.debug import _remote

        if _remote.answer():  # `python -m gopy ps PID` has sent it
            return
        file = sys.stderr if self.file is None else self.file
        if file is not None:
            _write(file, f"{signal.Signals(signum).name}: goroutine dump\n\n{stack(all=True)}\n")


def _write(file: TextIO, text: str) -> None:
    """Write text to file and flush it. A file that cannot be written is no reason for the program to end."""
    try:
        try:
            print(text, end="", file=file, flush=True)
        except RuntimeError:  # this thread is in the middle of writing to it: past its buffer, then
            left = memoryview(text.encode(getattr(file, "encoding", None) or "utf-8", "backslashreplace"))
            while left:
                left = left[os.write(file.fileno(), left) :]
    except (OSError, ValueError):  # nobody reads it, or it is closed
        pass


def dump_on(signum: int, *, file: TextIO | None = None) -> None:
    """Write stack(all=True) to `file` (sys.stderr if None) whenever the signal comes, and go on.
    GOPY_DUMP=SIGQUIT in the environment does so from the start. `python -m gopy ps PID` and its like use
    the signal to ask questions.

    Must be called on the main thread, which also does the writing: between two bytecodes, or when it is
    parked, but not while it is stuck in a C call. What cannot be written is dropped. TypeError, ValueError:
    not a signal's number. OSError: a signal that cannot be caught.
    """
    check_signum(signum)
    if file is not None and not hasattr(file, "write"):
        raise wrong_type("file", "a text file or None", file)
    signal.signal(signum, _DumpHandler(file))


def _dump_at_start() -> None:
    """Called when gopy is imported, and again when the main thread first uses it: only that can set a
    handler."""
    name = os.environ.get("GOPY_DUMP", "")
    if name in ("", "0") or threading.current_thread() is not threading.main_thread():
        return
    try:
        signum = signal.Signals[name] if name.startswith("SIG") else int(name)
    except (KeyError, ValueError):
        raise ValueError(
            f"the environment variable GOPY_DUMP must be a signal, such as SIGQUIT, got {name!r}"
        ) from None
    if signal.getsignal(signum) in (signal.SIG_DFL, signal.SIG_IGN):  # else the program's own
        dump_on(signum)


def _positive_setting(name: str, default: Callable[[], int], most: int) -> int:
    text = os.environ.get(name)
    if text is None or text == "":
        return default()
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError(f"the environment variable {name} must be a positive integer, got {text!r}")
    return min(int(text), most)


def __dir__() -> list[str]:
    return __all__


def _gomaxprocs_at_start() -> int:
    return _positive_setting("GOMAXPROCS", num_cpu, 1024)


def _max_blocking_at_start() -> int:
    return _positive_setting("GOPY_MAX_BLOCKING", lambda: 512, 1 << 30)


def _choose_netpoller() -> None:
    name = os.environ.get("GOPY_NETPOLLER")
    if name and not _core.use_netpoller(name):
        raise ValueError(
            f"the environment variable GOPY_NETPOLLER must be epoll (on Linux) or poll, got {name!r}"
        )
