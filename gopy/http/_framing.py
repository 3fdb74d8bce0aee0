"""Where a request's body ends within what has been received.

llhttp decodes and checks bodies, but does not say where one has ended. So it gets them in pieces that end
where it might: a whole Content-Length at most, a line of a chunk's size, a chunk, a line of trailers. Each is
given to llhttp first and only then looked at here, so nothing is taken for a size that llhttp would not take;
and the end is where llhttp says.
"""

from __future__ import annotations

from collections.abc import Callable

from gopy.http._body import BadRequest, Body

LONGEST_LINE = 4096  # of a chunk's size with its extensions


class Framing:
    """The state of one body."""

    __slots__ = ("_left", "_line", "_most_trailers", "_trailers")

    def __init__(self, length: int, most_trailers: int) -> None:
        self._left = length  # bytes until the next line; -1: of a chunked body, which is in a line
        self._line = b""  # the line so far
        self._trailers = -1  # bytes of them, -1 before them
        self._most_trailers = most_trailers

    def feed(self, parse: Callable[[bytes | memoryview], None], data: bytes, body: Body) -> bytes:
        """Feed what belongs to the body, until it is complete. -> the rest. BadRequest: too much of what is
        no data."""
        view = memoryview(data)
        while view and not body.complete:
            taken = self._piece(parse, view) if self._left > 0 else self._part_of_line(parse, view)
            view = view[taken:]
        return bytes(view)

    def _piece(self, parse: Callable[[bytes | memoryview], None], view: memoryview) -> int:
        taken = min(self._left, len(view))
        parse(view[:taken])
        self._left -= taken
        return taken

    def _part_of_line(self, parse: Callable[[bytes | memoryview], None], view: memoryview) -> int:
        piece = bytes(view[: LONGEST_LINE + 1])
        taken = piece.find(b"\n") + 1 or len(piece)
        piece = piece[:taken]
        parse(piece)
        self._line += piece
        if self._trailers >= 0:
            self._trailers += taken
            if self._trailers > self._most_trailers:
                raise BadRequest(431, "the trailers are too large")
        elif len(self._line) > LONGEST_LINE:
            raise BadRequest(400, "the chunk extensions are too long")
        if piece.endswith(b"\n"):
            line, self._line = self._line, b""
            if self._trailers < 0:
                self._left = int(line.partition(b";")[0], 16)
                if self._left:
                    self._left += 2  # the CRLF behind the chunk
                else:
                    self._trailers = 0
        return taken
