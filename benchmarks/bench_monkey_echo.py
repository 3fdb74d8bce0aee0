"""Patched sockets: 50 clients and their servers, in one program, send 100 bytes there and back.

ns of CPU time per round trip, both sides together. "gopy, net" is the same over gopy.net.
"""

from functools import partial
from time import process_time

from benchmarks.patched import patched
from benchmarks.workload import Metric, Target, Workload

CLIENTS = 50
MESSAGE = bytes(100)


def by_socket(peer: str, n: int) -> float:
    run = patched(peer)
    import socket

    def serve(conn: socket.socket) -> None:
        with conn:
            while data := conn.recv(4096):
                conn.sendall(data)

    def ask(conn: socket.socket) -> None:
        with conn:
            for _ in range(n // CLIENTS):
                conn.sendall(MESSAGE)
                conn.recv(4096)

    with socket.create_server(("127.0.0.1", 0), backlog=CLIENTS) as listener:
        asking = [socket.create_connection(listener.getsockname()) for _ in range(CLIENTS)]
        serving = [listener.accept()[0] for _ in range(CLIENTS)]
    start = process_time()
    run(lambda i: ask(asking[i // 2]) if i % 2 else serve(serving[i // 2]), 2 * CLIENTS)
    return process_time() - start


def by_net(n: int) -> float:
    from gopy import net
    from gopy.sync import WaitGroup

    def serve(conn: net.Conn) -> None:
        with conn:
            while data := conn.read(4096):
                conn.write(data)

    def ask(conn: net.Conn) -> None:
        with conn:
            for _ in range(n // CLIENTS):
                conn.write(MESSAGE)
                conn.read(4096)

    with net.listen("tcp", "127.0.0.1:0", backlog=CLIENTS) as listener:
        asking = [net.dial("tcp", str(listener.addr)) for _ in range(CLIENTS)]
        serving = [listener.accept() for _ in range(CLIENTS)]
    wg = WaitGroup()
    start = process_time()
    for one, other in zip(asking, serving, strict=True):
        wg.go(serve, other)
        wg.go(ask, one)
    wg.wait()
    return process_time() - start


WORKLOAD = Workload(
    title="echo over patched sockets, 50 pairs",
    metrics=(
        Metric(
            unit="ns",
            what="round trip, CPU time of both sides",
            targets=(Target(0.5, peer="gevent"), Target(1.6, peer="gopy, net")),
        ),
    ),
    versions={
        "gopy": partial(by_socket, "gopy"),
        "gopy, net": by_net,
        "gevent": partial(by_socket, "gevent"),
        "threads": partial(by_socket, "threads"),
    },
    step=CLIENTS,
    in_go=False,
)
