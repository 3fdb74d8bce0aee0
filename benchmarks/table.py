"""Writes what was measured as one table: each peer's median, gopy's ratio to it, and the targets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.runner import GOMAXPROCS, Case, load, regime
from benchmarks.workload import Metric, Target, Unit, is_gopy

SHOWN = 12  # lines at each end of a child's last words


@dataclass(frozen=True)
class Verdict:
    """One target held against one median, or one ratio of medians."""

    against: str
    target: Target
    reached: float
    gomaxprocs: int | None

    @property
    def met(self) -> bool:
        return self.reached <= self.target.at_most


@dataclass(frozen=True)
class Block:
    """The part of the table that shows one metric of one workload."""

    name: str
    metric: Metric
    index: int  # of the metric among the workload's
    cases: Sequence[Case]

    def gopy(self, gomaxprocs: int | None) -> Case | None:
        for case in self.cases:
            if case.peer == "gopy" and case.gomaxprocs == gomaxprocs and case.samples:
                return case
        return None

    def ratio(self, case: Case, gomaxprocs: int) -> float | None:
        """gopy with this GOMAXPROCS over the case; None where that says nothing."""
        gopy = self.gopy(gomaxprocs)
        if not gopy or not case.samples or self.metric.unit == "ratio":
            return None
        if case.peer == "gopy":
            comparable = (case.gomaxprocs, gomaxprocs) == (1, 2)
        else:
            is_meant = any(target.peer == case.peer for target in self.metric.targets)
            comparable = (is_meant or not is_gopy(case.peer)) and case.gomaxprocs in (None, gomaxprocs)
        return gopy.median(self.index) / case.median(self.index) if comparable else None

    def verdicts(self, case: Case) -> Iterator[Verdict]:
        """Each target of this metric that stands in the case's row."""
        for target in self.metric.targets:
            if regime() not in target.regimes and target.peer is not None:
                continue
            if target.peer is None and case.peer == "gopy" and case.samples:
                yield Verdict(case.label, target, case.median(self.index), case.gomaxprocs)
            if target.peer == case.peer:
                for gomaxprocs in GOMAXPROCS:
                    ratio = self.ratio(case, gomaxprocs)
                    if ratio is not None:
                        yield Verdict(case.label, target, ratio, gomaxprocs)

    def rows(self, columns: Sequence[int]) -> Iterator[tuple[str, ...]]:
        """A row a case; `columns` are the GOMAXPROCS of gopy to show ratios for."""
        for case in self.cases:
            if not case.samples:
                said = "no time" if case.no_time else "failed"
                yield (f"  {case.label}", said, *[""] * (len(columns) + 3))
                continue
            verdicts = list(self.verdicts(case))
            ratios = [self.ratio(case, gomaxprocs) for gomaxprocs in columns]
            yield (
                f"  {case.label}{remark(case)}",
                number(case.median(self.index), self.metric.unit),
                f"±{case.spread(self.index):.0%}",
                *("" if ratio is None else f"{ratio:.3f}" for ratio in ratios),
                " ".join(dict.fromkeys(limit(verdict.target, self.metric.unit) for verdict in verdicts)),
                " ".join("yes" if verdict.met else "NO" for verdict in verdicts),
            )


def remark(case: Case) -> str:
    """What one should know of how the case was measured, where that is not as expected."""
    with_gil = case.gil and regime() == "free-threaded"
    return f"{' (with the GIL)' if with_gil else ''}{' (failed later)' if case.error else ''}"


def number(value: float, unit: Unit) -> str:
    if unit == "ratio":
        return f"{value:.3f}"
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def limit(target: Target, unit: Unit) -> str:
    if target.peer is None:
        return f"<= {number(target.at_most, unit)}"
    return f"<= {target.at_most:.3g}x"


def blocks(cases: Sequence[Case]) -> Iterator[Block]:
    """A block for each metric of each workload, in the order of the cases."""
    for name in dict.fromkeys(case.workload for case in cases):
        of_workload = [case for case in cases if case.workload == name]
        for index, metric in enumerate(load(name).metrics):
            yield Block(name, metric, index, of_workload)


def heading(block: Block) -> str:
    title = load(block.name).title.format(n=max(case.n for case in block.cases))
    unit = "" if block.metric.unit == "ratio" else f"{block.metric.unit} per "
    return f"{block.name}: {title}; {unit}{block.metric.what}"


def table(cases: Sequence[Case]) -> str:
    """All of it, as text."""
    shown = sorted({case.gomaxprocs for case in cases if is_gopy(case.peer) and case.gomaxprocs})
    head = ("", "median", "spread", *(f"gopy P={p} / it" for p in shown), "target", "met")
    parts = [(heading(block), list(block.rows(shown))) for block in blocks(cases)]
    columns = list(zip(head, *(row for _, rows in parts for row in rows), strict=True))
    widths = [max(map(len, column)) for column in columns]

    def line(row: Sequence[str]) -> str:
        first, *others = row
        padded = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        return "  ".join([first.ljust(widths[0]), *padded]).rstrip()

    lines = [line(head)]
    for title, rows in parts:
        lines += ["", title, *map(line, rows)]
    return "\n".join(lines)


def summary(cases: Sequence[Case]) -> str:
    """How many targets are met, and which are not."""
    reached = [
        (block, verdict)
        for block in blocks(cases)
        for case in block.cases
        for verdict in block.verdicts(case)
    ]
    if not reached:
        return "No target could be checked."
    missed = [(block, verdict) for block, verdict in reached if not verdict.met]
    lines = [f"{len(reached) - len(missed)} of {len(reached)} targets met."]
    for block, verdict in missed:
        unit = block.metric.unit
        if verdict.target.peer is None:
            what = f"{verdict.against}: {number(verdict.reached, unit)}"
        else:
            what = f"gopy P={verdict.gomaxprocs} / {verdict.against}: {verdict.reached:.3g}x"
        lines.append(
            f"  missed: {block.name}, {block.metric.what}: {what}, target {limit(verdict.target, unit)}"
        )
    return "\n".join(lines)


def failures(cases: Sequence[Case]) -> str:
    """What went wrong, with the beginning and the end of what the child said, once for all who agree."""
    who: dict[str, list[str]] = {}
    for case in cases:
        if case.error:
            who.setdefault(case.error, []).append(f"{case.workload}: {case.label}")
    return "\n".join(f"{'; '.join(names)}\n{shortened(error)}" for error, names in who.items())


def shortened(text: str) -> str:
    lines = [f"    {line}" for line in text.splitlines()]
    if len(lines) > 2 * SHOWN:
        lines[SHOWN:-SHOWN] = ["    ..."]
    return "\n".join(lines)
