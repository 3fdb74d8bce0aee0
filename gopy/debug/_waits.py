"""Profiles of waits, as Go's block and mutex profiles: who has waited where, and who let others wait."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Literal

from gopy import _core
from gopy._arguments import check_seconds
from gopy.debug._profile import FORMATS, Sample, check_file, check_format, encoded

REASONS = _core.wait_reasons()


class Waited(Sample):
    """Of one stack: `name` is what was waited for, `seconds` the sum of the waits."""

    count: int
    longest: float


# What the core has counted: how often, for how long in all, the longest; by reason and stack.
Counts = dict[tuple[int, tuple[Any, ...]], tuple[int, float, float]]


class Profile:
    """Counts as long as the program wants it, or somebody looks.

    Signal handlers turn profiles on and off, also in the midst of that: so there is no lock. Whoever has
    changed what is wanted goes on until the core does what is wanted by then.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self._number = number  # enum profile
        self._rate: float | None = None  # the program's
        self._watchers: list[object] = []

    def _wanted(self) -> float | None:
        rate = self._rate
        return 0 if rate is None and self._watchers else rate

    def _apply(self) -> None:
        done: object = self
        while done != (wanted := self._wanted()):
            _core.waits(self._number, wanted)
            done = wanted

    def set(self, rate: float | None) -> None:
        self._rate = rate
        self._apply()

    def in_child(self) -> None:
        self._watchers.clear()
        self._apply()

    @contextmanager
    def on(self) -> Iterator[None]:
        watcher = object()
        self._watchers.append(watcher)
        self._apply()
        try:
            yield
        finally:
            self._watchers.remove(watcher)
            self._apply()

    def counts(self) -> Counts | None:
        """None: nobody counts."""
        found = _core.waited(self._number)
        if found is None:
            return None
        counts: Counts = {}
        for reason, count, seconds, longest, frames in found:  # of two instructions of a line, each has one
            key = reason, tuple(frames)
            count_so_far, seconds_so_far, longest_so_far = counts.get(key, (0, 0.0, 0.0))
            counts[key] = count_so_far + count, seconds_so_far + seconds, max(longest_so_far, longest)
        return counts


BLOCK, MUTEX = Profile("block", 1), Profile("mutex", 2)


def waits(after: Counts, before: Counts) -> list[Waited]:
    """What has been counted since `before`, the longest sum first."""
    found = []
    for key, (count, seconds, longest) in after.items():
        count_before, seconds_before, _ = before.get(key, (0, 0.0, 0.0))
        if count > count_before:
            reason, frames = key
            where = [(code.co_filename, line, code.co_qualname) for code, line in reversed(frames)]
            found.append(
                Waited(
                    name=REASONS[reason],
                    frames=where,
                    seconds=seconds - seconds_before,
                    count=count - count_before,
                    longest=longest,
                )
            )
    return sorted(found, key=lambda one: -one["seconds"])


def listed(found: list[Waited]) -> str:
    total = sum(one["seconds"] for one in found)
    texts = [f"{total:.6f} s in {sum(one['count'] for one in found)} waits\n"]
    for one in found:
        head = f"{one['seconds']:.6f} s in {one['count']} @ {one['name']}, the longest {one['longest']:.6f} s"
        lines = [
            head,
            *(f"    {file}:{line} in {function}" for file, line, function in reversed(one["frames"])),
        ]
        texts.append("\n".join(lines) + "\n")
    return "\n".join(texts)


def _set(profile: Profile, rate: float | None, file: BinaryIO | None, format: str) -> None:
    if rate is not None and not 0 <= check_seconds("rate", rate) < float("inf"):
        raise ValueError(f"`rate` must not be negative, got {rate}")
    if file is not None:
        check_file(file, "a binary file or None")
    check_format(format)
    if file is not None:
        counts = profile.counts()
        if counts is None:
            raise RuntimeError(f"the {profile.name} profile is not on")
        file.write(encoded(FORMATS[format](waits(counts, {}), profile.name, "")))
    profile.set(rate)


def block_profile(
    rate: float | None,
    *,
    file: BinaryIO | None = None,
    format: Literal["speedscope", "collapsed"] = "speedscope",
) -> None:
    """Count from here on where goroutines and threads wait in calls of gopy's, for what, how often and for
    how long: waits of at least `rate` seconds, which are seen when they end. None: stop, and forget; off, it
    costs nothing.

    What has been counted before is written to `file` first, if there is one; /debug/block of debug.serve()
    shows it, too. asyncio tasks are not counted.
    TypeError: no number, no binary file. ValueError: a negative rate, no such format. RuntimeError: there is
    nothing to write, as it was not on.
    """
    _set(BLOCK, rate, file, format)


def mutex_profile(
    rate: float | None,
    *,
    file: BinaryIO | None = None,
    format: Literal["speedscope", "collapsed"] = "speedscope",
) -> None:
    """Count from here on who held a Mutex or RWMutex that others waited for: by the stack of the unlock that
    has woken a waiter, how long that had waited, if for at least `rate` seconds. None: stop, and forget; off,
    it costs nothing.

    `file`, /debug/mutex and errors are as those of block_profile.
    """
    _set(MUTEX, rate, file, format)


def _in_child() -> None:
    for profile in (BLOCK, MUTEX):
        profile.in_child()


os.register_at_fork(after_in_child=_in_child)
