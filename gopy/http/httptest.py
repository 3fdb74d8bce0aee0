"""Go's net/http/httptest: requests without a network, what a handler answers to them, and servers for
tests."""

from __future__ import annotations

import ssl
import tempfile
from typing import IO, TYPE_CHECKING, Any, Self, cast
from urllib.parse import urlsplit

from gopy import context
from gopy._core import go
from gopy.http import _server
from gopy.http._body import body_of
from gopy.http._client import Client
from gopy.http._header import Header
from gopy.http._request import Request
from gopy.http._response import ResponseWriter
from gopy.http._sniff import content_type
from gopy.http._status import body_allowed
from gopy.http._test_certificate import PEM
from gopy.net import listen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gopy.http._body import RequestBody
    from gopy.http._connection import Connection
    from gopy.http._server import Handler
    from gopy.net import Conn

__all__ = ["ResponseRecorder", "Server", "new_request"]


def new_request(
    method: str,
    target: str,
    body: bytes | str | IO[bytes] = b"",
    *,
    header: Mapping[str, str] | None = None,
) -> Request:
    """A request as a handler gets it. target: a path, or a URL whose host becomes the request's.

    remote_addr is 192.0.2.1:1234, as in Go."""
    from gopy.net import Addr

    parts = urlsplit(target)
    url = target
    host = "example.com"
    if parts.scheme and parts.netloc:
        host = parts.netloc
        url = target[len(f"{parts.scheme}://{host}") :] or "/"
    r = Request(None, method, url, "HTTP/1.1")
    r.host = host
    r.header = Header(header or {})
    r.remote_addr = Addr("192.0.2.1", 1234)
    if isinstance(body, str):
        body = body.encode()
    if isinstance(body, bytes):
        r.content_length = len(body)
        r.body = body_of(body)
    else:
        r.content_length = -1
        r.body = cast("RequestBody", body)
    return r


class _Nowhere:
    """The connection of a ResponseRecorder."""

    tls = None

    def send(self, *pieces: bytes) -> None:
        pass

    async def asend(self, *pieces: bytes) -> None:
        pass

    def must_close(self) -> bool:
        return False

    def hijack(self, r: Request) -> tuple[Conn, bytes]:
        raise RuntimeError("a ResponseRecorder has no connection to hijack")


class ResponseRecorder(ResponseWriter):
    """A ResponseWriter that keeps the answer: `status` (0 until the handler has begun; `code` is 200 then),
    `body`, `flushed`, and `sent`, the header as it was when the head was taken."""

    def __init__(self, request: Request | None = None) -> None:
        super().__init__(cast("Connection", _Nowhere()), request or new_request("GET", "/"))
        self._body = bytearray()
        self._head_as_sent: Header | None = None
        self.flushed = False

    @property
    def code(self) -> int:
        """The status, 200 if the handler has not set any."""
        return self.status or 200

    @property
    def body(self) -> bytes:
        """What has been written."""
        return bytes(self._body)

    @property
    def sent_header(self) -> Header:
        """The header as it is sent: changes that came too late are not in it."""
        return self.header() if self._head_as_sent is None else self._head_as_sent

    def _take_header(self) -> None:
        super()._take_header()
        self._head_as_sent = self.header().clone()

    def write_fields(self, status: int, fields: Iterable[tuple[str, str]]) -> None:
        fields = list(fields)
        super().write_fields(status, fields)
        self._head_as_sent = Header()
        for name, value in fields:
            self._head_as_sent.add(name, value)

    def _add(self, data: bytes | str) -> int:
        size = super()._add(data)
        if size and body_allowed(self.status):
            self._body += data.encode() if isinstance(data, str) else data
            if (
                not self._has_type
                and self._head_as_sent is not None
                and "Content-Type" not in self._head_as_sent
            ):
                self._head_as_sent.set("Content-Type", content_type(bytes(self._body)))
        return size

    def flush(self) -> None:
        super().flush()
        self.flushed = True

    def send_file(self, file: IO[bytes], count: int) -> None:
        self._copy_file(file, count)

    def hijack(self) -> Any:
        """RuntimeError: there is no connection."""
        return super().hijack()


GRACE = 5.0  # seconds that requests under way have when a Server is closed


class Server:
    """A server on a free port of this machine, in a goroutine, until close().

    url       "http://127.0.0.1:PORT", or https with tls: then its certificate is one that client() trusts
    config    the http.Server, whose attributes may be set before the first request
    """

    def __init__(self, handler: Handler, *, tls: bool = False) -> None:
        self.config = _server.Server("127.0.0.1:0", handler, tls=_context() if tls else None)
        self._listener = listen("tcp", "127.0.0.1:0", tls=self.config._tls_context())
        self.url = f"{'https' if tls else 'http'}://{self._listener.addr}"
        self._client: Client | None = None
        self._goroutine = go(self._serve)

    def _serve(self) -> None:
        try:
            self.config.serve(self._listener)
        except _server.ServerClosed:
            pass

    def client(self) -> Client:
        """A client that trusts the server's certificate. close() closes its idle connections."""
        if self._client is None:
            tls = ssl.create_default_context(cadata=PEM[: PEM.index("-----BEGIN PRIVATE")])
            tls.set_alpn_protocols(["http/1.1"])
            self._client = Client(tls=tls)
        return self._client

    def close(self) -> None:
        """Stop, when the requests under way have been answered; after 5 seconds they are ended."""
        if self._client is not None:
            self._client.close_idle_connections()
        ctx, cancel = context.with_timeout(context.background(), GRACE)
        try:
            self.config.shutdown(ctx)
        except context.DeadlineExceeded:
            self.config.close()
        finally:
            cancel()
        self._goroutine.join()
        if self._client is not None:  # those of requests that have ended meanwhile
            self._client.close_idle_connections()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _context() -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w") as file:  # the ssl module wants a file
        file.write(PEM)
        file.flush()
        tls.load_cert_chain(file.name)
    return tls
