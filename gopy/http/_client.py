"""Client: requests with redirects, proxies, timeouts and contexts; get() and post() on a default one."""

from __future__ import annotations

import base64
import json
import math
import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Self, cast
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from gopy import context
from gopy.context import Context
from gopy.http._dialer import Origin, check_method, proxy_authorization, proxy_for
from gopy.http._header import Header
from gopy.http._transport import AnswerBody, Exchange, Outgoing, Transport

if TYPE_CHECKING:
    from gopy.net import Conn

REDIRECTS = frozenset([301, 302, 303, 307, 308])
DRAINED = 2 << 10  # bytes of a redirect's body that are read to keep its connection, as in Go
PRIVATE = ("Authorization", "Www-Authenticate", "Cookie", "Cookie2", "Proxy-Authorization")
AGENT = "gopy-http/1"
_folds = re.compile(r"[ \t]*\r?\n[ \t]+").sub
_SAFE = "%/?#[]@!$&'()*+,;=:\"<>\\^`{|}~-._"

Fields = Mapping[str, Any] | None  # of a request: each with its value, or with a list of them


class TooManyRedirects(ConnectionError):
    """A Client was sent elsewhere more often than it follows."""


class Response:
    """An answer: status, reason, header, url (after redirects), and a body to be read to its end, or
    closed."""

    def __init__(self, exchange: Exchange, url: str, unzip: bool) -> None:
        parser = exchange.parser
        assert parser is not None
        self._exchange = exchange
        self.status: int = parser.status
        self.reason: str = parser.reason
        self.url = url
        self.header = Header()
        for name, value in parser.headers.raw_items():
            self.header.add(name, _folds(" ", value).strip(" \t"))
        self.content_length = -1 if parser.length is None else parser.length  # -1: unknown
        unzip = unzip and self.header.get("Content-Encoding").lower() == "gzip" and not self._has_no_body()
        if unzip:  # as it was this client that asked for it
            self.header.delete("Content-Encoding")
            self.header.delete("Content-Length")
            self.content_length = -1
        self.body: IO[bytes] = cast(IO[bytes], AnswerBody(exchange, unzip))

    def _has_no_body(self) -> bool:
        parser = self._exchange.parser
        return parser is None or parser.isclosed() or parser.length == 0

    def read(self) -> bytes:
        """All of the body. OSError: it ends early; what ended the context."""
        return self.body.read()

    def json(self) -> Any:
        """The body, parsed. ValueError: it is no JSON."""
        return json.loads(self.read())

    def close(self) -> None:
        """Read no more of the body; if there is more, the connection is closed."""
        self.body.close()

    def hijack(self) -> tuple[Conn, IO[bytes]]:
        """The connection after 101 Switching Protocols, and a file that also has what was read ahead."""
        if self.status != 101:
            raise ValueError(f"only an answer of 101 leaves its connection, not {self.status}")
        return self._exchange.hand_over()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason} of {self.url}>"


