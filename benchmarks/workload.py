"""What a bench_<workload>.py declares: the versions to measure, the unit, and the targets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Unit = Literal["ns", "bytes", "ratio"]
Regime = Literal["gil", "free-threaded"]

# A peer's version of a workload does it n times and returns seconds (unit ns) or bytes, in total over the n,
# or a ratio. With several metrics it returns one such number for each.
Version = Callable[[int], float | tuple[float, ...]]


# Peers beside gopy that GOMAXPROCS means something to: each is run with GOMAXPROCS=1 and with 2.
SCALED = frozenset({"go", "runloom"})

# This peer runs the version "asyncio" on uvloop's event loop.
UVLOOP = "asyncio+uvloop"


def is_gopy(peer: str) -> bool:
    """Whether it is gopy in one of its forms: "gopy", "gopy, kept cases" ..."""
    return peer.startswith("gopy")


@dataclass(frozen=True)
class Target:
    """gopy may take at most `at_most` times what `peer` takes, or, without a peer, at most so much itself.

    Where the peer has a GOMAXPROCS too, like is compared with like. The peer "gopy" means gopy itself with
    GOMAXPROCS=1, and what is held against it is gopy with GOMAXPROCS=2.
    """

    at_most: float
    peer: str | None = None
    regimes: tuple[Regime, ...] = ("gil",)


@dataclass(frozen=True)
class Metric:
    """One number that a workload yields for each peer."""

    unit: Unit
    what: str  # as in "ns per ..."
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True)
class Workload:
    """One thing to do, written for gopy and, side by side, for each peer that can do it.

    n is how often it is done in one go, given to the version as its argument; 0 lets the child find an n, a
    multiple of step, that takes long enough to be timed well. A cold workload is done once in a fresh
    process, after a tiny warm-up, so that memory reused does not hide what it costs; others are first done at
    full size without being counted, then until enough time has passed.
    """

    title: str  # {n} in it becomes n
    metrics: tuple[Metric, ...]
    versions: Mapping[str, Version]
    n: int = 0
    quick_n: int = 0  # n under --quick, 0: the same
    n_for: Mapping[str, int] | None = None  # peers for which n operations would take too long
    step: int = 1
    scaled_by_gomaxprocs: frozenset[str] = frozenset()  # peers beyond SCALED to run with GOMAXPROCS=1 and 2
    cold: bool = False
    in_quick: bool = True
    in_go: bool = True  # there is a Go program for it in benchmarks/go/, run as it is or by the version "go"
    go_program: str = ""  # its name, if it is another workload's
    in_uvloop: bool = True  # the version "asyncio", if there is one, needs the event loop: see UVLOOP
    runs: int | None = None  # children a peer, where the usual number would take too long
    needs_bytes: int = 0  # free memory without which it is not tried
    timeout: float = 60.0
    # What `python -m benchmarks scaling` calls its operation, for a workload whose n is also how many
    # goroutines there are: it draws the cost against n.
    scales: str = ""
    parallel: bool = False  # it draws the speed-up against GOMAXPROCS too, on a free-threaded Python

    @property
    def peers(self) -> list[str]:
        """gopy first, then Go, then the others in the order of the file, uvloop behind asyncio."""
        names = list(self.versions)
        if self.in_go and "go" not in names:
            names.insert(sum(map(is_gopy, names)), "go")
        if "asyncio" in names and self.in_uvloop and UVLOOP not in names:
            names.insert(names.index("asyncio") + 1, UVLOOP)
        return names

    def knows_gomaxprocs(self, peer: str) -> bool:
        return is_gopy(peer) or peer in SCALED | self.scaled_by_gomaxprocs

    def n_of(self, peer: str, quick: bool) -> int:
        """How many operations this peer is to do; 0 if the child is to find out."""
        n = self.quick_n if quick and self.quick_n else self.n
        return min(n, (self.n_for or {}).get(peer, n))
