"""A TLS echo server, alone on one core. A client connects, shakes hands, asks once and leaves, over and over.

The server's CPU time for a connection: the rate of a core that does nothing else is one over it.
"""

import contextlib
import socket
import ssl
from functools import partial

from benchmarks.builds import make_certificate
from benchmarks.echo_servers import HERE
from benchmarks.under_load import running_server
from benchmarks.workload import UVLOOP, Metric, Target, Workload


def connect(port: int, context: ssl.SSLContext) -> None:
    sock = socket.create_connection((HERE, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context.wrap_socket(sock) as conn:
        conn.sendall(b"hello")
        if conn.recv(5) != b"hello":
            raise RuntimeError("the server closed a connection")
        conn.settimeout(0)
        with contextlib.suppress(OSError):  # it says goodbye, without waiting for the server's
            conn.unwrap()
        with socket.socket(fileno=conn.detach()) as rest:  # but for the end
            rest.settimeout(10)
            with contextlib.suppress(ConnectionResetError):
                while rest.recv(1024):
                    pass


def shake_hands(peer: str, n: int) -> float:
    server = running_server(peer, folder=str(make_certificate()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    before = server.cpu()
    for _ in range(n):
        connect(server.port, context)
    return server.cpu() - before


WORKLOAD = Workload(
    title="TLS connections to an echo server on one core",
    metrics=(
        Metric(
            unit="ns",
            what="connection, the server's CPU time",
            targets=(Target(1 / 0.9, peer="threads", regimes=("gil", "free-threaded")),),
        ),
    ),
    versions={
        peer: partial(shake_hands, peer) for peer in ("gopy", "go", "gevent", "asyncio", UVLOOP, "threads")
    },
    go_program="echo",
    runs=3,
)
