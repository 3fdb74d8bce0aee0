"""Connections of a client: names, addresses, proxies and TLS, each given up when a context ends.

What waits is ended by closing the descriptor that it waits for. Only the resolver cannot be interrupted: it
is left in a goroutine of its own, which ends when the resolver answers.
"""

from __future__ import annotations

import base64
import errno
import http.client
import math
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from gopy import context, time
from gopy._core import Chan, go, recv, select
from gopy.context import Context
from gopy.http._header import is_token
from gopy.net import Conn
from gopy.net._addr import Endpoint, to_dial
from gopy.net._conn import _finish_connect, named, set_options, wrap_tls

DIAL_TIMEOUT = 30.0  # seconds for names and connecting, as in Go
SHARE = 2.0  # seconds at least for each address of a name


@dataclass(frozen=True)
class Origin:
    """Where a connection leads: what may be asked on it."""

    scheme: str
    host: str
    port: int
    proxy: str = ""  # URL of the proxy in between

    @property
    def tunnelled(self) -> bool:
        """Whether the proxy only passes bytes on."""
        return bool(self.proxy) and self.scheme == "https"


def proxy_for(scheme: str, host: str) -> str:
    """The URL of the proxy that the environment names, "" for none. Never for this machine itself, as in
    Go."""
    if host == "localhost" or host.startswith("127.") or host == "::1":
        return ""
    from urllib.request import getproxies_environment, proxy_bypass  # which imports a lot

    proxies = getproxies_environment()
    if not proxies or proxy_bypass(host):
        return ""
    proxy = proxies.get(scheme, "")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def closing(ctx: Context | None, conn: Conn) -> Callable[[], bool] | None:
    """Have conn closed when ctx ends. -> what calls that off; None: there is nothing to call off."""
    if ctx is None or ctx.done() == context.background().done():
        return None
    return context.after_func(ctx, conn.close)


def raise_for(ctx: Context | None, exc: BaseException) -> None:
    """Raise what ended the context, if that is why exc came."""
    if ctx is not None and ctx.err() is not None:
        try:
            ctx.raise_if_done()
        except Exception as why:
            raise why from exc


def dial(origin: Origin, ctx: Context | None, tls: ssl.SSLContext) -> Conn:
    """A connection to an origin. OSError; what ended ctx: context.Canceled, context.DeadlineExceeded."""
    deadline = time.now() + DIAL_TIMEOUT
    if origin.proxy:
        proxy = urlsplit(origin.proxy)
        if proxy.scheme not in ("http", "https"):
            raise ValueError(f"a proxy must be of http or https, got {origin.proxy!r}")
        port = proxy.port or (443 if proxy.scheme == "https" else 80)
        conn = connect(proxy.hostname or "", port, ctx, deadline)
        if proxy.scheme == "https":
            conn = secure(conn, proxy.hostname or "", ctx, tls)
        if not origin.tunnelled:
            return conn
        tunnel(conn, origin, ctx)
    else:
        conn = connect(origin.host, origin.port, ctx, deadline)
    return secure(conn, origin.host, ctx, tls) if origin.scheme == "https" else conn


