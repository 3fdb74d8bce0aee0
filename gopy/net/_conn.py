"""Conn, a stream connection, and dial()."""

from __future__ import annotations

import errno
import io
import math
import os
import socket
import struct
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, Literal, Self, cast

from gopy import _core, time
from gopy._arguments import check_seconds, check_str, wrong_type
from gopy._core import Chan, go
from gopy.net._addr import STREAM, Endpoint, check_network, from_python, no_such_host, to_dial
from gopy.net._lent import Lent

if TYPE_CHECKING:
    import ssl

    from gopy.net._tls import TLSConn

KEEPALIVE = 15  # seconds, as in Go


def set_options(sock: socket.socket) -> None:
    """What Go sets on a TCP socket; on Linux an accepted one has it from its listener."""
    if sock.family == getattr(socket, "AF_UNIX", None):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE)


class Conn(_core.NetFD):
    """A stream connection. Every call parks the goroutine, never its thread.

    read() returns b"" at the end of the stream. Errors are OSError; a passed deadline is TimeoutError; to use
    a closed Conn, or to close it under a parked reader, is OSError (EBADF) there. Safe for one goroutine that
    reads and one that writes at the same time; several take turns, a call each.

    Every call holds the descriptor: it is not closed, and cannot become another's, in the midst of one. Only
    fileno() lends the number as it is, as does that of makefile()'s file: it is the connection's as long as
    that is open. Where another goroutine may close it, control(fn) lends it for a call.
    """

    __slots__ = ("_local", "_remote")
    _local: Any
    _remote: Any

    def close_write(self) -> None:
        """No more will be written: the peer reads the end of the stream. Reading goes on."""
        self.control(lambda fd: Lent(fd).shutdown(socket.SHUT_WR))

    def set_linger(self, seconds: float | None) -> None:
        """What close() does with data not sent yet: None, it is sent in the background; 0, it is discarded
        and the peer gets a reset. ValueError for anything else."""
        if seconds is not None and seconds != 0:
            raise ValueError(f"`seconds` must be None or 0, got {seconds!r}")
        value = struct.pack("ii", seconds is not None, 0)  # struct linger
        self.control(lambda fd: Lent(fd).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value))

    def _address(self, name: str, ask: Callable[[], Any]) -> Any:
        _core.preempt_point()
        try:
            return getattr(self, name)
        except AttributeError:
            pass
        try:
            address = from_python(ask())
        except OSError:  # closed, or reset by the peer: nobody knows any more
            return None
        setattr(self, name, address)
        return address

    @property
    def local_addr(self) -> Any:
        """This end's address: an Addr (host, port), or the path of a unix socket. None if it is closed and
        nobody has asked before."""
        return self._address("_local", lambda: self.control(lambda fd: Lent(fd).getsockname()))

    @property
    def remote_addr(self) -> Any:
        """The peer's address, in the same form. It is kept from the beginning: also when the peer is gone, or
        this end closed."""
        return self._address("_remote", self._ask_peer)

    def _ask_peer(self) -> Any:
        accepted = self._peer
        return self.control(lambda fd: Lent(fd).getpeername()) if accepted is None else accepted

    def makefile(
        self,
        mode: str = "rwb",
        buffering: int = -1,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """A file over the connection, as socket.makefile(): "r", "w" or "rw", with "b" for bytes. Its calls
        park as the connection's do; closing it leaves the connection open."""
        return make_file(self, mode, buffering, encoding, errors, newline)

    def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> Conn:
        """Shake hands and return the connection to go on with; this one is not to be used any more, but to
        close either closes both.

        ssl.SSLError (an OSError) if the handshake fails: this connection is then still to be closed."""
        secure = wrap_tls(self, context, server_side, server_hostname)
        secure.handshake()
        return secure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.local_addr} -> {self.remote_addr}"
        return f"<{type(self).__name__} {state}>"


def check_context(name: str, context: object) -> None:
    import ssl  # only for those who have one

    if not isinstance(context, ssl.SSLContext):
        raise wrong_type(name, "an ssl.SSLContext", context)


def wrap_tls(conn: Conn, context: ssl.SSLContext, server_side: bool, server_hostname: str | None) -> TLSConn:
    """A TLSConn, which makes its handshake when it is first used."""
    check_context("context", context)
    from gopy.net._tls import TLSConn

    try:
        return TLSConn(conn, context, server_side, server_hostname)
    except UnicodeError as exc:  # IDNA has no such name
        raise no_such_host(server_hostname, exc) from None


class _RawFile(io.RawIOBase):
    """A Conn, or whatever reads and writes like one, as an unbuffered file."""

    def __init__(self, conn: Conn, mode: str) -> None:
        self._conn = conn
        self._reads = "r" in mode
        self._writes = "w" in mode
        self.name = conn.fileno()
        self.mode = mode

    def readable(self) -> bool:
        return self._reads

    def writable(self) -> bool:
        return self._writes

    def fileno(self) -> int:
        return self._conn.fileno()

    def readinto(self, buffer: Any) -> int:
        self._check(self._reads, "not readable")
        return self._conn.read_into(buffer)

    def write(self, data: Any) -> int:
        self._check(self._writes, "not writable")
        return self._conn.write(data)

    def _check(self, can: bool, why: str) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if not can:
            raise io.UnsupportedOperation(why)


