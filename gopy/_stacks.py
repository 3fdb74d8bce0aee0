"""Stacks and tracebacks as text, for dumps and panics."""

import linecache
import os
import traceback
from types import CodeType
from typing import Any

from gopy import _core
from gopy._core import Goroutine

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")
BELOW = "<gopy>"  # the file name of what csrc/python/pycall.c calls a builtin function from


def is_own(filename: str) -> bool:
    """Is it a file of gopy's own?"""
    return filename.startswith(FOLDER) or filename == BELOW


Frame = tuple[CodeType, int, int, dict[str, Any]]  # of _core.stacks(): its line, instruction and globals, too


def frames_text(frames: list[Frame]) -> str:
    """As traceback would write them, which asks frames; without the one below a builtin function."""
    for filename, names in {code.co_filename: names for code, _, _, names in frames}.items():
        linecache.lazycache(filename, names)
        linecache.checkcache(filename)
    shown = [
        traceback.FrameSummary(code.co_filename, line, code.co_name)
        for code, line, _, _ in frames
        if code.co_filename != BELOW
    ]
    return "".join(traceback.format_list(shown))


def _frame(code: CodeType, line: int) -> str:
    return "".join(traceback.format_list([traceback.FrameSummary(code.co_filename, line, code.co_qualname)]))


def created_by(goroutine: Goroutine) -> str:
    """Which goroutine has started this one, and its line that did so; "" for main and what no Python code has
    started."""
    created = _core.created_by(goroutine)
    if created is None:
        return ""
    code, line, creator = created
    where = f"in goroutine {creator}" if creator else "on a plain thread"
    return f"created by {code.co_qualname} {where}:\n{_frame(code, line)}"


def _hide_own(told: traceback.TracebackException) -> None:
    """Take gopy's own frames out of a traceback and of those that it comes with. What is all gopy's stays."""
    todo: list[traceback.TracebackException | None] = [told]
    while todo:
        if (told := todo.pop()) is not None:  # type: ignore[assignment]
            left = [frame for frame in told.stack if not is_own(frame.filename)]
            told.stack[:] = left or told.stack
            todo += [told.__cause__, told.__context__, *(told.exceptions or ())]


def exception_text(exc: BaseException, *, chain: bool = True) -> str:
    """What traceback.format_exception says, without gopy's own frames."""
    told = traceback.TracebackException.from_exception(exc)
    _hide_own(told)
    return "".join(told.format(chain=chain))


def start() -> None:
    _core.own_folder(FOLDER)