class Client:
    """Sends requests, and keeps connections for the next ones. Safe for any number of goroutines.

    timeout            seconds for all of a request, its redirects and the reading of the body included
    tls                an SSLContext; by default one that verifies certificates against the system's
                       authorities
    max_idle_per_host  connections that are kept between requests
    follow_redirects   how often; 0: a redirect is the answer

    Proxies are those that HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment name.
    """

    def __init__(
        self,
        *,
        timeout: float | None = None,
        tls: ssl.SSLContext | None = None,
        max_idle_per_host: int = 2,
        follow_redirects: int = 10,
    ) -> None:
        if timeout is not None:
            if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
                raise TypeError(
                    f"`timeout` must be a number of seconds or None, got {type(timeout).__name__}"
                )
            if math.isnan(timeout):
                raise ValueError("`timeout` must be a number of seconds, got nan")
        if tls is not None and not isinstance(tls, ssl.SSLContext):
            raise TypeError(f"`tls` must be an ssl.SSLContext, got {type(tls).__name__}")
        for name, value in (("max_idle_per_host", max_idle_per_host), ("follow_redirects", follow_redirects)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"`{name}` must be an int, got {type(value).__name__}")
            if value < 0:
                raise ValueError(f"`{name}` must be 0 or more, got {value}")
        self._timeout = timeout
        self._follow = follow_redirects
        self._transport = Transport(tls, max_idle_per_host)

    def do(
        self,
        method: str,
        url: str,
        *,
        body: bytes | IO[bytes] | None = None,
        header: Fields = None,
        ctx: Context | None = None,
    ) -> Response:
        """Send a request and return the answer, whose body is still to be read, or closed. Parks.

        body: a file is sent chunked unless the header has a Content-Length. ctx ends all of it, at every
        stage, also the reading of the body. OSError: it failed; TimeoutError: the client's timeout.
        ValueError: not a URL."""
        check_method(method)
        if body is not None and not isinstance(body, bytes) and not hasattr(body, "read"):
            raise TypeError(f"`body` must be bytes or a file, got {type(body).__name__}")
        if ctx is not None:
            context._check_parent(ctx, "ctx")
        fields = Header(header or {})
        end: Callable[[], None] | None = None
        if self._timeout is not None:
            ctx, end = context.with_timeout(ctx or context.background(), self._timeout)
        try:
            response = self._follow_redirects(method, url, fields, body, ctx)
            if end is not None:
                response._exchange.at_end(end)
            return response
        except BaseException:
            if end is not None:
                end()
            raise

    def _follow_redirects(
        self,
        method: str,
        url: str,
        header: Header,
        body: bytes | IO[bytes] | None,
        ctx: Context | None,
    ) -> Response:
        parts = split_url(url)
        for followed in range(self._follow + 1):
            response = self._send(method, url, parts, header, body, ctx)
            # Bytes beyond ASCII are escaped as they came, in whatever encoding that is.
            location = quote(response.header.get("Location").encode("latin-1"), safe=_SAFE)
            if response.status not in REDIRECTS or not location or not self._follow:
                return response
            if response.status in (307, 308) and not (body is None or isinstance(body, bytes)):
                return response  # the file has been read
            if followed == self._follow:
                response.close()
                break
            with suppress(OSError):  # it is not what was asked for
                response.body.read(DRAINED)
            response.close()
            url, before = urljoin(url, location), parts
            parts = split_url(url)
            header = header.clone()
            if response.status in (301, 302, 303) and method not in ("GET", "HEAD"):
                method, body = "GET", None
                for name in ("Content-Type", "Content-Length", "Content-Encoding"):
                    header.delete(name)
            if not same_site(before, parts):
                for name in PRIVATE:
                    header.delete(name)
                header.delete("Host")
        raise TooManyRedirects(f"stopped after {self._follow} redirects, at {url}")

    def _send(
        self,
        method: str,
        url: str,
        parts: SplitResult,
        header: Header,
        body: bytes | IO[bytes] | None,
        ctx: Context | None,
    ) -> Response:
        host = (parts.hostname or "").encode("idna").decode() if parts.hostname else ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        origin = Origin(parts.scheme, host, port, proxy_for(parts.scheme, host))
        fields = header.clone()
        if "Host" not in fields:
            name = f"[{host}]" if ":" in host else host
            fields.set("Host", f"{name}:{parts.port}" if parts.port else name)
        if "User-Agent" not in fields:
            fields.set("User-Agent", AGENT)
        if parts.username is not None and "Authorization" not in fields:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            fields.set("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
        unzip = method != "HEAD" and not {"Accept-Encoding", "Range"} & fields.keys()
        if unzip:
            fields.set("Accept-Encoding", "gzip")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if origin.proxy and not origin.tunnelled:
            target = f"{parts.scheme}://{fields.get('Host')}{target}"
            authorization = proxy_authorization(origin.proxy)
            if authorization:
                fields.set("Proxy-Authorization", authorization)
        exchange = self._transport.exchange(origin, Outgoing(method, target, fields, body), ctx)
        try:
            response = Response(exchange, url, unzip)
        except ValueError as exc:  # a field that is none
            exchange.close()
            raise ConnectionError(f"malformed answer: {exc}") from None
        if response._has_no_body() and response.status != 101:
            response.body.read()  # its end, with which the connection is free
        return response

    def get(
        self,
        url: str,
        *,
        body: bytes | IO[bytes] | None = None,
        header: Fields = None,
        ctx: Context | None = None,
    ) -> Response:
        """do("GET", url, ...)"""
        return self.do("GET", url, body=body, header=header, ctx=ctx)

    def head(self, url: str, *, header: Fields = None, ctx: Context | None = None) -> Response:
        """do("HEAD", url, ...)"""
        return self.do("HEAD", url, header=header, ctx=ctx)

    def post(
        self,
        url: str,
        content_type: str,
        body: bytes | IO[bytes],
        *,
        header: Fields = None,
        ctx: Context | None = None,
    ) -> Response:
        """do("POST", url, body=body, ...) with a Content-Type."""
        fields = Header(header or {})
        fields.set("Content-Type", content_type)
        return self.do("POST", url, body=body, header=fields, ctx=ctx)

    def close_idle_connections(self) -> None:
        """Close the connections that are kept for other requests."""
        self._transport.pool.close()


def split_url(url: object) -> SplitResult:
    """The parts of a URL, with what is not ASCII escaped. TypeError, ValueError: it is none of http or
    https."""
    if not isinstance(url, str):
        raise TypeError(f"`url` must be a str, got {type(url).__name__}")
    if any(c <= " " or c == "\x7f" for c in url):
        raise ValueError(f"`url` must have no blanks and no control characters, got {url!r}")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"`url` must begin with http:// or https://, got {url!r}")
    if not parts.hostname or parts.port == 0:
        raise ValueError(f"`url` has no host: {url!r}")
    return parts._replace(
        path=quote(parts.path, safe=_SAFE), query=quote(parts.query, safe=_SAFE), fragment=""
    )


def same_site(a: SplitResult, b: SplitResult) -> bool:
    """Whether what is for the one may be told the other: the same host, or one below it, and no less
    secure."""
    if a.scheme == "https" and b.scheme != "https":
        return False
    one, other = a.hostname or "", b.hostname or ""
    return one == other or (other.endswith(f".{one}") and not one.replace(".", "").isdigit())


default_client = Client()


def get(
    url: str,
    *,
    body: bytes | IO[bytes] | None = None,
    header: Fields = None,
    ctx: Context | None = None,
) -> Response:
    """Client.get() of a client that all share, and that has no timeout."""
    return default_client.get(url, body=body, header=header, ctx=ctx)


def post(
    url: str, content_type: str, body: bytes | IO[bytes], *, header: Fields = None, ctx: Context | None = None
) -> Response:
    """Client.post() of a client that all share, and that has no timeout."""
    return default_client.post(url, content_type, body, header=header, ctx=ctx)
