"""pipe(): two connections that are each other's peer, in memory. After Go's net/pipe.go.

Each direction is a channel over which a writer hands on what it writes, and with it a channel on which the
reader says how much of that it has taken. A reader takes and answers without a wait in between, so whoever is
cancelled leaves nobody waiting. All waits are on channels and timers: in a bubble of gopy.testing they are
durable.
"""

import errno
import io
import math
import os
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from gopy import time
from gopy._arguments import check_buffer, check_int, check_seconds
from gopy._core import Chan, RecvChan, aselect, block_on, preempt_point, recv, send
from gopy.net._conn import Conn
from gopy.sync import Mutex

T = TypeVar("T")


class _Deadline:
    """`passed` is closed when it has passed. Setting it anew reaches those who wait for the old one."""

    def __init__(self) -> None:
        self._mu = Mutex()
        self._timer: time.Timer | None = None
        self._passed: Chan[None] = Chan()
        self._closed = False

    def set(self, seconds: float | None) -> None:
        with self._mu:
            if self._timer is not None and not self._timer.stop():
                self._close(self._passed)  # the old deadline has passed, if _fire() has yet to say so
            if self._closed:
                self._passed, self._closed = Chan(), False
            self._timer = None
            if seconds is not None and seconds <= 0:
                self._close(self._passed)
            elif seconds is not None and seconds != math.inf:
                self._timer = time.after_func(seconds, self._fire, self._passed)

    def _fire(self, passed: Chan[None]) -> None:
        with self._mu:
            self._close(passed)

    def _close(self, passed: Chan[None]) -> None:
        if passed is self._passed and not self._closed:  # else set() was first
            self._closed = True
            passed.close()

    @property
    def passed(self) -> RecvChan[None]:
        with self._mu:
            return self._passed


class _Once:
    """A channel that is closed once."""

    def __init__(self) -> None:
        self._mu = Mutex()
        self.done: Chan[None] = Chan()
        self.closed = False

    def close(self) -> None:
        with self._mu:
            if not self.closed:
                self.closed = True
                self.done.close()


class _Direction:
    def __init__(self) -> None:
        self.offers: Chan[tuple[memoryview, Chan[int]]] = Chan()
        self.writing = Mutex()  # writers take turns
        self.no_writer = _Once()
        self.no_reader = _Once()


