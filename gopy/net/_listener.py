"""Listener and listen()."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from types import coroutine
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from gopy import _core, time
from gopy._arguments import check_bool, check_callable, check_int
from gopy._core import Chan, block_on, go, kind_of
from gopy.net._addr import STREAM, Endpoint, check_network, from_python, no_ipv6, to_listen
from gopy.net._conn import Conn, check_context, wrap_tls
from gopy.net._dial import named, set_options
from gopy.net._lent import SocketFile, socket_file

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")
log = logging.getLogger("gopy.net")

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
LONGEST_PAUSE = 1.0  # seconds between two tries while there are no descriptors


class Listener:
    """Accepts connections. Iterating over it yields them and ends when it is closed."""

    def __init__(
        self, fd: _core.NetFD, addr: Any, file: SocketFile | None, tls: ssl.SSLContext | None
    ) -> None:
        self._fd = fd
        self._addr = addr
        self._file = file
        self._tls = tls
        self._exhausted = False  # and has said so

    @property
    def addr(self) -> Any:
        """Its address, with the port that it got: an Addr (host, port), or a path."""
        return self._addr

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._fd.closed

    def fileno(self) -> int:
        """As Conn.fileno()."""
        return self._fd.fileno()

    def control(self, fn: Callable[[int], T]) -> T:
        """As Conn.control()."""
        return self._fd.control(fn)

    def accept(self) -> Conn:
        """The next connection; park until there is one.

        While the process has no descriptor left it waits for one, and says so once through the logger
        "gopy.net". OSError (EBADF): the listener is closed, also while parked. With `tls`, the handshake
        takes place in the first read, write or handshake() of the connection, not in here.
        """
        return block_on(self.aaccept())

    async def aaccept(self) -> Conn:
        """accept() for those who await. A task that is cancelled leaves the connection to the next one."""
        pause = 0.005
        while True:
            try:
                conn = await self._fd.aaccept(Conn)
            except OSError as exc:
                if exc.errno not in EXHAUSTED:
                    raise
                if not self._exhausted:
                    self._exhausted = True
                    log.warning("accept on %s: %s; waiting until there is room", self._addr, exc)
                await time.asleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                self._exhausted = False
                return conn if self._tls is None else wrap_tls(conn, self._tls, True, None)

    def set_deadline(self, seconds_from_now: float | None) -> None:
        """From then on accept() raises TimeoutError, also one that is parked by then. None: never."""
        self._fd.set_read_deadline(seconds_from_now)

    async def _next(self) -> Conn | None:
        """aaccept(); None: the listener is closed."""
        try:
            return await self.aaccept()
        except OSError as exc:
            if exc.errno == errno.EBADF and self.closed:
                return None
            raise

    def __iter__(self) -> Iterator[Conn]:
        while (conn := block_on(self._next())) is not None:
            yield conn

    async def __aiter__(self) -> AsyncIterator[Conn]:
        while (conn := await self._next()) is not None:
            yield conn

    def serve(self, handler: Callable[[Conn], object], *, limit: int | None = None) -> None:
        """Run handler(conn) in a goroutine of its own for each connection; park until the listener is closed.
        It takes every kind of function that go() takes.

        The connection is closed when the handler returns. What it raises is logged through the logger
        "gopy.net", and the others go on. With `limit`, no more than so many at a time: further connections
        wait to be accepted.

        Goroutines that the handler starts are not looked after: what one of them raises ends the program, as
        a panic does in Go. Those that an errgroup starts, for which the handler waits, raise in the handler.
        """
        check_callable("handler", handler)
        if limit is not None:
            limit = check_int("limit", limit, least=1, wanted="an int or None")
        handle = _handle if kind_of(handler, 1, "handler") == "plain" else _handle_in_steps
        places: Chan[None] | None = None if limit is None else Chan(limit)
        while True:
            if places is not None:
                places.send(None)
            conn = block_on(self._next())
            if conn is None:
                return
            go(handle, handler, conn, places)

    def close(self) -> None:
        """Accept no more: whoever is parked in accept() gets OSError (EBADF). Connections stay open. To
        close it again does nothing."""
        if self._file is not None:
            self._file.remove()
        self._fd.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return _core.unyielding(Listener._text, self)

    def _text(self) -> str:
        return f"<Listener {self._addr}{' closed' if self.closed else ''}>"


def _failed(handler: object, conn: Conn) -> None:
    log.exception("%s of %r failed", getattr(handler, "__qualname__", handler), conn)


def _handle(handler: Callable[[Conn], object], conn: Conn, places: Chan[None] | None) -> None:
    try:
        handler(conn)
    except Exception:
        _failed(handler, conn)
    finally:
        conn.close()
        if places is not None:
            places.recv()


@coroutine
def _handle_in_steps(
    handler: Callable[[Conn], Any], conn: Conn, places: Chan[None] | None
) -> Generator[Any, Any, None]:
    """The same for a handler that returns a coroutine or generator."""
    try:
        yield from handler(conn)
    except Exception:
        _failed(handler, conn)
    finally:
        conn.close()
        if places is not None:
            places.recv()


def bind(endpoint: Endpoint, kind: int, reuse_port: bool) -> socket.socket:
    """A bound socket that does not block."""
    sock = socket.socket(endpoint.family, kind)
    try:
        sock.setblocking(False)
        if endpoint.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not endpoint.dual)
        if kind == socket.SOCK_STREAM and endpoint.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            set_options(sock)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(endpoint.address)
    except BaseException:
        sock.close()
        raise
    return sock


async def bind_any(
    network: str, address: str, kind: int, reuse_port: bool, ready: Callable[[socket.socket], Any]
) -> tuple[socket.socket, Endpoint]:
    """The first of an address's sockets that can be bound and made ready."""
    what = f"listen {network} {address}"
    first: OSError | None = None
    for endpoint in await to_listen(network, address, kind):
        try:
            sock = bind(endpoint, kind, reuse_port)
        except OSError as exc:
            first = first or exc
            if endpoint.dual and not no_ipv6(exc):  # the port is taken: IPv4 alone is not what was asked for
                break
            continue
        try:
            ready(sock)
        except OSError as exc:
            sock.close()
            first = first or exc
            continue
        return sock, endpoint
    try:
        raise named(first or OSError(errno.EADDRNOTAVAIL, "no address"), what) from None
    finally:  # its traceback refers to this frame, which must not refer back
        first = None


