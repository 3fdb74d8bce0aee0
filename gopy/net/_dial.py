"""dial(): names, addresses one after the other, and TLS; for gopy.http until a context ends.

What waits is given up by closing the descriptor that it waits for. Only a resolver cannot be interrupted: it
is left in a goroutine of its own, which ends when it answers.
"""

from __future__ import annotations

import errno
import math
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, cast

from gopy import context, time
from gopy._arguments import check_seconds
from gopy._core import Chan, aselect, block_on, go, nilchan, recv
from gopy.context import Context
from gopy.net._addr import STREAM, Endpoint, check_network, from_python, to_dial
from gopy.net._conn import Conn, check_context
from gopy.net._lent import Lent

if TYPE_CHECKING:
    import ssl

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


def deadline_of(timeout: float | None) -> float:
    """When a timeout is over, on time.now()'s clock; infinity for None."""
    if timeout is None:
        return math.inf
    return time.now() + max(check_seconds("timeout", timeout, "a number of seconds or None"), 0.0)


def closing(ctx: Context | None, conn: Conn) -> Callable[[], bool] | None:
    """Have conn closed when ctx ends. -> what calls that off; None: there is nothing to call off."""
    if ctx is None or ctx.done() == context.background().done():
        return None
    return context.after_func(ctx, conn.close)


class Guarded:
    """A block that ctx's end and an exception leave with conn closed."""

    __slots__ = ("_conn", "_stop")

    def __init__(self, conn: Conn, ctx: Context | None) -> None:
        self._conn = conn
        self._stop = closing(ctx, conn)

    def __enter__(self) -> None: ...

    def __exit__(self, failed: type[BaseException] | None, *exc: object) -> None:
        if failed is not None:
            self._conn.close()
        if self._stop is not None:
            self._stop()


async def _connect_to(endpoint: Endpoint, deadline: float, ctx: Context | None) -> Conn:
    """A connection to one address. TimeoutError at the deadline."""
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
    with Guarded(conn, ctx):
        if error == errno.EAGAIN:  # a unix listener's backlog is full
            await _retry_connect(conn, endpoint, deadline)
        await _finish_connect(conn, deadline)
    return conn


async def _finish_connect(conn: Conn, deadline: float) -> None:
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

    conn._remote = from_python(await conn.aretry(conn.control, True, peer))
    if deadline != math.inf:
        conn.set_write_deadline(None)


async def _retry_connect(conn: Conn, endpoint: Endpoint, deadline: float) -> None:
    pause = 0.001
    while True:
        if time.now() >= deadline:
            raise TimeoutError("timed out")
        await time.asleep(min(pause, max(deadline - time.now(), 0)))
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
    """Connect, trying each address that a name has until one answers. Parks until then.

    network: "tcp", "tcp4", "tcp6" with an address like "example.org:80", "127.0.0.1:80" or "[::1]:80", or
    "unix" with a path. `timeout`, in seconds, is for all of it, names and TLS included; an address that does
    not answer leaves the next ones their share. `tls` is a client's SSLContext: the host in `address` is the
    one whose certificate it wants. TimeoutError, OSError: of the first address that failed. ValueError: not
    an address.
    """
    return block_on(adial(network, address, timeout=timeout, tls=tls))


async def adial(
    network: Literal["tcp", "tcp4", "tcp6", "unix"] | str,
    address: str,
    *,
    timeout: float | None = None,
    tls: ssl.SSLContext | None = None,
) -> Conn:
    """dial() for those who await. A task that is cancelled leaves nothing open."""
    check_network(network, STREAM)
    deadline = deadline_of(timeout)
    if tls is not None:
        check_context("tls", tls)
    conn = await connect(network, address, deadline)
    if tls is None:
        return conn
    return await secure(conn, tls, address.rpartition(":")[0].strip("[]"), deadline)


async def connect(network: str, address: str, deadline: float, ctx: Context | None = None) -> Conn:
    """A connection to the first address of a name that answers. OSError, which says what failed, also if ctx
    ends."""
    try:
        return await _connect_any(await _look_up(network, address, deadline, ctx), deadline, ctx)
    except OSError as exc:
        raise named(exc, f"dial {network} {address}") from None


async def _look_up(network: str, address: str, deadline: float, ctx: Context | None) -> list[Endpoint]:
    """to_dial(), in a goroutine of its own if it may have to be left."""
    if deadline == math.inf and ctx is None:
        return await to_dial(network, address, socket.SOCK_STREAM)
    result: Chan[Any] = Chan(1)

    async def look_up() -> None:
        try:
            result.send(await to_dial(network, address, socket.SOCK_STREAM))
        except (OSError, ValueError, TypeError) as exc:
            result.send(exc)

    go(look_up)
    done = nilchan if ctx is None else ctx.done()
    which, found, _ = await aselect(recv(result), recv(done), timeout=max(deadline - time.now(), 0.001))
    if which == 1:
        raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
    if isinstance(found, Exception):
        try:
            raise found
        finally:  # its traceback refers to this frame, which must not refer back
            found = None
    return cast(list[Endpoint], found)


async def _connect_any(endpoints: list[Endpoint], deadline: float, ctx: Context | None) -> Conn:
    first: OSError | None = None
    try:
        for i, endpoint in enumerate(endpoints):
            left = deadline - time.now()
            if left <= 0:
                raise first or TimeoutError("timed out")
            share = max(left / (len(endpoints) - i), 2.0)  # as Go: but two seconds if there are as many
            try:
                return await _connect_to(endpoint, time.now() + min(left, share), ctx)
            except OSError as exc:
                if ctx is not None and ctx.err() is not None:
                    raise
                first = first or exc
        raise first or OSError(errno.EADDRNOTAVAIL, "no address")
    finally:  # its traceback refers to this frame, which must not refer back
        first = None


async def secure(
    conn: Conn, tls: ssl.SSLContext, name: str, deadline: float, ctx: Context | None = None
) -> Conn:
    """TLS over a client's connection, after its handshake; else that is closed."""
    with Guarded(conn, ctx):
        if deadline != math.inf:
            conn.set_deadline(deadline - time.now())
        secured = await conn.astart_tls(tls, server_hostname=name or None)
        if deadline != math.inf:
            secured.set_deadline(None)
        return secured