def connect(host: str, port: int, ctx: Context | None, deadline: float) -> Conn:
    """A TCP connection to the first address of a host that answers."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    what = f"dial tcp {where}"
    try:
        endpoints = look_up(where, ctx, deadline)
    except OSError as exc:
        raise_for(ctx, exc)
        raise named(exc, what) from None
    first: OSError | None = None
    for i, endpoint in enumerate(endpoints):
        left = deadline - time.now()
        if left <= 0:
            break
        try:
            return _connect_to(endpoint, ctx, time.now() + min(left, max(left / (len(endpoints) - i), SHARE)))
        except OSError as exc:
            raise_for(ctx, exc)
            first = first or exc
    try:
        raise named(first or TimeoutError("timed out"), what) from None
    finally:  # its traceback refers to this frame, which must not refer back
        first = None


def look_up(where: str, ctx: Context | None, deadline: float) -> list[Endpoint]:
    """The addresses of a name, while the context lasts."""
    result: Chan[Any] = Chan(1)

    def resolve() -> None:
        try:
            result.send(to_dial("tcp", where, socket.SOCK_STREAM))
        except (OSError, ValueError) as exc:
            result.send(exc)

    if ctx is None and deadline == math.inf:
        resolve()
    else:
        go(resolve)
    done = (ctx or context.background()).done()
    which, found, _ = select(recv(result), recv(done), timeout=max(deadline - time.now(), 0))
    if which == 1 and ctx is not None:
        ctx.raise_if_done()
    if isinstance(found, Exception):
        try:
            raise found
        finally:
            found = None
    assert found is not None
    endpoints: list[Endpoint] = found
    return endpoints


def _connect_to(endpoint: Endpoint, ctx: Context | None, deadline: float) -> Conn:
    sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        set_options(sock)
        error = sock.connect_ex(endpoint.address)
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, os.strerror(error))
        conn = Conn(sock.fileno())
    except BaseException:
        sock.close()
        raise
    sock.detach()
    stop = closing(ctx, conn)
    try:
        _finish_connect(conn, deadline)
    except BaseException:
        conn.close()
        raise
    finally:
        if stop is not None:
            stop()
    return conn


def secure(conn: Conn, host: str, ctx: Context | None, tls: ssl.SSLContext) -> Conn:
    """TLS over a connection, after its handshake; else the connection is closed."""
    stop = closing(ctx, conn)
    try:
        conn.set_deadline(DIAL_TIMEOUT)
        wrapped = wrap_tls(conn, tls, False, host)
        wrapped.handshake()
        wrapped.set_deadline(None)
        return wrapped
    except BaseException as exc:
        conn.close()
        raise_for(ctx, exc)
        raise
    finally:
        if stop is not None:
            stop()


def proxy_authorization(proxy: str) -> str:
    """The value of Proxy-Authorization for a proxy's URL; "" if it has no user."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return ""
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(user.encode()).decode()


def tunnel(conn: Conn, origin: Origin, ctx: Context | None) -> None:
    """Have a proxy pass the connection on to the origin."""
    where = f"[{origin.host}]:{origin.port}" if ":" in origin.host else f"{origin.host}:{origin.port}"
    head = f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n"
    authorization = proxy_authorization(origin.proxy)
    if authorization:
        head += f"Proxy-Authorization: {authorization}\r\n"
    stop = closing(ctx, conn)
    try:
        conn.set_deadline(DIAL_TIMEOUT)
        conn.write(head.encode("latin-1") + b"\r\n")
        answer = Parser(conn, "CONNECT")
        begin(answer)
        answer.close()
        if answer.status != 200:
            raise ConnectionError(f"the proxy refused CONNECT {where}: {answer.status} {answer.reason}")
        conn.set_deadline(None)
    except BaseException as exc:
        conn.close()
        raise_for(ctx, exc)
        if isinstance(exc, http.client.HTTPException):
            raise ConnectionError(f"the proxy's answer is malformed: {exc!r}") from None
        raise
    finally:
        if stop is not None:
            stop()


class _Socket:
    """As much of a socket as http.client's parser needs."""

    def __init__(self, conn: Conn, buffering: int) -> None:
        self._conn = conn
        self._buffering = buffering

    def makefile(self, mode: str) -> Any:
        return self._conn.makefile(mode, self._buffering)


class Parser(http.client.HTTPResponse):
    """http.client's parser of responses, over a Conn. After begin() it has the status and the header."""

    def __init__(self, conn: Conn, method: str) -> None:
        # Behind the answer to CONNECT comes another protocol, none of which may be read ahead.
        super().__init__(_Socket(conn, 0 if method == "CONNECT" else 16384), method=method)  # type: ignore[arg-type]

    def _read_status(self) -> tuple[str, int, str]:
        """The first status that is final: of 1xx, http.client itself skips only 100."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 101 < status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)


def begin(parser: Parser) -> None:
    """Read the head. If that fails the parser is closed: left to the collector, its file may be closed before
    it."""
    try:
        parser.begin()
    except BaseException:
        parser.close()
        raise


def check_method(method: object) -> str:
    if not isinstance(method, str):
        raise TypeError(f"`method` must be a str, got {type(method).__name__}")
    if not is_token(method):
        raise ValueError(f"`method` must be a method of HTTP, got {method!r}")
    return method
