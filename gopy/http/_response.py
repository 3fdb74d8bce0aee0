"""ResponseWriter: the answer to a request, on its way out.

What a handler writes is kept back until there is more than BUFFER of it, or it is flushed, or the handler
returns. If by then all of it is known, the response has a Content-Length and goes out in one write; else it
is chunked, for HTTP/1.0 ended by closing the connection. The head is taken from header() when write_header()
is called, or with the first write: later changes do not matter, as in Go.

    nothing written -> head taken (status is set) -> head sent -> finished
                                                  hijacked: no more ours
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING

from gopy.http._header import Header, check_name, check_value, field_line, tokens
from gopy.http._sniff import content_type
from gopy.http._status import STATUS_LINES, body_allowed, status_line
from gopy.net import Conn

if TYPE_CHECKING:
    from gopy.http._connection import Connection
    from gopy.http._request import Request

log = logging.getLogger("gopy.http")

BUFFER = 8192  # bytes that are kept back, in the hope that the response ends
CHUNK = 1 << 16  # bytes of a file that are copied at once

# Fields of a response that are not only passed on.
_OURS = frozenset(["Content-Length", "Connection", "Content-Encoding", "Date", "Transfer-Encoding"])

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_date = (0, "")

_new = dict.__new__  # of an empty Header: __init__() has nothing to do


def http_date(seconds: float) -> str:
    """A time as HTTP writes it: "Sun, 06 Nov 1994 08:49:37 GMT"."""
    year, month, day, hour, minute, second, weekday, *_ = time.gmtime(seconds)
    return f"{_DAYS[weekday]}, {day:02d} {_MONTHS[month]} {year:04d} {hour:02d}:{minute:02d}:{second:02d} GMT"


def date_line() -> str:
    """The Date field of a response that begins now. It is made once a second."""
    global _date
    now = int(time.time())
    second, line = _date  # one object: no other thread can change half of it
    if second != now:
        line = f"Date: {http_date(now)}\r\n"
        _date = now, line
    return line


class BodyNotAllowed(ValueError):
    """A response with this status has no body: 1xx, 204, 304."""


class ContentLengthError(ValueError):
    """The handler wrote more than the Content-Length that it had declared."""


class Hijacked(RuntimeError):
    """The connection is no more the server's: hijack() has been called."""


