"""Server: listens, starts a goroutine for each connection, and ends in good order."""

from __future__ import annotations

import logging
import math
import ssl
import time as wall
from collections.abc import Callable
from typing import Any

from gopy import context
from gopy._core import Bool, Chan, go, recv, select, send
from gopy._panic import ClosedChannelError
from gopy.context import Context
from gopy.http._connection import Connection
from gopy.http._mux import default_mux
from gopy.http._request import Request
from gopy.http._response import ResponseWriter
from gopy.net import Listener, listen
from gopy.net._conn import wrap_tls

# What answers a request: a plain function, or an `async def` whose steps the connection's goroutine takes.
Handler = Callable[[ResponseWriter, Request], object]

log = logging.getLogger("gopy.http")
access = logging.getLogger("gopy.http.access")


class ServerClosed(Exception):
    """shutdown() or close() has been called: what serve() ends with, as Go's ErrServerClosed."""


class Server:
    """Serves HTTP/1.0 and 1.1: a goroutine for each connection, which calls handler(w, r) for each request.

    addr                 "host:port", ":8080", or "unix:/path"
    handler              None: the default mux, where handle() registers. Plain, or `async def`. An exception
                         is logged through the logger "gopy.http", answered with 500 if nothing was sent, and
                         ends the connection
    tls                  a server's SSLContext, for listeners without one. It will offer "http/1.1" by ALPN
    read_header_timeout  seconds for a head, from its first byte on (and for the first request and the
                         handshake, from the beginning); 408, or just the end if nothing has come
    read_timeout         seconds for a body, from when its head is there
    write_timeout        seconds for the answer, from when the head of the request is there
    idle_timeout         seconds between two requests
    max_header_bytes     of a head: 414 if its first line is longer, else 431
    max_body_bytes       of a body: 413
    max_connections      more wait to be accepted
    reuse_port           other processes may listen on the same port
    access_log           True, a logging.Logger, a function of a line, or a file: a line of the common log
                         format for each request

    Timeouts of None are without end.
    """

    def __init__(
        self,
        addr: str = ":8080",
        handler: Handler | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        read_header_timeout: float | None = 10,
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        idle_timeout: float | None = 120,
        max_header_bytes: int = 1 << 20,
        max_body_bytes: int | None = None,
        max_connections: int | None = None,
        reuse_port: bool = False,
        access_log: Any = None,
    ) -> None:
        if not isinstance(addr, str):
            raise TypeError(f"`addr` must be a str, got {type(addr).__name__}")
        if handler is not None and not callable(handler):
            raise TypeError(f"`handler` must be callable, got {type(handler).__name__}")
        if tls is not None and not isinstance(tls, ssl.SSLContext):
            raise TypeError(f"`tls` must be an ssl.SSLContext, got {type(tls).__name__}")
        self.addr = addr
        self.handler: Handler = default_mux if handler is None else handler
        self.tls = tls
        self.read_header_timeout = _seconds("read_header_timeout", read_header_timeout)
        self.read_timeout = _seconds("read_timeout", read_timeout)
        self.write_timeout = _seconds("write_timeout", write_timeout)
        self.idle_timeout = _seconds("idle_timeout", idle_timeout)
        self.max_header_bytes = _count("max_header_bytes", max_header_bytes, 1)
        self.max_body_bytes = None if max_body_bytes is None else _count("max_body_bytes", max_body_bytes, 0)
        self.max_connections = (
            None if max_connections is None else _count("max_connections", max_connections, 1)
        )
        self.reuse_port = reuse_port
        self.access_log = _access_log(access_log)
        self.context: Context = context.background()  # what the requests' contexts are made from
        self._stopping = Bool(False)
        self._stopped, self._stop_waiting = context.with_cancel(
            context.background()
        )  # for who waits for a place
        self._listeners: dict[Listener, None] = {}
        self._connections: dict[Connection, None] = {}
        self._places: Chan[None] | None = None if max_connections is None else Chan(max_connections)
        self._gone: Chan[None] = (
            Chan()
        )  # closed when the server is stopping and the last connection has ended

    @property
    def addrs(self) -> list[Any]:
        """The addresses that it listens on."""
        return [listener.addr for listener in list(self._listeners)]

    def listen_and_serve(self) -> None:
        """Listen on `addr` and serve. Parks until shutdown() or close(): then ServerClosed. OSError: it
        cannot."""
        if self._stopping.load():
            raise ServerClosed
        network, address = ("unix", self.addr[5:]) if self.addr.startswith("unix:") else ("tcp", self.addr)
        self.serve(listen(network, address, reuse_port=self.reuse_port, tls=self._tls_context()))

    def _tls_context(self) -> ssl.SSLContext | None:
        if self.tls is not None:
            self.tls.set_alpn_protocols(["http/1.1"])
        return self.tls

    def serve(self, ln: Listener) -> None:
        """Serve the connections of a listener, which is closed at the end; by TLS if it or the server has a
        context for that. Parks until shutdown() or close(): then ServerClosed. OSError (EBADF): somebody else
        has closed it."""
        if not isinstance(ln, Listener):
            raise TypeError(f"`ln` must be a gopy.net.Listener, got {type(ln).__name__}")
        tls = self._tls_context() if ln._tls is None else None
        self._listeners[ln] = None
        try:
            while not self._stopping.load():
                self._accept(ln, tls)
            raise ServerClosed
        except OSError:
            if self._stopping.load():
                raise ServerClosed from None
            raise
        finally:
            self._listeners.pop(ln, None)
            ln.close()

    def _accept(self, ln: Listener, tls: ssl.SSLContext | None) -> None:
        if self._places is not None:
            which, _, _ = select(send(self._places, None), recv(self._stopped.done()))
            if which == 1:
                return
        try:
            conn = ln.accept() if tls is None else wrap_tls(ln.accept(), tls, True, None)
        except BaseException:
            self._leave_place()
            raise
        connection = Connection(self, conn)
        self._connections[connection] = None
        go(connection.run())

    def _header_timeout(self) -> float | None:
        return self.read_timeout if self.read_header_timeout is None else self.read_header_timeout

    def _forget(self, connection: Connection) -> None:
        """A connection has ended, or was hijacked."""
        if self._connections.pop(connection, self) is self:
            return
        self._leave_place()
        if self._stopping.load() and not self._connections:
            self._all_gone()

    def _leave_place(self) -> None:
        if self._places is not None:
            self._places.recv()

    def _all_gone(self) -> None:
        try:
            self._gone.close()
        except ClosedChannelError:
            pass

    def _log_access(self, r: Request, status: int, written: int) -> None:
        auth = r.basic_auth()
        user = auth[0] if auth and auth[0].isascii() and auth[0].isprintable() and " " not in auth[0] else "-"
        host = getattr(r.remote_addr, "host", None) or "-"
        now = wall.localtime()
        minutes = abs(now.tm_gmtoff) // 60
        zone = f"{'-' if now.tm_gmtoff < 0 else '+'}{minutes // 60:02d}{minutes % 60:02d}"
        stamp = (
            f"{now.tm_mday:02d}/{_MONTHS[now.tm_mon]}/{now.tm_year} {wall.strftime('%H:%M:%S', now)} {zone}"
        )
        target = r.url.replace('"', "%22")
        self.access_log(
            f'{host} - {user} [{stamp}] "{r.method} {target} {r.proto}" {status} {written or "-"}'
        )

    def _stop(self) -> None:
        self._stopping.store(True)
        self._stop_waiting()
        for listener in list(self._listeners):
            listener.close()

    def shutdown(self, ctx: Context | None = None) -> None:
        """Stop accepting, close idle connections, and park until the requests under way have been answered.

        Raises ctx.err() when that ends first; what is left then goes on, or is ended by close(). Hijacked
        connections are not waited for."""
        if ctx is not None:
            context._check_parent(ctx, "ctx")
        self._stop()
        for connection in list(self._connections):
            connection.close_idle()
        if not self._connections:
            self._all_gone()
        done = (ctx or context.background()).done()
        if select(recv(self._gone), recv(done))[0] == 1 and ctx is not None:
            ctx.raise_if_done()

    def close(self) -> None:
        """Close the listeners and all connections at once, but for those that were hijacked.

        Over TLS a client who does not read has 5 seconds to take the end, for which nobody waits.
        """
        self._stop()
        for connection in list(self._connections):
            connection.close()


_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def listen_and_serve(addr: str, handler: Handler | None = None, *, tls: ssl.SSLContext | None = None) -> None:
    """Server(addr, handler, tls=tls).listen_and_serve(): parks for ever, as nobody can stop it."""
    Server(addr, handler, tls=tls).listen_and_serve()


def _seconds(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"`{name}` must be a number of seconds or None, got {type(value).__name__}")
    if math.isnan(value):
        raise ValueError(f"`{name}` must be a number of seconds, got nan")
    return value


def _count(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"`{name}` must be an int, got {type(value).__name__}")
    if value < least:
        raise ValueError(f"`{name}` must be {least} or more, got {value}")
    return value


def _access_log(to: Any) -> Any:
    """The function that takes a line of the access log; None: there is none."""
    if to is None or to is False:
        return None
    if to is True:
        return access.info
    if isinstance(to, logging.Logger):
        return to.info
    if callable(to):
        return to
    if hasattr(to, "write"):
        return lambda line: to.write(line + "\n")
    raise TypeError(f"`access_log` must be a Logger, a function or a file, got {type(to).__name__}")
