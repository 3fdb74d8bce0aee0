"""Connections of a client: names, addresses, proxies and TLS, each given up when a context ends."""

from __future__ import annotations

import base64
import http.client
import io
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from gopy import time
from gopy._core import block_on
from gopy.context import Context
from gopy.http._header import is_token
from gopy.net import Conn
from gopy.net._dial import Guarded, connect, secure

DIAL_TIMEOUT = 30.0  # seconds for names and connecting, as in Go; then for each handshake


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


def raise_for(ctx: Context | None, exc: BaseException) -> None:
    """Raise what ended the context, if that is why exc came."""
    if ctx is not None and ctx.err() is not None:
        try:
            ctx.raise_if_done()
        except Exception as why:
            raise why from exc


def dial(origin: Origin, ctx: Context | None, tls: ssl.SSLContext) -> Conn:
    """A connection to an origin. OSError; what ended ctx: context.Canceled, context.DeadlineExceeded."""
    try:
        if not origin.proxy:
            conn = _connect(origin.host, origin.port, ctx)
        else:
            conn = _dial_proxy(origin, ctx, tls)
            if not origin.tunnelled:
                return conn
            tunnel(conn, origin, ctx)
        return _secure(conn, origin.host, ctx, tls) if origin.scheme == "https" else conn
    except Exception as exc:
        raise_for(ctx, exc)
        raise


def _dial_proxy(origin: Origin, ctx: Context | None, tls: ssl.SSLContext) -> Conn:
    proxy = urlsplit(origin.proxy)
    if proxy.scheme not in ("http", "https"):
        raise ValueError(f"a proxy must be of http or https, got {origin.proxy!r}")
    host, port = proxy.hostname or "", proxy.port or (443 if proxy.scheme == "https" else 80)
    conn = _connect(host, port, ctx)
    return _secure(conn, host, ctx, tls) if proxy.scheme == "https" else conn


def _connect(host: str, port: int, ctx: Context | None) -> Conn:
    return block_on(connect("tcp", _address(host, port), time.now() + DIAL_TIMEOUT, ctx))


def _secure(conn: Conn, host: str, ctx: Context | None, tls: ssl.SSLContext) -> Conn:
    return block_on(secure(conn, tls, host, time.now() + DIAL_TIMEOUT, ctx))


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def proxy_authorization(proxy: str) -> str:
    """The value of Proxy-Authorization for a proxy's URL; "" if it has no user."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return ""
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(user.encode()).decode()


def tunnel(conn: Conn, origin: Origin, ctx: Context | None) -> None:
    """Have a proxy pass the connection on to the origin."""
    where = _address(origin.host, origin.port)
    head = f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n"
    authorization = proxy_authorization(origin.proxy)
    if authorization:
        head += f"Proxy-Authorization: {authorization}\r\n"
    with Guarded(conn, ctx):
        conn.set_deadline(DIAL_TIMEOUT)
        conn.write(head.encode("latin-1") + b"\r\n")
        answer = Parser(conn, "CONNECT")
        try:
            begin(answer)
        except http.client.HTTPException as exc:
            raise ConnectionError(f"the proxy's answer is malformed: {exc!r}") from None
        answer.close()
        if answer.status != 200:
            raise ConnectionError(f"the proxy refused CONNECT {where}: {answer.status} {answer.reason}")
        conn.set_deadline(None)


class _Incoming(io.RawIOBase):
    """As much of a socket as http.client's parser needs, and the file that this makes of it, which counts its
    bytes."""

    def __init__(self, conn: Conn, buffering: int) -> None:
        self._conn = conn
        self._buffering = buffering
        self._count = 0

    def makefile(self, mode: str) -> Any:
        if not self._buffering:
            return self
        self.name = self._conn.fileno()  # OSError: it is closed
        return io.BufferedReader(self, self._buffering)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._conn.read_into(buffer)
        self._count += size
        return size

    def tell(self) -> int:
        return self._count


class Parser(http.client.HTTPResponse):
    """http.client's parser of responses, over a Conn. After begin() it has the status and the header."""

    fp: Any = None  # what close() looks at, also if the connection is closed before there is a file over it
    _surplus = False

    def __init__(self, conn: Conn, method: str) -> None:
        # Behind the answer to CONNECT comes another protocol, none of which may be read ahead.
        self._incoming = _Incoming(conn, 0 if method == "CONNECT" else 16384)
        super().__init__(self._incoming, method=method)  # type: ignore[arg-type]

    def has_surplus(self) -> bool:
        """Whether more was read than the answer, when that has been read to its end."""
        if self.fp is not None:
            self._surplus = self._incoming.tell() > self.fp.tell()
        return self._surplus

    def _close_conn(self) -> None:
        self.has_surplus()  # the file is about to be closed
        super()._close_conn()  # type: ignore[misc]

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
