"""A TCP echo server with one connection, always busy: is a second P, with nothing to do, in its way?

The server may use as many cores as GOMAXPROCS says. The time of a round trip, 64 bytes there and back.
"""

import os
from functools import partial

from benchmarks.under_load import CORES, load, running_server
from benchmarks.workload import Metric, Target, Workload


def echo(peer: str, n: int) -> float:
    cores = tuple(CORES[: int(os.environ.get("GOMAXPROCS", "1"))])
    return load(running_server(peer, cores), 1, n)["seconds"]


WORKLOAD = Workload(
    title="TCP echo of 64 bytes, one connection",
    metrics=(
        Metric(
            unit="ns",
            what="round trip",
            targets=(Target(1 / 0.8, peer="gopy", regimes=("gil", "free-threaded")),),
        ),
    ),
    versions={peer: partial(echo, peer) for peer in ("gopy", "go", "gevent", "threads", "runloom")},
    go_program="echo",
)
