"""debug.hogs(): who keeps a thread to itself while others wait for it."""

import linecache
import os
import sys
from types import CodeType
from typing import Any, TextIO

from gopy import _core, _stacks
from gopy._arguments import wrong_type

DEFAULT = 0.1  # seconds, under `python -X dev` and with GOPY_DEBUG=hogs

_told: set[tuple[CodeType, int]] = set()  # places
_file: TextIO | None = None
_threshold: float | None = None

COMPUTES = """\
It computes. runtime.gosched() in its loop lets the others run; blocking(f, ...) has another thread do the
work; runtime.preempt(0.01) makes whoever computes yield.
"""
BLOCKED = """\
It is blocked in {call}, which waits with its whole thread. blocking(f, ...) has another thread wait; gopy's
own net, sync and time park, and so does the standard library under gopy.monkey.
"""


def _call(frame: _stacks.Frame) -> str:
    """The call that the frame is in the midst of, as it is written."""
    code, _, instruction, _ = frame
    positions = list(code.co_positions())
    index = instruction // 2
    if index < len(positions):
        line, end_line, column, end_column = positions[index]
        if line is not None and line == end_line and column is not None and end_column is not None:
            text = (
                linecache.getline(code.co_filename, line).encode()[column:end_column].decode(errors="replace")
            )
            if text:
                return f"`{text}`"
    return "a call of C"


def _text(goroutine: _core.Goroutine, seconds: float, waiting: int, computes: bool) -> tuple[str, Any]:
    """What is to be told, and the place."""
    stacks = _core.stacks([goroutine], None, sys._getframe())
    frames = stacks[0][3]
    users = [frame for frame in frames if not _stacks.is_own(frame[0].co_filename)] or frames
    place = (users[-1][0], users[-1][1]) if users else (goroutine.name, 0)
    count = f"{waiting} goroutine{'s' if waiting > 1 else ''}"
    text = (
        f"hog: goroutine {goroutine.id} [{goroutine.name}] has kept its thread for {seconds:.2f} s; "
        f"{count} that only this thread may run wait{'' if waiting > 1 else 's'}:\n"
        + _stacks.frames_text(users)
        + _stacks.created_by(goroutine)
    )
    call = _call(frames[-1]) if frames else "a call of C"
    return text + (COMPUTES if computes else BLOCKED.format(call=call)), place


def _report(goroutine: _core.Goroutine, seconds: float, waiting: int, computes: bool) -> None:
    """Called by the core, on a thread of its own."""
    text, place = _text(goroutine, seconds, waiting, computes)
    if place in _told:
        return
    _told.add(place)
    file = sys.stderr if _file is None else _file
    if file is not None:
        try:
            print(text, file=file, flush=True)
        except (OSError, ValueError, RuntimeError):  # nobody reads it, or it is closed
            pass


def hogs(threshold: float | None = DEFAULT, *, file: TextIO | None = None) -> None:
    """Report, once for each place, a goroutine that has kept its thread for `threshold` seconds while
    others that only this thread may run were ready: which one, its stack, for how long, how many wait, and
    what helps.

    It goes to `file`, sys.stderr if None. A goroutine that has not called anything of gopy's meanwhile is
    one that computes, or one that is blocked in a call of C: the report says which, and names the call. A
    thread of gopy's own looks four times in `threshold` seconds; the goroutines pay nothing. None turns it
    off, which is the default, but under `python -X dev` and with GOPY_DEBUG=hogs in the environment it is
    on from the start.
    TypeError: no number, no file. ValueError: not positive.
    """
    global _file, _threshold
    if file is not None and not hasattr(file, "write"):
        raise wrong_type("file", "a text file or None", file)
    _core.hogs(threshold, _report)
    _file, _threshold = file, threshold
    _told.clear()


def _in_child() -> None:
    if _threshold is not None:
        _core.hogs(_threshold, _report)


os.register_at_fork(after_in_child=_in_child)
