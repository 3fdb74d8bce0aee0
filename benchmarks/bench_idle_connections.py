"""10,000 connections to an echo server that have had one answer each and ask for no more.

By how much the server's resident memory has grown, for a connection, and its CPU time for a second of idling.
Threads get 1,000 connections.
"""

import resource
import socket
import struct
import time
from functools import partial

from benchmarks.bench_memory import resident
from benchmarks.echo_servers import HERE, SERVERS
from benchmarks.under_load import Server
from benchmarks.workload import Metric, Target, Workload

TOGETHER = 200  # connections that are opened at once, well within the backlog
RESET = struct.pack("ii", 1, 0)  # closed without TIME_WAIT
SETTLE, IDLE = 0.2, 1.0  # seconds
LEAST = 1e-6  # seconds of CPU time: medians are divided by


def connections(port: int, n: int) -> list[socket.socket]:
    socks = []
    for _ in range(n):
        socks.append(socket.create_connection((HERE, port)))
    for sock in socks:
        sock.sendall(b"hello")
    for sock in socks:
        if sock.recv(5) != b"hello":
            raise RuntimeError("the server closed a connection")
    return socks


def idle(peer: str, n: int) -> tuple[float, float]:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most < n + 100:
        raise RuntimeError(f"{n} connections need more descriptors than {most} (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = Server(peer)
    socks = []
    try:
        connections(server.port, 1)[0].close()
        before = resident(server.pid)
        for at in range(0, n, TOGETHER):
            socks += connections(server.port, min(TOGETHER, n - at))
        grown = resident(server.pid) - before
        time.sleep(SETTLE)
        cpu = server.cpu()
        time.sleep(IDLE)
        return grown, max(server.cpu() - cpu, LEAST) / IDLE
    finally:
        server.kill()  # before the connections, which it would otherwise see reset
        for sock in socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.close()


WORKLOAD = Workload(
    title="{n:,} idle TCP connections to an echo server",
    metrics=(
        Metric(unit="bytes", what="connection", targets=(Target(12 * 1024),)),
        Metric(unit="ratio", what="CPU time over idle time", targets=(Target(0.001),)),
    ),
    versions={peer: partial(idle, peer) for peer in SERVERS},
    n=10_000,
    quick_n=2_000,
    n_for={"threads": 1_000},
    cold=True,
    go_program="echo",
    runs=3,
)
