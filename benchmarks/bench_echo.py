"""A TCP echo server, alone on one core: 50 connections, each sends 64 bytes and waits until they are back.

The server's CPU time, user and system, for a request, which other work on the machine disturbs least; and the
99th percentile of the latency that a client sees, while the others' requests are served too.
"""

from functools import partial

from benchmarks.echo_servers import SERVERS
from benchmarks.under_load import ask
from benchmarks.workload import UVLOOP, Metric, Target, Workload

WORKLOAD = Workload(
    title="TCP echo of 64 bytes, 50 connections, the server on one core",
    metrics=(
        Metric(
            unit="ns",
            what="request, the server's CPU time",
            targets=(
                Target(0.45, peer="gevent"),
                Target(1.1, peer=UVLOOP),
                Target(1.1, peer="go"),
                Target(1.0, peer="runloom", regimes=("free-threaded",)),
            ),
        ),
        Metric(unit="ns", what="request, p99 of the latency", targets=(Target(2.0, peer="go"),)),
    ),
    versions={peer: partial(ask, peer) for peer in SERVERS},
    runs=3,
)
