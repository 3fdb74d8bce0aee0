"""What a trace says, as text: who waited longest for what, and how long waits took by their reasons."""

from collections import Counter, defaultdict
from typing import NamedTuple

from gopy.trace import _file
from gopy.trace._file import Trace

LONGEST = 20


class Wait(NamedTuple):
    seconds: float
    goroutine: int
    reason: str
    place: str
    waker: int  # a goroutine's id, or, negative, an index of CAUSES


def name_of(trace: Trace, goroutine: int, made: dict[int, int]) -> str:
    if goroutine in trace.names:
        return trace.names[goroutine]
    site = made.get(goroutine, 0)
    return trace.sites[site][0] if site else "?"


class Analysis:
    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.made: dict[int, int] = {}  # the goroutine's id -> the number of its site
        self.waits: list[Wait] = []
        self.used: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        self.first = self.last = 0
        self.counts: Counter[str] = Counter()  # of what is no goroutine's
        self.idle: dict[int, float] = defaultdict(float)  # seconds, by P
        self._idle_since: dict[int, int] = {}
        since: dict[int, tuple[int, int]] = {}  # 0: runs, 1: ready, 2: waits; since when
        parked: dict[int, tuple[int, int, int]] = {}  # when, reason, site
        wakers: dict[int, int] = {}
        for when, kind, goroutine, more, site in trace:
            self.first = self.first or when
            self.last = when
            if goroutine == 0:
                self._of_p(when, kind, more, site)
                continue
            state = {_file.NEW: 1, _file.READY: 1, _file.RUN: 0, _file.PARK: 2, _file.END: -1}.get(kind)
            if state is None:
                continue
            before, start = since.get(goroutine, (-1, when))
            if kind == _file.READY:
                wakers[goroutine] = more or -site
                if before == 0:  # it has not parked yet
                    continue
            if kind == _file.PARK and more == 0:
                state = 1  # it has yielded
            if before >= 0:
                self.used[goroutine][before] += (when - start) / 1e9
            since[goroutine] = (state, when)
            if kind == _file.RUN:
                self._of_p(when, _file.PSTART, more, 0)
            if kind == _file.NEW:
                self.made[goroutine] = site
            elif kind == _file.PARK and more:
                parked[goroutine] = (when, more, site)
            elif kind != _file.READY and goroutine in parked:
                self._waited(goroutine, when, *parked.pop(goroutine), wakers.pop(goroutine, 0))
        for goroutine, (when, reason, site) in parked.items():  # they wait still
            self._waited(goroutine, self.last, when, reason, site, 0)
        for p in list(self._idle_since):
            self._of_p(self.last, _file.PSTART, p, 0)

    def _of_p(self, when: int, kind: int, more: int, site: int) -> None:
        if kind == _file.PSTOP:
            self._idle_since.setdefault(more, when)
        elif kind in (_file.PSTART, _file.HANDOFF) and more in self._idle_since:
            self.idle[more] += (when - self._idle_since.pop(more)) / 1e9
        if kind == _file.STEAL:
            self.counts.update(steals=1, stolen=site)
        elif kind == _file.HANDOFF:
            self.counts["hand-offs"] += 1
        elif kind == _file.GIL:
            self.counts.update({"waits for the GIL": 1, "ns for the GIL": more})

    def _waited(self, goroutine: int, until: int, when: int, reason: int, site: int, waker: int) -> None:
        place = self.trace.sites[site][1] if site else ""
        self.waits.append(Wait((until - when) / 1e9, goroutine, self.trace.reasons[reason], place, waker))


def _bars(counts: list[int]) -> str:
    most = max(counts)
    return "".join(" ▁▂▃▄▅▆▇█"[-(-count * 8 // most)] for count in counts)


def _bucket(seconds: float) -> int:
    """0 is below 1 µs, then each power of ten, up to 10 s and more."""
    return next((i for i in range(8) if seconds < 10 ** (i - 6)), 8)


def _scheduler(found: Analysis) -> list[str]:
    length = (found.last - found.first) / 1e9 or 1
    lines = [f"  P {p} idle {100 * found.idle[p] / length:.1f}% of the time" for p in sorted(found.idle)]
    counts = found.counts
    lines.append(
        f"  {counts['steals']:,} steals of {counts['stolen']:,} goroutines, "
        f"{counts['hand-offs']:,} hand-offs of Ps"
    )
    if counts["waits for the GIL"]:
        lines.append(
            f"  {counts['waits for the GIL']:,} times a thread that was idle waited for the GIL, "
            f"{counts['ns for the GIL'] / 1e9:.6f} s in all"
        )
    return lines


def summary(trace: Trace) -> str:
    found = Analysis(trace)
    events = len(trace.events) // _file.EVENT.size
    lines = [
        f"{events:,} events in {(found.last - found.first) / 1e9:.3f} s, {len(found.used)} goroutines"
        + (f"; {trace.dropped:,} older events were dropped" if trace.dropped else "")
    ]
    lines += ["", "Longest waits", "  seconds  goroutine  for  at  woken by"]
    for wait in sorted(found.waits, key=lambda wait: -wait.seconds)[:LONGEST]:
        name = name_of(trace, wait.goroutine, found.made)
        by = (
            _file.CAUSES[-wait.waker]
            if wait.waker <= 0
            else f"{wait.waker} {name_of(trace, wait.waker, found.made)}"
        )
        lines.append(
            f"  {wait.seconds:9.6f}  {wait.goroutine} {name}  {wait.reason}  {wait.place or '-'}  {by or '-'}"
        )
    lines += ["", "Waits by reason: number, total, longest; how many took <1 µs, <10 µs, ... <10 s, more"]
    by_reason: dict[str, list[float]] = defaultdict(list)
    for wait in found.waits:
        by_reason[wait.reason].append(wait.seconds)
    for reason, waits in sorted(by_reason.items(), key=lambda item: -sum(item[1])):
        counts = [0] * 9
        for seconds in waits:
            counts[_bucket(seconds)] += 1
        lines.append(
            f"  {reason:24} {len(waits):9,} {sum(waits):10.3f} s {max(waits):9.6f} s  {_bars(counts)}"
        )
    lines += ["", "Goroutines by time on a P: runs, ready but not running, waits"]
    for goroutine, used in sorted(found.used.items(), key=lambda item: -item[1][0])[:LONGEST]:
        name = name_of(trace, goroutine, found.made)
        lines.append(f"  {used[0]:9.6f} {used[1]:9.6f} {used[2]:9.6f}  {goroutine} {name}")
    lines += ["", "Scheduler", *_scheduler(found)]
    return "\n".join(lines) + "\n"