def make_file(
    conn: Conn,
    mode: str,
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
) -> IO[Any]:
    check_str("mode", mode)
    if not set(mode) <= set("rwb") or not set(mode) & set("rw") or len(set(mode)) != len(mode):
        raise ValueError(f"`mode` must be r, w or rw, with or without b, got {mode!r}")
    raw = _RawFile(conn, mode)
    if buffering == 0:
        if "b" not in mode:
            raise ValueError("`buffering` must not be 0 for text")
        return cast(IO[Any], raw)
    size = io.DEFAULT_BUFFER_SIZE if buffering < 0 else buffering
    buffer: Any
    if "r" in mode and "w" in mode:
        buffer = io.BufferedRWPair(raw, raw, size)
    elif "r" in mode:
        buffer = io.BufferedReader(raw, size)
    else:
        buffer = io.BufferedWriter(raw, size)
    return cast(IO[Any], buffer if "b" in mode else io.TextIOWrapper(buffer, encoding, errors, newline))


# ---- dial ----


def deadline_of(timeout: float | None) -> float:
    """When a timeout is over, on time.now()'s clock; infinity for None."""
    if timeout is None:
        return math.inf
    return time.now() + max(check_seconds("timeout", timeout, "a number of seconds or None"), 0.0)


def connect(endpoint: Endpoint, deadline: float) -> Conn:
    """A connection to one address. OSError; TimeoutError at the deadline."""
    sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        set_options(sock)
        error = sock.connect_ex(endpoint.address)
        if error not in (0, errno.EINPROGRESS, errno.EAGAIN):
            raise OSError(error, os.strerror(error))
        conn = Conn(sock.fileno())
    except BaseException:
        sock.close()
        raise
    sock.detach()
    try:
        if error == errno.EAGAIN:  # a unix listener's backlog is full
            _retry_connect(conn, endpoint, deadline)
        _finish_connect(conn, deadline)
    except BaseException:
        conn.close()
        raise
    return conn


def _finish_connect(conn: Conn, deadline: float) -> None:
    if deadline != math.inf:
        conn.set_write_deadline(deadline - time.now())

    def peer(fd: int) -> Any:
        sock = Lent(fd)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        try:
            return sock.getpeername()
        except OSError as exc:
            if exc.errno == errno.ENOTCONN:  # neither connected nor failed yet
                raise BlockingIOError from None
            raise

    conn._remote = from_python(conn.retry(conn.control, True, peer))
    if deadline != math.inf:
        conn.set_write_deadline(None)


def _retry_connect(conn: Conn, endpoint: Endpoint, deadline: float) -> None:
    pause = 0.001
    while True:
        if time.now() >= deadline:
            raise TimeoutError("timed out")
        time.sleep(min(pause, max(deadline - time.now(), 0)))
        pause = min(pause * 2, 0.1)
        error = conn.control(lambda fd: Lent(fd).connect_ex(endpoint.address))
        if error != errno.EAGAIN:
            break
    if error:
        raise OSError(error, os.strerror(error))


def named(exc: OSError, what: str) -> OSError:
    """exc, of the same type, with a text that says what failed."""
    reason = exc.strerror or str(exc)
    if isinstance(exc, TimeoutError) and exc.errno is None:
        return TimeoutError(f"{what}: timed out")
    return type(exc)(exc.errno, f"{what}: {reason}")


def dial(
    network: Literal["tcp", "tcp4", "tcp6", "unix"] | str,
    address: str,
    *,
    timeout: float | None = None,
    tls: ssl.SSLContext | None = None,
) -> Conn:
    """Connect, trying each address that a name has until one answers.

    network: "tcp", "tcp4", "tcp6" with an address like "example.org:80", "127.0.0.1:80" or "[::1]:80", or
    "unix" with a path. `timeout`, in seconds, is for all of it, names and TLS included; an address that does
    not answer leaves the next ones their share. `tls` is a client's SSLContext: the host in `address` is the
    one whose certificate it wants. TimeoutError, OSError: of the first address that failed. ValueError: not
    an address.
    """
    check_network(network, STREAM)
    deadline = deadline_of(timeout)
    if tls is not None:
        check_context("tls", tls)
    what = f"dial {network} {address}"
    try:
        endpoints = _endpoints(network, address, deadline)
    except OSError as exc:
        raise named(exc, what) from None
    conn = _dial_any(endpoints, deadline, what)
    if tls is None:
        return conn
    try:
        if deadline != math.inf:
            conn.set_deadline(deadline - time.now())
        secure = wrap_tls(conn, tls, False, address.rpartition(":")[0].strip("[]") or None)
        secure.handshake()
        if deadline != math.inf:
            secure.set_deadline(None)
        return secure
    except BaseException:
        conn.close()
        raise


def _endpoints(network: str, address: str, deadline: float) -> list[Endpoint]:
    """to_dial(), in a goroutine of its own if there is a deadline: a resolver can only be left."""
    if deadline == math.inf:
        return to_dial(network, address, socket.SOCK_STREAM)
    result: Chan[Any] = Chan(1)

    def look_up() -> None:
        try:
            result.send(to_dial(network, address, socket.SOCK_STREAM))
        except (OSError, ValueError, TypeError) as exc:
            result.send(exc)

    go(look_up)
    found = result.recv(timeout=max(deadline - time.now(), 0.001))
    if isinstance(found, Exception):
        try:
            raise found
        finally:  # its traceback refers to this frame, which must not refer back
            found = None
    return cast(list[Endpoint], found)


def _dial_any(endpoints: list[Endpoint], deadline: float, what: str) -> Conn:
    first: OSError | None = None
    for i, endpoint in enumerate(endpoints):
        left = deadline - time.now()
        if left <= 0:
            first = first or TimeoutError("timed out")
            break
        share = left / (len(endpoints) - i)  # as Go: but two seconds if there are as many
        try:
            return connect(endpoint, time.now() + (left if share == math.inf else min(left, max(share, 2.0))))
        except OSError as exc:
            first = first or exc
    try:
        raise named(first or OSError(errno.EADDRNOTAVAIL, "no address"), what) from None
    finally:  # its traceback refers to this frame, which must not refer back
        first = None
