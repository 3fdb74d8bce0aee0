"""How speed grows with the cores: the `parallel` workloads, with GOMAXPROCS 1, 2, 4 ... and Go beside.

    python -m benchmarks cores -o cores.svg --json cores.json

The children of all counts take turns, so that what else the machine does is spread over them. GOMAXPROCS may
be more than there are CPUs: then nothing is to be gained, and what is lost shows. Nor is there with a GIL.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import scaling
from benchmarks.runner import NAMES, Case, Peers, cases_of, load, machine, run_child
from benchmarks.runner import Options as RunOptions

PEERS = ("gopy", "gopy, async", "go", "threads", "runloom")


@dataclass(frozen=True)
class Options:
    procs: tuple[int, ...]
    runs: int = 3
    quick: bool = False


def default_procs() -> tuple[int, ...]:
    """The powers of two up to the number of CPUs, and that number."""
    cpus = int(str(machine()["cpus"]))
    return tuple(sorted({1, cpus, *(1 << i for i in range(cpus.bit_length()) if 1 << i <= cpus)}))


def names_of(only: Sequence[str] | None = None) -> list[str]:
    return [name for name in NAMES if load(name).parallel and (not only or name in only)]


def cases(name: str, peers: Peers, options: Options) -> list[Case]:
    """One for each peer that GOMAXPROCS means something to, at each count."""
    found: list[Case] = []
    for procs in options.procs:
        chosen = RunOptions(quick=options.quick, only_gomaxprocs=procs)
        found += [
            case
            for case in cases_of(name, load(name), peers, chosen)
            if case.gomaxprocs is not None and case.peer in PEERS
        ]
    return found


def steps(peers: Peers, options: Options, only: Sequence[str] | None = None) -> int:
    """How many children there will be, for the bar."""
    return sum(options.runs * len(cases(name, peers, options)) for name in names_of(only))


def records(
    peers: Peers,
    options: Options,
    advance: Callable[[], None],
    begin: Callable[[str], None],
    only: Sequence[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """One for each case, with an error where it was not measured."""
    for name in names_of(only):
        begin(name)
        chosen = cases(name, peers, options)
        for _ in range(options.runs):
            for case in chosen:
                if not case.error:
                    run_child(case)
                advance()
        metric = load(name).metrics[0]
        for case in chosen:
            who = {"workload": name, "peer": case.peer, "gomaxprocs": case.gomaxprocs, "n": case.n}
            yield who | {"unit": metric.unit, "metric": metric.what} | scaling.result(case)


def speed_up(found: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[int, float]]:
    """For each workload and peer: how much faster with so many than with one."""
    costs: dict[tuple[str, str], dict[int, float]] = {}
    for record in found:
        if record.get("median", 0) > 0:
            costs.setdefault((record["workload"], record["peer"]), {})[record["gomaxprocs"]] = record[
                "median"
            ]
    return {
        who: {procs: at[1] / cost for procs, cost in sorted(at.items())}
        for who, at in costs.items()
        if 1 in at and len(at) > 1
    }


def summary(found: Sequence[Mapping[str, Any]]) -> str:
    """A line for each workload and peer: what it costs with one, and how much faster it is with more."""
    ones = {
        (each["workload"], each["peer"]): each["median"]
        for each in found
        if each["gomaxprocs"] == 1 and each.get("median")
    }
    lines = []
    for (name, peer), at in speed_up(found).items():
        gains = "  ".join(f"P={procs} {gain:.2f}" for procs, gain in at.items() if procs != 1)
        lines.append(f"{name:18} {peer:12} {ones[name, peer]:10,.0f} ns   {gains}")
    failed = [f"{each['workload']}, {each['peer']}: {each['error']}" for each in found if "error" in each]
    return "\n".join([*lines, *failed]) or "Nothing was measured."


def draw(found: Sequence[Mapping[str, Any]], path: Path) -> None:
    from benchmarks import charts

    path.write_text(charts.standalone_svg(charts.drawn(charts.speedups, speed_up(found)), dark=False))