class ResponseWriter:
    """Takes a handler's answer: header(), write_header(), write(). Used by one goroutine at a time."""

    # What few ask for belongs to the class; all else to the instance, where it is found sooner.
    hijacked = False
    _has_date = False

    def __init__(self, connection: Connection, request: Request) -> None:
        self._connection = connection
        self._request = request
        self.status = 0  # not known yet
        self.written = 0  # bytes of the body
        self.sent = False  # the head, at least
        self._ended = ""  # why nothing more can be written
        self._header: Header | None = None
        self._lines = ""  # of the head
        self._has_type = False
        self._declared = -1  # the Content-Length that the handler set
        self._pending: list[bytes] = []
        self._size = 0  # of what is pending
        self._chunked = False
        self._close = False  # the handler set Connection: close, or the body's end is the connection's

    def header(self) -> Header:
        """The fields to be sent. Changes after write_header(), or the first write, do not matter."""
        header = self._header
        if header is None:
            header = self._header = _new(Header)
        return header

    def write_header(self, status: int) -> None:
        """Set the status and take the header. 1xx except 101 is sent at once, and the final one follows.

        Only the first final status counts: another is logged and forgotten. ValueError: there is no such
        status, or the header has a Content-Length that is no number; a value with CR, LF or NUL.
        """
        status = check_status(status)
        if self._ended:
            self._refuse()
        if self.status:
            log.warning("%r: superfluous write_header(%d) after %d", self._request, status, self.status)
            return
        if status < 200 and status != 101:
            self._send_informational(status)
            return
        self._take_header()
        self.status = status

    def _take_header(self) -> None:
        """Make the lines of the head from the header."""
        header = self._header
        if header:
            lines = ""
            for name, values in dict.items(header):
                if name == "Content-Type":  # also without a value, which keeps from guessing one
                    self._has_type = True
                elif name in _OURS:
                    values = [value for value in values if not self._is_ours(name, value)]
                for value in values:
                    lines += field_line(name, value)
            self._lines = lines

    def _take_fields(self, fields: Iterable[tuple[str, str]]) -> None:
        """Make the lines of the head. What frames the message is not the handler's to say. ValueError,
        TypeError."""
        lines = ""
        for name, value in fields:
            key = check_name(name)
            if key == "Content-Type":
                self._has_type = True
            elif key in _OURS and self._is_ours(key, value):
                continue
            lines += field_line(key, value)
        self._lines = lines

    def _is_ours(self, key: str, value: str) -> bool:
        """Take note of a field that matters to the server. -> whether it is sent as the server sees fit."""
        if key == "Content-Length":
            self._declared = _content_length(value)
            return True
        if key == "Connection":
            members = tokens([value])
            self._close = self._close or "close" in members
            return members in (["close"], ["keep-alive"])
        if key == "Content-Encoding":  # encoded bytes tell nothing
            self._has_type = True
        elif key == "Date":
            self._has_date = True
        return key == "Transfer-Encoding"

    def write_fields(self, status: int, fields: Iterable[tuple[str, str]]) -> None:
        """write_header() with a final status, and these fields instead of those of header()."""
        self._take_fields(fields)
        self.status = status

    def _send_informational(self, status: int) -> None:
        if self._request.proto == "HTTP/1.0":  # it has none, and would take it for the answer
            return
        header = self._header or Header()
        lines = "".join(
            f"{name}: {check_value(value)}\r\n"
            for name, values in header.items()
            if name not in ("Content-Length", "Transfer-Encoding")
            for value in values
        )
        if status == 100:
            self._request.expects_continue = False
        self._connection.send(f"{status_line(status)}{lines}\r\n".encode("latin-1"))

    def write(self, data: bytes | str) -> int:
        """Add to the body, a str in UTF-8; its length. Without a write_header() the status is 200.

        Sent when there is more than the buffer holds, by flush(), or at the handler's end. Parks while the
        client does not read. BodyNotAllowed for a status without a body, ContentLengthError beyond a declared
        length; OSError: the client is gone, or write_timeout has passed.
        """
        size = self._add(data)
        if self._size > BUFFER and self._is_due():
            self._connection.send(*self._taken())
        return size

    async def awrite(self, data: bytes | str) -> int:
        """write() for those who await."""
        size = self._add(data)
        if self._size > BUFFER and self._is_due():
            await self._connection.asend(*self._taken())
        return size

    def _add(self, data: bytes | str) -> int:
        if type(data) is str:
            data = data.encode()
        elif type(data) is not bytes:
            data = to_bytes(data)
        if self._ended:
            self._refuse()
        status = self.status
        if not status:
            self._take_header()
            self.status = 200
        size = len(data)
        if size == 0:
            return 0
        if status == 204 or status == 304:  # no other final one is without a body
            raise BodyNotAllowed(f"a response with status {self.status} has no body")
        written = self.written + size
        if written > self._declared >= 0:
            raise ContentLengthError(f"more than the declared Content-Length of {self._declared}")
        self.written = written
        self._pending.append(data)
        self._size += size
        return size

    def _refuse(self) -> None:
        raise (Hijacked if self.hijacked else RuntimeError)(self._ended)

    def _is_due(self) -> bool:
        """Whether more than the buffer holds is to be sent: a single write may turn out to be the whole
        body."""
        return len(self._pending) > 1 or self._declared >= 0 or self.sent

    def flush(self) -> None:
        """Send what has been written, the head at least. Parks while the client does not read."""
        if not self.status:
            self.write_header(200)
        if self._ended:
            self._refuse()
        if self._pending or not self.sent:
            self._connection.send(*self._taken())

    async def aflush(self) -> None:
        """flush() for those who await."""
        if not self.status:
            self.write_header(200)
        if self._ended:
            self._refuse()
        if self._pending or not self.sent:
            await self._connection.asend(*self._taken())

    def _taken(self, last: bool = False) -> list[bytes]:
        """The bytes to be sent for what is pending, with the head if that is still to come. `last`: that is
        all."""
        pending, size = self._pending, self._size
        self._pending, self._size = [], 0
        out: list[bytes] = []
        if not self.sent:
            out.append(self._head(pending, size if last else -1))
        if self._request.method == "HEAD":
            return out
        if self._chunked:
            if size:
                out.append(b"%x\r\n" % size)
                pending.append(b"\r\n")
            if last:
                pending.append(b"0\r\n\r\n")
        out += pending
        return out

    def _head(self, pending: list[bytes], size: int) -> bytes:
        """The head, which says how the body's end is found. size: of the whole body, -1 if it is not known
        yet."""
        self.sent = True
        status, request = self.status, self._request
        date = "" if self._has_date else date_line()
        framing = kind = ""
        if status >= 200 and status != 204 and status != 304:
            if not self._has_type and pending:
                kind = f"Content-Type: {content_type(pending[0])}\r\n"
            if self._declared >= 0:
                framing = f"Content-Length: {self._declared}\r\n"
            elif size >= 0 and not (size == 0 and request.method == "HEAD"):
                framing = f"Content-Length: {size}\r\n"
            elif request.method != "HEAD":
                if request.proto == "HTTP/1.1":
                    self._chunked = True
                    framing = "Transfer-Encoding: chunked\r\n"
                else:
                    self._close = True
        elif status == 304 and self._declared >= 0:
            framing = f"Content-Length: {self._declared}\r\n"
        connection = ""
        if status == 101:
            pass
        elif self._connection.must_close() or self._close or not request.keep_alive:
            self._close = True
            connection = "Connection: close\r\n"
        elif request.proto == "HTTP/1.0":
            connection = "Connection: keep-alive\r\n"
        line = STATUS_LINES.get(status) or status_line(status)
        return f"{line}{self._lines}{date}{framing}{kind}{connection}\r\n".encode("latin-1")

    def finish_at_once(self) -> bytes:
        """finish(), of most responses: nothing has been sent, and all of it is small. b"": not so."""
        if self.sent or self._size > CHUNK or self._request.method == "HEAD":
            return b""
        self._ended = "the handler has returned"
        pending = self._pending
        head = self._head(pending, self._size)
        if not pending:
            return head
        return head + (pending[0] if len(pending) == 1 else b"".join(pending))

    def finish(self) -> list[bytes]:
        """What is left to be sent when the handler has returned. The connection's, when a status is set."""
        self._ended = "the handler has returned"
        if self.sent and not self._pending and not self._chunked:
            return []
        return self._taken(last=True)

    @property
    def ends_connection(self) -> bool:
        """Whether nothing can follow this response. The connection's, when all has been sent."""
        short = self._declared >= 0 and self.written < self._declared
        return (
            self._close or self.status == 101 or (short and body_allowed(self.status) and not self._is_head())
        )

    @property
    def takes_body(self) -> bool:
        """Whether the status that has been set goes with a body."""
        return body_allowed(self.status)

    def left(self, size: int) -> int:
        """How much of a body of this size fits into the declared Content-Length."""
        return size if self._declared < 0 else min(size, self._declared - self.written)

    def _is_head(self) -> bool:
        return self._request.method == "HEAD"

    def hijack(self) -> tuple[Conn, bytes]:
        """Take the connection over: the server does nothing more with it. -> it, and what was read ahead.

        Deadlines are off. Nothing of the response is sent, not even what was written and is still kept back.
        Hijacked: for the second time. RuntimeError: a part of the response has been sent, chunked.
        """
        if self._ended:
            self._refuse()
        if self._chunked:
            raise RuntimeError("a part of the response has been sent, chunked")
        conn, ahead = self._connection.hijack(self._request)
        self.hijacked = True
        self._ended = "the connection was hijacked"
        return conn, ahead

    def send_file(self, file: IO[bytes], count: int) -> None:
        """Write `count` bytes of an open file from its position on, by sendfile(2) where the kernel can do
        it.

        Parks as write(). EOFError: the file is shorter; then the connection is closed after it."""
        if not self.status:
            self.write_header(200)
        if self._declared < 0 and not self.sent and not self._pending:
            self._declared = count
        fd = None if self._chunked else _descriptor(file)
        if fd is None or self._connection.tls is not None or not self._fits(count):
            self._copy_file(file, count)
            return
        self.flush()
        if self._chunked or self._is_head():
            self._copy_file(file, count)
            return
        at = os.lseek(fd, 0, os.SEEK_CUR)
        self._connection.send_file(fd, at, count)
        os.lseek(fd, at + count, os.SEEK_SET)
        self.written += count

    def _fits(self, count: int) -> bool:
        return body_allowed(self.status) and self.written + count <= self._declared

    def _copy_file(self, file: IO[bytes], count: int) -> None:
        if self._is_head():  # only the length counts
            self.write(b"")
            self.written += count
            return
        while count > 0:
            data = file.read(min(count, CHUNK))
            if not data:
                raise EOFError(f"the file has ended {count} bytes early")
            count -= self.write(data)


def _descriptor(file: IO[bytes]) -> int | None:
    try:
        return file.fileno()
    except (AttributeError, OSError):
        return None


def check_status(status: int) -> int:
    """As an int, of which http.HTTPStatus is a subclass."""
    if type(status) is not int:
        if not isinstance(status, int) or isinstance(status, bool):
            raise TypeError(f"`status` must be an int, got {type(status).__name__}")
        status = int(status)
    if not 100 <= status <= 999:
        raise ValueError(f"`status` must be between 100 and 999, got {status}")
    return status


def to_bytes(data: object) -> bytes:
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"`data` must be bytes or a str, got {type(data).__name__}")


def _content_length(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"Content-Length must be a number, got {value!r}")
    return int(value)
