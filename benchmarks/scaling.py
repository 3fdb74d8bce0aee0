"""How cost grows: the cost of an operation against the number of goroutines.

    python -m benchmarks scaling --json scaling.json

The operations are the workloads that say what they are here (`scales`), with n from 10 to 1,000,000; each
peer goes on to the next n while it may be expected to take neither too long nor too much memory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import psutil

from benchmarks.runner import NAMES, Case, Peers, command_of, load, run_child
from benchmarks.workload import Workload, is_gopy

COUNTS = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
PEERS = ("gopy", "go", "gevent", "asyncio", "trio", "threads", "runloom")
MOST = {"threads": 1_000, "runloom": 10_000, "trio": 100_000}  # goroutines, where more would take too long
BYTES_EACH = 10_000  # that a goroutine of any peer may be expected to take
GROWS_TO = 1.5  # times what it costs among FEW: what an operation may cost among MANY
FEW, MANY = 1_000, 1_000_000

# Why an operation is thought to cost more among a million goroutines than among a thousand, where it does.
CAUSES = {
    "spawn": "all are queued before the first runs, and a million no longer fit into the CPU's caches; "
    "new pages from the kernel are a smaller part (a page fault for every twelve goroutines).",
    "park_many": "each goroutine's saved stack, frames and waiter (7 KB) are written when it parks and read "
    "when it is woken: a thousand fit into the CPU's caches, a million come from main memory.",
    "lap": "each hop runs a goroutine that has not run since the last lap, whose saved stack and frames "
    "(7 KB) come from main memory, and whose pages miss the TLB; a thousand goroutines stay in the caches.",
}


@dataclass(frozen=True)
class Options:
    quick: bool = False

    @property
    def runs(self) -> int:
        return 1 if self.quick else 3

    @property
    def milliseconds(self) -> int:
        return 40 if self.quick else 100

    @property
    def seconds_a_point(self) -> float:
        """No point is tried that may be expected to take longer, by what a tenth of it took."""
        return 15 if self.quick else 90

    @property
    def seconds(self) -> float:
        """When so much has passed, only what is being measured is finished."""
        return 200 if self.quick else 1800


def names_of(only: Sequence[str] | None = None) -> list[str]:
    return [name for name in NAMES if load(name).scales and (not only or name in only)]


def peers_of(workload: Workload, peers: Peers) -> list[str]:
    return [peer for peer in workload.peers if peer in PEERS and peers.has(peer)]


def steps(peers: Peers, only: Sequence[str] | None = None) -> int:
    """How many points there are at most, for the bar."""
    return sum(len(peers_of(load(name), peers)) * len(COUNTS) for name in names_of(only))


def points(
    name: str, peer: str, peers: Peers, options: Options, until: float, advance: Callable[[], None]
) -> Iterator[dict[str, Any]]:
    """One record for each number of goroutines, with an error where it was not measured."""
    workload = load(name)
    spent, why_not = 0.0, ""
    for n in COUNTS:
        who = {"workload": name, "operation": workload.scales, "peer": peer, "goroutines": n}
        who |= {"unit": workload.metrics[0].unit, "metric": workload.metrics[0].what}
        if not why_not:
            why_not = reason_to_stop(peer, n, spent, options, until)
        if why_not:
            yield who | {"error": why_not}
        else:
            case = point(name, peer, peers, n, options)
            spent = case.spent / max(1, len(case.samples)) if case.samples else 0.0
            yield who | result(case)
            why_not = case.error
        advance()


def reason_to_stop(peer: str, n: int, spent: float, options: Options, until: float) -> str:
    if n > MOST.get(peer, n):
        return f"not tried with more than {MOST[peer]:,}: it would take minutes"
    limit = (4 if is_gopy(peer) else 1) * options.seconds_a_point  # its curve is to reach the million
    if n > 1_000 and 10 * spent > limit:
        return f"not tried: a tenth of it took {spent:.1f} s"
    if n * BYTES_EACH > psutil.virtual_memory().available:
        return f"not tried: {n * BYTES_EACH / 1e9:.0f} GB of memory are not free"
    return "" if perf_counter() < until else "no time left"


def point(name: str, peer: str, peers: Peers, n: int, options: Options) -> Case:
    workload = load(name)
    how = ["-n", str(n), "-ms", str(options.milliseconds), *(["-cold"] if workload.cold else [])]
    gomaxprocs = 1 if workload.knows_gomaxprocs(peer) else None
    timeout = max(workload.timeout, 180)
    case = Case(name, peer, gomaxprocs, n, command_of(name, peer, peers, *how), timeout)
    if peer != "go":
        case.command[case.command.index("-timeout") + 1] = str(timeout)
    for _ in range(options.runs if n < MANY else 1):
        if not case.error:
            run_child(case)
    return case


def result(case: Case) -> dict[str, Any]:
    if not case.samples:
        return {"error": case.error}
    return {"median": case.median(0), "spread": case.spread(0), "samples": case.values(0)}


def curves(
    peers: Peers,
    options: Options,
    advance: Callable[[], None],
    begin: Callable[[str], None],
    only: Any = None,
) -> Iterator[dict[str, Any]]:
    """Every point of every curve against the number of goroutines."""
    until = perf_counter() + options.seconds
    for name in names_of(only):
        begin(load(name).scales)
        for peer in peers_of(load(name), peers):
            yield from points(name, peer, peers, options, until, advance)


@dataclass(frozen=True)
class Growth:
    """What gopy's operation costs among many goroutines, in relation to among few."""

    workload: str
    operation: str
    ratio: float | None  # None: not measured for both
    few: int = FEW
    many: int = MANY

    @property
    def within(self) -> bool:
        return self.ratio is not None and self.ratio <= GROWS_TO

    def __str__(self) -> str:
        if self.ratio is None:
            return f"{self.operation}: not measured from {self.few:,} to {self.many:,} goroutines"
        text = f"{self.operation}: x {self.ratio:.2f} from {self.few:,} to {self.many:,} goroutines"
        if self.within:
            return text
        return f"{text}, more than {GROWS_TO}: {CAUSES.get(self.workload, 'the cause is not known.')}"


def growths(records: Sequence[dict[str, Any]]) -> list[Growth]:
    """The growth of each operation of gopy, by its medians."""
    found: list[Growth] = []
    for name in dict.fromkeys(record["workload"] for record in records):
        of_gopy = [record for record in records if record["workload"] == name and is_gopy(record["peer"])]
        at = {record["goroutines"]: record["median"] for record in of_gopy if record.get("median", 0) > 0}
        ratio = at[MANY] / at[FEW] if at.keys() >= {FEW, MANY} else None
        if of_gopy:
            found.append(Growth(name, of_gopy[0]["operation"], ratio))
    return found


def summary(records: Sequence[dict[str, Any]]) -> str:
    lines = [str(growth) for growth in growths(records)]
    if not lines:
        return "No curve was measured."
    within = sum(growth.within for growth in growths(records))
    return "\n".join(
        [f"{within} of {len(lines)} operations within {GROWS_TO} times.", *(f"  {x}" for x in lines)]
    )