class PipeConn(Conn):
    """One end of pipe(). What reads and writes do is what they do on any Conn; fileno() and control() are
    io.UnsupportedOperation."""

    __slots__ = ("_in", "_out", "_read_deadline", "_write_deadline")

    def __init__(self, reads: _Direction, writes: _Direction) -> None:
        self._in, self._out = reads, writes
        self._read_deadline, self._write_deadline = _Deadline(), _Deadline()

    def __new__(cls, reads: _Direction, writes: _Direction) -> "PipeConn":
        return super().__new__(cls)

    def read(self, n: int = 65536) -> bytes:
        """As Conn.read()."""
        return block_on(self.aread(n))

    async def aread(self, n: int = 65536) -> bytes:
        """read() for those who await. A task that is cancelled takes nothing."""
        buffer = bytearray(min(check_int("n", n, least=0), 1 << 20))
        return bytes(memoryview(buffer)[: await self.aread_into(buffer)]) if n else b""

    def read_into(self, buffer: bytearray | memoryview, /) -> int:
        """As Conn.read_into()."""
        return block_on(self.aread_into(buffer))

    async def aread_into(self, buffer: bytearray | memoryview, /) -> int:
        """read_into() for those who await. A task that is cancelled takes nothing."""
        view = check_buffer("buffer", buffer, writable=True)
        preempt_point()
        self._check(self._in.no_reader, self._read_deadline)
        if not len(view):
            return 0
        which, offer, _ = await aselect(
            recv(self._in.offers),
            recv(self._in.no_reader.done),
            recv(self._in.no_writer.done),
            recv(self._read_deadline.passed),
        )
        if which == 1:
            _closed()
        if which == 3:
            raise TimeoutError("timed out")
        if which == 2:
            return 0
        assert offer is not None  # for a type checker
        data, taken = offer
        n = min(len(data), len(view))
        view[:n] = data[:n]
        taken.send(n)
        return n

    def read_full(self, n: int, /) -> bytes:
        """As Conn.read_full()."""
        return block_on(self.aread_full(n))

    async def aread_full(self, n: int, /) -> bytes:
        """read_full() for those who await. What a task that is cancelled has got is lost."""
        buffer = bytearray(check_int("n", n, least=0))
        view = memoryview(buffer)
        got = 0
        while got < n:
            more = await self.aread_into(view[got:])
            if not more:
                raise EOFError(f"connection ended after {got} of {n} bytes")
            got += more
        return bytes(buffer)

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        """As Conn.write(): parks until the peer has read all of it."""
        return block_on(self.awrite(data))

    async def awrite(self, data: bytes | bytearray | memoryview, /) -> int:
        """write() for those who await. A task that is cancelled may have written some of it."""
        view = check_buffer("data", data)
        out = self._out
        preempt_point()
        self._check(out.no_writer, self._write_deadline)
        async with out.writing:
            while True:
                if not len(view):
                    return memoryview(data).nbytes
                if out.no_reader.closed:
                    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
                taken: Chan[int] = Chan(1)
                which = (
                    await aselect(
                        send(out.offers, (view, taken)),
                        recv(out.no_writer.done),
                        recv(out.no_reader.done),
                        recv(self._write_deadline.passed),
                    )
                )[0]
                if which == 1:
                    _closed()
                if which == 3:
                    raise TimeoutError("timed out")
                if which == 0:
                    view = view[await taken.arecv() :]

    def _check(self, side: _Once, deadline: _Deadline) -> None:
        if side.closed:
            _closed()
        if deadline._closed:
            raise TimeoutError("timed out")

    def close_write(self) -> None:
        """As Conn.close_write()."""
        if self.closed:
            _closed()
        self._out.no_writer.close()

    async def aclose_write(self) -> None:
        """close_write() for those who await."""
        self.close_write()

    def close(self) -> None:
        """As Conn.close(): also the end of what this end's goroutines wait for."""
        preempt_point()
        self._in.no_reader.close()
        self._out.no_writer.close()
        self._read_deadline.set(None)
        self._write_deadline.set(None)

    async def aclose(self) -> None:
        """close() for those who await."""
        self.close()

    def set_deadline(self, seconds_from_now: float | None, /) -> None:
        """As Conn.set_deadline()."""
        self.set_read_deadline(seconds_from_now)
        self.set_write_deadline(seconds_from_now)

    def set_read_deadline(self, seconds_from_now: float | None, /) -> None:
        """As Conn.set_read_deadline()."""
        self._set(self._read_deadline, seconds_from_now)

    def set_write_deadline(self, seconds_from_now: float | None, /) -> None:
        """As Conn.set_write_deadline()."""
        self._set(self._write_deadline, seconds_from_now)

    def _set(self, deadline: _Deadline, seconds: float | None) -> None:
        if seconds is not None:
            seconds = check_seconds("seconds_from_now", seconds, "a number of seconds or None")
        if self.closed:
            _closed()
        deadline.set(seconds)

    def set_linger(self, seconds: float | None) -> None:
        """Nothing is on its way in a pipe."""

    def fileno(self) -> int:
        """io.UnsupportedOperation."""
        raise io.UnsupportedOperation("a pipe in memory has no descriptor")

    def control(self, fn: Callable[[int], T], /) -> T:
        """io.UnsupportedOperation."""
        raise io.UnsupportedOperation("a pipe in memory has no descriptor")

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._in.no_reader.closed

    @property
    def local_addr(self) -> Any:
        """A word that says what it is."""
        return "pipe"

    @property
    def remote_addr(self) -> Any:
        """A word that says what it is."""
        return "pipe"


def _closed() -> NoReturn:
    raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def pipe() -> tuple[Conn, Conn]:
    """Two connections, each the other's peer, in memory and without a buffer: what one writes the other must
    read.

    They have deadlines, close_write(), makefile() and start_tls() as others have, but no descriptor. Made in
    a bubble of gopy.testing they are on its clock.
    """
    to, fro = _Direction(), _Direction()
    return PipeConn(to, fro), PipeConn(fro, to)
