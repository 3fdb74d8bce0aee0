"""What makefile() makes: a file over a connection."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any, cast

from gopy._arguments import check_str

if TYPE_CHECKING:
    from gopy.net._conn import Conn


class _RawFile(io.RawIOBase):
    """A Conn, or whatever reads and writes like one, as an unbuffered file."""

    def __init__(self, conn: Conn, mode: str) -> None:
        self._conn = conn
        self._reads = "r" in mode
        self._writes = "w" in mode
        try:
            self.name: object = conn.fileno()
        except io.UnsupportedOperation:
            self.name = "pipe"
        self.mode = mode

    def readable(self) -> bool:
        return self._reads

    def writable(self) -> bool:
        return self._writes

    def fileno(self) -> int:
        return self._conn.fileno()

    def readinto(self, buffer: Any) -> int:
        self._check(self._reads, "not readable")
        return self._conn.read_into(buffer)

    def write(self, data: Any) -> int:
        self._check(self._writes, "not writable")
        return self._conn.write(data)

    def _check(self, can: bool, why: str) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if not can:
            raise io.UnsupportedOperation(why)


def make_file(
    conn: Conn,
    mode: str,
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
) -> IO[Any]:
    check_str("mode", mode)
    if not set(mode) <= set("rwb") or not set(mode) & set("rw") or len(set(mode)) != len(mode):
        raise ValueError(f"`mode` must be r, w or rw, with or without b, got {mode!r}")
    raw = _RawFile(conn, mode)
    if buffering == 0:
        if "b" not in mode:
            raise ValueError("`buffering` must not be 0 for text")
        return cast(IO[Any], raw)
    size = io.DEFAULT_BUFFER_SIZE if buffering < 0 else buffering
    buffer: Any
    if "r" in mode and "w" in mode:
        buffer = io.BufferedRWPair(raw, raw, size)
    elif "r" in mode:
        buffer = io.BufferedReader(raw, size)
    else:
        buffer = io.BufferedWriter(raw, size)
    return cast(IO[Any], buffer if "b" in mode else io.TextIOWrapper(buffer, encoding, errors, newline))
