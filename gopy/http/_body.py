"""Bodies of requests: files that park while the client sends.

A Body gets its bytes from what the connection's `more_body()` feeds it, and that only when somebody reads:
what a handler does not ask for stays with the client, so a body takes no more memory than one read of the
connection. The end is told by finish(); until then an end of the stream is an error.
"""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from gopy.http._reader import Reader

    class RequestBody(IO[bytes]):
        """What a handler may count on: a file, and what awaits."""

        async def aread(self, size: int | None = -1) -> bytes: ...
        async def aread1(self, size: int | None = -1) -> bytes: ...


class BadRequest(ValueError):
    """The request is answered with this status, and the connection closed."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class BodyTooLarge(BadRequest):
    """The request's body is longer than the server's `max_body_bytes`. A handler that lets it pass answers
    413."""

    def __init__(self, why: str) -> None:
        super().__init__(413, why)


class Body(io.BufferedIOBase):
    """A request's body, while it comes. Every read parks until there is something, and read(n) until there
    are n.

    ConnectionError: the client went away in the middle. TimeoutError: it took longer than read_timeout.
    ValueError: what it sends is no body. BodyTooLarge.
    """

    def __init__(self, reader: Reader | None) -> None:
        self._reader = reader
        self._data = b""  # received, and from _at on not read yet
        self._at = 0
        self._pieces: list[bytes] = []  # received behind that
        self.complete = False  # nothing more will be received
        self.reading = False  # somebody is receiving just now
        self.received = 0

    # For the connection.

    def feed(self, data: bytes) -> None:
        self._pieces.append(data)
        self.received += len(data)

    def finish(self) -> None:
        self.complete = True
        self._reader = None

    def forget(self) -> None:
        """Nobody wants what has been received so far."""
        self._data, self._at = b"", 0
        self._pieces.clear()

    def abandon(self) -> None:
        """The request is over: whoever reads on gets an error, not the next request's bytes."""
        self.forget()
        self._reader = None

    # For the handler.

    def _have(self) -> bool:
        """Whether something received has not been read yet."""
        if self._at < len(self._data):
            return True
        if not self._pieces:
            return False
        self._data = b"".join(self._pieces)
        self._at = 0
        self._pieces.clear()
        return self._at < len(self._data)

    def _fill(self) -> bool:
        """_have(), when something has come. False: that was all."""
        while not self._have():
            if self.complete:
                return False
            self.reading = True
            try:
                self._receiving().more_body()
            finally:
                self.reading = False
        return True

    async def _afill(self) -> bool:
        while not self._have():
            if self.complete:
                return False
            self.reading = True
            try:
                await self._receiving().amore_body()
            finally:
                self.reading = False
        return True

    def _receiving(self) -> Reader:
        if self._reader is None:
            raise ValueError("the request is over: its body can no longer be read")
        return self._reader

    def _take(self, size: int) -> bytes:
        at, self._at = self._at, min(self._at + size, len(self._data))
        return self._data if self._at - at == len(self._data) else self._data[at : self._at]

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1) -> bytes:
        """Some bytes, as soon as there are any; b"" at the end."""
        if size == 0 or not self._fill():
            return b""
        return self._take(len(self._data) if size is None or size < 0 else size)

    async def aread1(self, size: int | None = -1) -> bytes:
        """read1() for those who await."""
        if size == 0 or not await self._afill():
            return b""
        return self._take(len(self._data) if size is None or size < 0 else size)

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes, fewer only at the end; without a size, all."""
        if size is None or size < 0:
            return b"".join(iter(self.read1, b""))
        pieces: list[bytes] = []
        while size > 0 and self._fill():
            pieces.append(self._take(size))
            size -= len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def aread(self, size: int | None = -1) -> bytes:
        """read() for those who await."""
        left = -1 if size is None else size
        pieces: list[bytes] = []
        while left and await self._afill():
            pieces.append(self._take(len(self._data) if left < 0 else left))
            left -= len(pieces[-1]) if left > 0 else 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readline(self, size: int | None = -1) -> bytes:
        """A line with its end; what is left at the end, or `size` bytes, without one."""
        left = -1 if size is None else size
        pieces: list[bytes] = []
        while left and self._fill():
            end = self._data.find(b"\n", self._at) + 1 or len(self._data)
            piece = self._take(end - self._at if left < 0 else min(end - self._at, left))
            pieces.append(piece)
            left -= len(piece) if left > 0 else 0
            if piece.endswith(b"\n"):
                break
        return b"".join(pieces)


class NoBody(io.BufferedIOBase):
    """The body of all requests without one, as Go's http.NoBody: empty, and never closed."""

    complete = True
    received = 0

    def abandon(self) -> None:
        pass

    def close(self) -> None:
        pass

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        return b""

    def read1(self, size: int = -1) -> bytes:
        return b""

    async def aread1(self, size: int | None = -1) -> bytes:
        return b""

    async def aread(self, size: int | None = -1) -> bytes:
        return b""

    def readline(self, size: int | None = -1) -> bytes:
        return b""

    def readinto(self, buffer: Any) -> int:
        return 0

    readinto1 = readinto


NO_BODY = NoBody()


def body_of(data: bytes) -> RequestBody:
    """A body that is there already."""
    if not data:
        return cast("RequestBody", NO_BODY)
    body = Body(None)
    body.feed(data)
    body.finish()
    return cast("RequestBody", body)
