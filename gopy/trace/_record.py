"""Starting and ending a trace, and what a program adds to one."""

import contextlib
import contextvars
import gc
import io
import itertools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from gopy import _core
from gopy._arguments import check_int, check_seconds, check_str, wrong_type
from gopy.trace import _file

BEGIN, FINISH, LOG = 8, 9, 10  # enum tracekind
NOT_STARTED = "the flight recorder is not started"


class _Texts:
    """What regions and logs say, by what events say for it.

    A flight recorder runs for as long as the program, which may log what it never has before: so only the
    latest texts are kept. When those of a generation have more than `most` characters the next one begins,
    and the one before them goes. No lock guards them: a collection may begin, and mark itself, anywhere.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._numbers = itertools.count()
        self._old: dict[str, int] = {}
        self._young: dict[str, int] = {}
        self._size = 0  # of the young ones, nearly: two threads may add to it at once

    def __getitem__(self, text: str) -> int:
        young = self._young
        number = young.get(text)
        if number is None:
            number = young.setdefault(text, next(self._numbers))
            self._size += len(text)
            if self._size > self._most:
                self._old, self._young, self._size = young, {}, 0
        return number

    def first(self) -> int:
        """The lowest number that is known still."""
        return min([*self._old.copy().values(), *self._young.copy().values()], default=0)

    def listed(self, first: int) -> list[str]:
        """Those from that number on; ? stands for one that is forgotten."""
        found = {**self._old.copy(), **self._young.copy()}
        texts = ["?"] * (max(found.values(), default=-1) + 1 - first)
        for text, number in found.items():
            if number >= first:
                texts[number - first] = text
        return texts


_texts = _Texts(0)  # of the trace that is recorded
# What start() was given, or the FlightRecorder: at most one. Who takes it out ends the trace.
_running: list[Any] = []
_task: contextvars.ContextVar[str] = contextvars.ContextVar("gopy.trace.task", default="")


def _on_gc(phase: str, info: dict[str, int]) -> None:
    if info["generation"] == 2:  # the young ones take microseconds
        if phase == "start":
            _core.trace_mark(BEGIN, _texts["garbage collection"])
        else:
            _core.trace_mark(FINISH, 0)


def _begin(where: Any, buffer: int) -> None:
    global _texts
    _core.trace_start(buffer)  # RuntimeError: another one has
    _texts = _Texts(buffer // 2)
    gc.callbacks.append(_on_gc)
    _running.append(where)


def _collect(since: int = 0) -> bytes:
    names = {goroutine.id: goroutine.name for goroutine in _core.goroutines()}
    texts, first = _texts, _texts.first()
    events, dropped, sites = _core.trace_collect(first)
    return _file.encode(_file.since(events, since), dropped, sites, texts.listed(first), names)


def _take(wanted: Callable[[Any], bool], problem: str) -> Any:
    """What is recorded, to be ended by the caller alone."""
    for where in _running[:1]:
        if wanted(where):
            with contextlib.suppress(ValueError):  # another thread was faster
                _running.remove(where)
                return where
    raise RuntimeError(problem)


def _end() -> None:
    with contextlib.suppress(ValueError):
        gc.callbacks.remove(_on_gc)
    _core.trace_stop()


def _write(file: BinaryIO | str, data: bytes) -> int:
    if isinstance(file, str):
        with open(file, "wb") as opened:
            opened.write(data)
    else:
        file.write(data)
    return len(data)


def _check_file(file: Any) -> None:
    if not isinstance(file, str) and (not hasattr(file, "write") or isinstance(file, io.TextIOBase)):
        raise wrong_type("file", "a str or a binary file", file)


def start(file: BinaryIO | str, *, buffer: int = 64 << 20) -> None:
    """Record what goroutines do until stop(), which writes it to `file`.

    At most `buffer` bytes of events are kept, 24 bytes each: when they are full the oldest ones go, and the
    trace says how many. RuntimeError: a trace is being recorded. OSError: the file cannot be made.
    """
    _check_file(file)
    _begin(file, check_int("buffer", buffer, 1 << 16))
    if isinstance(file, str):
        try:
            open(file, "wb").close()  # whether it can be written is to be known now
        except BaseException:
            _take(lambda where: where is file, "no trace is being recorded")
            _end()
            raise


def stop() -> None:
    """End the trace that start() has begun, and write it. RuntimeError: there is none."""
    file = _take(lambda where: not isinstance(where, FlightRecorder), "no trace is being recorded")
    try:
        data = _collect()
    finally:
        _end()
    _write(file, data)


class FlightRecorder:
    """Keeps the last seconds of what goroutines did in memory, to be written when something has gone
    wrong."""

    def __init__(self, seconds: float, buffer: int) -> None:
        self._seconds = seconds
        self._buffer = buffer

    def start(self) -> None:
        """RuntimeError: a trace is being recorded."""
        _begin(self, self._buffer)

    def stop(self) -> None:
        """Forget it all. RuntimeError: it is not started."""
        _take(lambda where: where is self, NOT_STARTED)
        _end()

    def write_to(self, file: BinaryIO | str) -> int:
        """Write the last seconds, and go on recording. -> how many bytes. RuntimeError: it is not started."""
        _check_file(file)
        if self not in _running:
            raise RuntimeError(NOT_STARTED)
        return _write(file, _collect(time.monotonic_ns() - int(self._seconds * 1e9)))


def recorder(*, seconds: float = 10, buffer: int = 16 << 20) -> FlightRecorder:
    """A FlightRecorder for the last `seconds`, in at most `buffer` bytes, and as many for what regions and
    logs say."""
    if check_seconds("seconds", seconds) <= 0:
        raise ValueError(f"`seconds` must be positive, got {seconds}")
    return FlightRecorder(seconds, check_int("buffer", buffer, 1 << 16))


@contextlib.contextmanager
def _marked(text: str) -> Iterator[None]:
    if not _running:
        yield
        return
    _core.trace_mark(BEGIN, _texts[text])
    try:
        yield
    finally:
        _core.trace_mark(FINISH, 0)


def region(name: str) -> contextlib.AbstractContextManager[None]:
    """Show in the trace, on this goroutine's track, how long the body takes. Within a task() its name comes
    first."""
    return _marked(f"{_task.get()}{check_str('name', name)}")


@contextlib.contextmanager
def task(name: str) -> Iterator[None]:
    """A region that groups others: its name stands before those of the regions within it, also of those in
    goroutines that are started within it, as they inherit it with their contextvars."""
    inherited = _task.get()
    token = _task.set(f"{inherited}{check_str('name', name)}: ")
    try:
        with _marked(f"{inherited}{name}"):
            yield
    finally:
        _task.reset(token)


def log(category: str, message: str) -> None:
    """Put a mark with a text into the trace, on this goroutine's track."""
    check_str("category", category)
    check_str("message", message)
    if _running:
        _core.trace_mark(LOG, _texts[f"{category}: {message}"])


def _in_child() -> None:
    """The trace is the parent's."""
    _running.clear()
    with contextlib.suppress(ValueError):
        gc.callbacks.remove(_on_gc)


os.register_at_fork(after_in_child=_in_child)
