"""Reader: what comes in on a connection, taken apart into requests and their bodies.

The head of a request is found by its end (CRLF CRLF) and fed to llhttp alone; a body is fed in pieces that
end where it may end (_framing.py). So what is left over in `_rest` always begins with the next request, or
with what a client has sent ahead on a connection that is hijacked; and a body has at most one read of the
connection in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from gopy.http._body import BadRequest, Body, BodyTooLarge
from gopy.http._framing import Framing
from gopy.http._parse import MOST_FIELDS, method_name, read_fields, request_line, why_refused
from gopy.http._request import Request
from gopy.net import Conn

if TYPE_CHECKING:
    from gopy.http._body import RequestBody
    from gopy.http._server import Server

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Reader:
    """The receiving half of a connection. Its subclass Connection says who may read when."""

    __slots__ = (
        "_body", "_failure", "_fields", "_framing", "_parser", "_receiving", "_rest", "_upgrade", "conn",
        "server",
    )  # fmt: skip

    def __init__(self, server: Server, conn: Conn) -> None:
        self.server = server
        self.conn = conn
        self._parser: Any = HttpRequestParser(self)
        self._fields: list[tuple[bytes, bytes]] = []
        self._rest = b""
        self._body: Body | None = None  # of the request that is served, until it is complete
        self._receiving: Request | None = None  # the request that this is the body of
        self._framing: Framing | None = None
        self._upgrade = False  # the head that was fed asks for another protocol
        self._failure: Exception | None = None  # why nothing more can be read

    # ---- what llhttp finds ----

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_body(self, data: bytes) -> None:
        if self._body is not None:
            self._body.feed(data)

    def on_message_complete(self) -> None:
        if self._body is not None:
            self._body.finish()

    # ---- heads ----

    def _fast_request(self, data: bytes) -> Request | None:
        """The request whose head has come in one piece, as nearly all do. None: this one has not."""
        line = request_line(data)
        end = data.find(b"\r\n\r\n") + 4
        if line is None or end == 3 or end > self.server.max_header_bytes:
            return None
        if end != len(data):
            self._rest = data[end:]
            data = data[:end]
        self._fields = []
        self._upgrade = False
        try:  # _feed_head(), written out
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._upgrade = True
        except HttpParserError as exc:
            raise why_refused(data, str(exc), self._fields) from None
        return self._request(line)

    async def _slow_request(self, data: bytes) -> Request | None:
        """Any other request. None: the client has left before its end, or there was only an empty line."""
        most = self.server.max_header_bytes
        head = bytearray(data)
        fed = 0
        self._fields = []
        self.conn.set_read_deadline(self.server._header_timeout())
        while True:
            while not fed and head.startswith(
                b"\r\n"
            ):  # RFC 9112, 2.2: an empty line before the request line
                del head[:2]
            end = head.find(b"\r\n\r\n", max(fed - 3, 0)) + 4
            if end != 3 or len(head) > most:
                break
            if (
                len(head) > 1
            ):  # what has no good end is refused at once, but a CR alone may be an empty line's
                self._feed_head(bytes(head[fed:]), head)
                fed = len(head)
            try:
                more = await self.conn.aread()
            except TimeoutError:
                if not head:
                    return None
                raise BadRequest(408, "the head of the request took too long") from None
            if not more:
                return None
            head += more
        if not 3 < end <= most:
            long_target = not 0 <= head.find(b"\r\n") <= most
            raise BadRequest(
                *((414, "the target is too long") if long_target else (431, "the header is too large"))
            )
        self._rest = bytes(head[end:])
        del head[end:]
        self._feed_head(bytes(head[fed:]), head)
        line = request_line(bytes(head))
        if line is None:
            raise why_refused(bytes(head), "malformed request line")
        return self._request(line)

    def _feed_head(self, data: bytes, head: bytes | bytearray) -> None:
        self._upgrade = False
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._upgrade = True
        except HttpParserError as exc:
            raise why_refused(bytes(head), str(exc), self._fields) from None
        if (
            len(self._fields) > MOST_FIELDS
        ):  # before all of them have come: each takes more memory than it had bytes
            raise BadRequest(431, "too many fields")

    def _request(self, line: Any) -> Request:
        """The request whose head has been fed."""
        method, target, minor = line.groups()
        if target == b"*" and method != b"OPTIONS":
            raise BadRequest(400, "* is for OPTIONS")
        r = Request(self, method_name(method), target.decode(), "HTTP/1.1" if minor == b"1" else "HTTP/1.0")
        r._fields = fields = self._fields
        if len(fields) > MOST_FIELDS:
            raise BadRequest(431, "too many fields")
        length = read_fields(r, fields)
        if length:
            self._begin_body(r, length)
        elif self._upgrade:
            self._parser = HttpRequestParser(self)  # that one would take what follows for another protocol
        return r

    # ---- bodies ----

    def _begin_body(self, r: Request, length: int) -> None:
        server = self.server
        if self._upgrade:
            self._expect_body_despite_upgrade(length)
        most = server.max_body_bytes
        if most is not None and length > most:
            raise BodyTooLarge(f"the body is larger than {most} bytes")
        r.content_length = length
        self._body = body = Body(self)
        r.body = cast("RequestBody", body)
        self._receiving = r
        self._framing = Framing(length, server.max_header_bytes)
        self._fields = []  # for trailers
        self.conn.set_read_deadline(server.read_timeout)

    def _expect_body_despite_upgrade(self, length: int) -> None:
        """llhttp skips the body of a request that asks for an upgrade: have another one expect it."""
        self._parser = HttpRequestParser(self)
        framing = b"Transfer-Encoding: chunked" if length < 0 else b"Content-Length: %d" % length
        fields, self._fields = self._fields, []
        self._parser.feed_data(b"POST / HTTP/1.1\r\nHost:\r\n" + framing + b"\r\n\r\n")
        self._fields = fields

    def more_body(self) -> None:
        """Park until more of the body has come. For Body, who asks only while it is incomplete."""
        try:
            if not self._take_ahead():
                self._take_body(self.conn.read())
        except (OSError, BadRequest) as exc:
            self._not_read(exc)
            raise

    async def amore_body(self) -> None:
        """more_body() for those who await."""
        try:
            if not self._take_ahead():
                self._take_body(await self.conn.aread())
        except (OSError, BadRequest) as exc:
            self._not_read(exc)
            raise

    def _take_ahead(self) -> bool:
        """Whether a part of the body had been received with the head; if not, the client may be waiting for
        us."""
        if self._failure is not None:
            raise self._failure
        if self._rest:
            rest, self._rest = self._rest, b""
            self._take_body(rest)
            return True
        r = self._receiving
        if r is not None and r.expects_continue:
            r.expects_continue = False
            self.conn.write(CONTINUE)
        return False

    def _take_body(self, data: bytes) -> None:
        """Feed what belongs to the body; what does not is the next request's."""
        body, framing = self._body, self._framing
        assert body is not None and framing is not None
        if not data:
            raise ConnectionResetError("the client has closed the connection in the middle of its request")
        try:
            self._rest = framing.feed(self._parser.feed_data, data, body)
        except HttpParserError as exc:
            raise BadRequest(400, str(exc)) from None
        if len(self._fields) > MOST_FIELDS:
            raise BadRequest(431, "too many trailers")
        most = self.server.max_body_bytes
        if most is not None and body.received > most:
            raise BodyTooLarge(f"the body is larger than {most} bytes")
        if body.complete:
            self._body = self._receiving = self._framing = None
            self._body_is_complete()

    def _not_read(self, exc: Exception) -> None:
        """Reading has failed, for good."""
        self._failure = exc

    def _body_is_complete(self) -> None:
        """For the subclass: the connection may be read for other things."""
