"""The echo servers that are put under load, one for each peer, each in a process of its own.

    python -m benchmarks.echo_servers gopy 0 [FOLDER]

runs gopy's on core 0, with TLS if there is a folder with the certificate, and prints its port as JSON. It
ends when the process that started it does.
"""

import asyncio
import ctypes
import json
import os
import resource
import signal
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

from benchmarks.builds import CERTIFICATE, KEY, build_go_programs, find_go
from benchmarks.workload import UVLOOP

SIZE = 4096
BACKLOG = 1024
HERE = "127.0.0.1"


def listening(port: int) -> None:
    print(json.dumps({"port": port}), flush=True)


def server_context(folder: Path | None, module: Any = ssl) -> Any:
    """The module's SSLContext, or None without TLS."""
    if folder is None:
        return None
    context = module.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    return context


def no_delay(sock: Any) -> None:
    """As gopy, Go, asyncio and uvloop do of themselves."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def gopy(folder: Path | None) -> None:
    from gopy import net

    def handle(conn: net.Conn) -> None:
        while data := conn.read(SIZE):
            conn.write(data)

    listener = net.listen("tcp", f"{HERE}:0", backlog=BACKLOG, tls=server_context(folder))
    listening(listener.addr.port)
    listener.serve(handle)


def gopy_async(folder: Path | None) -> None:
    from gopy import net

    async def handle(conn: net.Conn) -> None:
        while data := await conn.aread(SIZE):
            await conn.awrite(data)

    listener = net.listen("tcp", f"{HERE}:0", backlog=BACKLOG, tls=server_context(folder))
    listening(listener.addr.port)
    listener.serve(handle)


def gevent(folder: Path | None) -> None:
    import gevent.ssl
    from gevent.server import StreamServer

    def handle(sock: Any, address: object) -> None:
        no_delay(sock)
        while data := sock.recv(SIZE):
            sock.sendall(data)

    tls = {"ssl_context": server_context(folder, gevent.ssl)} if folder else {}
    server = StreamServer((HERE, 0), handle, backlog=BACKLOG, **tls)
    server.start()
    listening(server.server_port)
    server.serve_forever()


class Echo(asyncio.Protocol):
    """The lower one of asyncio's two ways to write a server, and the faster one."""

    def connection_made(self, transport: Any) -> None:
        self.write = transport.write

    def data_received(self, data: bytes) -> None:
        self.write(data)


async def asyncio_main(folder: Path | None) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, HERE, 0, backlog=BACKLOG, ssl=server_context(folder))
    listening(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def with_asyncio(folder: Path | None) -> None:
    asyncio.run(asyncio_main(folder))


def with_uvloop(folder: Path | None) -> None:
    import uvloop

    uvloop.run(asyncio_main(folder))


def threads(folder: Path | None) -> None:
    context = server_context(folder)

    def handle(sock: socket.socket) -> None:
        no_delay(sock)
        with context.wrap_socket(sock, server_side=True) if context else sock as conn:
            while data := conn.recv(SIZE):
                conn.sendall(data)

    listener = socket.create_server((HERE, 0), backlog=BACKLOG)
    listening(listener.getsockname()[1])
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=handle, args=(sock,), daemon=True).start()


def runloom(folder: Path | None) -> None:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def handle(conn: Any) -> None:
        while data := conn.recv(SIZE):
            conn.send_all(data)
        conn.close()

    def main() -> None:
        listener = runloom.TCPConn.listen(HERE, 0, BACKLOG)
        with socket.socket(fileno=os.dup(listener.fileno())) as sock:
            listening(sock.getsockname()[1])
        while True:
            runloom.fiber(handle, listener.accept())

    on_hubs(main)


def go(folder: Path | None) -> None:
    """Becomes the Go program."""
    command = find_go()
    if command is None:
        raise SystemExit("no go command")
    program = str(build_go_programs(command) / "echo")
    os.execv(program, [program, *([str(folder / CERTIFICATE), str(folder / KEY)] if folder else [])])


SERVERS = {
    "gopy": gopy,
    "gopy, async def": gopy_async,
    "go": go,
    "gevent": gevent,
    "asyncio": with_asyncio,
    UVLOOP: with_uvloop,
    "threads": threads,
    "runloom": runloom,
}


def die_with_parent() -> None:
    """Nothing is left of a benchmark that was killed. Go's program inherits that, and what follows."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


def main() -> None:
    peer, cores, *folder = sys.argv[1:]
    die_with_parent()
    os.sched_setaffinity(0, map(int, cores.split(",")))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    SERVERS[peer](Path(folder[0]) if folder else None)


if __name__ == "__main__":
    main()
