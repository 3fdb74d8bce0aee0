"""Profiles: where goroutines are, and where they use the CPU."""

import io
import json
import time as clock
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Literal, TextIO, TypedDict

from gopy import _core, blocking, time
from gopy._arguments import check_int, check_seconds, check_str, wrong_type
from gopy.debug._snapshot import grouped, snapshot


class Sample(TypedDict):
    """How much CPU was used with a stack: its frames are (file, line, function), the oldest first."""

    name: str
    frames: list[tuple[str, int, str]]
    seconds: float


def sample(seconds: float, hz: int, goes_on: Callable[[], bool] = lambda: True) -> list[Sample]:
    """Look hz times a second, for so long or while it goes on, at what the Ms run. On the calling thread,
    which none of them should be."""
    found: defaultdict[Any, float] = defaultdict(float)
    had: dict[int, float] = {}  # the CPU that an M had used at the last look
    begun = clock.monotonic()
    due = 0.0
    while due < seconds and goes_on():
        since = clock.monotonic() - begun  # looks that it is too late for are left out
        due = min((int(since * hz) + 1) / hz, seconds)
        time.sleep(max(due - since, 0.0001))
        for goroutine, m, used, frames in _core.sample():
            share = used - had.get(m, used)
            had[m] = used
            if share > 0:
                where = tuple((code, line) for code, line in reversed(frames))
                found[goroutine.name, where] += share
    return [
        Sample(
            name=name,
            frames=[(code.co_filename, line, code.co_qualname) for code, line in where],
            seconds=share,
        )
        for (name, where), share in found.items()
    ]


def collapsed(samples: Sequence[Sample], name: str = "CPU", prefix: str = "") -> str:
    """A line for each stack, `goroutine;function (file:line);... microseconds`, as flamegraph.pl and its
    kin read."""
    lines: Counter[str] = Counter()
    for one in samples:
        parts = [one["name"], *(f"{function} ({file}:{line})" for file, line, function in one["frames"])]
        lines[";".join(part.replace(";", ":") for part in parts)] += round(one["seconds"] * 1e6)
    return "".join(f"{stack} {weight}\n" for stack, weight in sorted(lines.items()))


def speedscope(samples: Sequence[Sample], name: str = "CPU", prefix: str = "goroutine ") -> str:
    """JSON that https://www.speedscope.app opens; a sample's name is its stack's oldest frame."""
    frames: dict[Any, int] = {}
    stacks, weights = [], []
    for one in samples:
        keys: list[tuple[str, str | None, int | None]] = [(prefix + one["name"], None, None)]
        keys += [(function, file, line) for file, line, function in one["frames"]]
        stacks.append([frames.setdefault(key, len(frames)) for key in keys])
        weights.append(one["seconds"])
    shared = [
        {"name": function} | ({"file": file, "line": line} if file else {}) for function, file, line in frames
    ]
    profile = {
        "type": "sampled",
        "name": name,
        "unit": "seconds",
        "startValue": 0,
        "endValue": sum(weights),
        "samples": stacks,
        "weights": weights,
    }
    schema = "https://www.speedscope.app/file-format-schema.json"
    return json.dumps({"$schema": schema, "name": name, "shared": {"frames": shared}, "profiles": [profile]})


MOST_HZ = 1_000_000  # nobody looks so often
FORMATS: dict[str, Callable[..., str]] = {"speedscope": speedscope, "collapsed": collapsed}


def encoded(text: str) -> bytes:
    """In UTF-8. What a file's name has that is none, lone surrogates, as escapes."""
    return text.encode("utf-8", "backslashreplace")


def check_file(file: object, wanted: str = "a binary file") -> None:
    """Before anything is sampled for it."""
    if not hasattr(file, "write") or isinstance(file, io.TextIOBase):
        raise wrong_type("file", wanted, file)


def check_format(format: str) -> None:
    if check_str("format", format) not in FORMATS:
        raise ValueError(f"`format` must be one of {', '.join(FORMATS)}, got {format!r}")


def cpu_profile(
    file: BinaryIO,
    seconds: float,
    *,
    hz: int = 100,
    format: Literal["speedscope", "collapsed"] = "speedscope",
) -> None:
    """Sample for so many seconds what runs, hz times a second, and write that to file; park meanwhile.

    What counts is the CPU that the threads of goroutines have used: by goroutine's name and by stack.
    Goroutines that are parked or blocked in a call of C, threads of other kinds and blocking() calls are
    not seen.
    TypeError: no binary file. ValueError: no such format; seconds or hz is not positive.
    """
    check_file(file)
    seconds = check_seconds("seconds", seconds)
    if seconds <= 0:
        raise ValueError(f"`seconds` must be positive, got {seconds}")
    hz = min(check_int("hz", hz, 1), MOST_HZ)
    check_format(format)
    wanted = [True]
    try:
        found = blocking(sample, seconds, hz, lambda: bool(wanted))
    finally:
        wanted.clear()  # who is interrupted leaves nothing behind that goes on looking
    file.write(encoded(FORMATS[format](found)))


def goroutine_profile(file: TextIO | None = None) -> str:
    """What all goroutines are doing, equal stacks together with their number, the most frequent first, as
    Go's goroutine?debug=1. Also written to file, if there is one."""
    if file is not None and not hasattr(file, "write"):
        raise wrong_type("file", "a text file or None", file)
    text = grouped(snapshot())
    if file is not None:
        file.write(text)
    return text