def listen(
    network: Literal["tcp", "tcp4", "tcp6", "unix"] | str,
    address: str,
    *,
    backlog: int = 1024,
    reuse_port: bool = False,
    tls: ssl.SSLContext | None = None,
) -> Listener:
    """Listen on an address: "127.0.0.1:0" (any free port), ":8080" (every interface, for "tcp" IPv4 and
    IPv6), "[::1]:80", or for "unix" a path, which must not exist and is removed by close().

    backlog: how many connections the kernel keeps until they are accepted. reuse_port: other listeners may
    have the same port, and the kernel spreads connections over them. tls: a server's SSLContext for every
    connection.
    Parks while a name is looked up. OSError: the address cannot be had.
    """
    return block_on(alisten(network, address, backlog=backlog, reuse_port=reuse_port, tls=tls))


async def alisten(
    network: Literal["tcp", "tcp4", "tcp6", "unix"] | str,
    address: str,
    *,
    backlog: int = 1024,
    reuse_port: bool = False,
    tls: ssl.SSLContext | None = None,
) -> Listener:
    """listen() for those who await."""
    check_network(network, STREAM)
    backlog = check_int("backlog", backlog)
    check_bool("reuse_port", reuse_port)
    if tls is not None:
        check_context("tls", tls)
    backlog = min(max(backlog, 0), 65535)
    sock, endpoint = await bind_any(
        network, address, socket.SOCK_STREAM, reuse_port, lambda sock: sock.listen(backlog)
    )
    addr = from_python(sock.getsockname())
    file = socket_file(network, endpoint.address)
    try:
        fd = _core.NetFD(sock.fileno())
    except BaseException:
        sock.close()
        raise
    sock.detach()
    return Listener(fd, addr, file, tls)
