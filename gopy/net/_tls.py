"""TLS over any stream: an ssl.SSLObject between memory BIOs, pumped by whoever reads and whoever writes.

Four locks, taken in this order:
    _handshaking  one goroutine makes the handshake, the others wait for it
    _writing      one goroutine writes to the raw stream, in the order in which the engine made the records
    _reading      one goroutine reads from the raw stream
    _engine       the SSLObject and both BIOs; never held over anything that parks for the peer

So a reader and a writer work at the same time, and a reader that is parked holds up neither a writer nor a
close. What the engine wants to say while it reads (answers to a handshake, to a key update) is sent by the
reader, unless a writer is at work, which then sends it: nobody waits for a writer just to read.
"""

import errno
import os
import ssl
from collections.abc import Callable
from typing import Any, Protocol, Self, overload

from gopy.net._conn import Conn
from gopy.sync import Mutex

_RAW = 65536  # bytes to ask the raw stream for
_RECORD = 16384  # the most that a TLS record holds
_CHUNK = 262144  # bytes that are encrypted before they are sent
_GOODBYE = 5.0  # seconds that close() gives a peer who does not read to take the close_notify


class Raw(Protocol):
    """What TLS needs of the stream below it. read() returns b"" at the end; write() writes all."""

    def read(self, n: int, /) -> bytes: ...
    def write(self, data: bytes, /) -> int: ...
    def set_write_deadline(self, seconds_from_now: float | None, /) -> None: ...
    def close(self) -> None: ...


class Session:
    """One side of a TLS connection. Errors are OSError: of the raw stream, or ssl.SSLError."""

    def __init__(
        self, raw: Raw, context: ssl.SSLContext, server_side: bool, server_hostname: str | None
    ) -> None:
        self._raw = raw
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self._in, self._out, server_side, server_hostname)
        self._engine, self._reading, self._writing, self._handshaking = Mutex(), Mutex(), Mutex(), Mutex()
        self._shaken = False
        self._refused: ssl.SSLError | None = None  # the handshake has failed
        self._unwritable = ""  # why nothing can be written any more
        self._closed = False
        self._fed = 0  # how often the engine was given something from the peer
        self._ahead = b""  # read before it was asked for
        self._ended = False  # the peer's close_notify has been read

    def handshake(self) -> None:
        """Make the handshake, unless it is made already. After a timeout it can be gone on with."""
        if self._shaken:
            return
        with self._handshaking:
            if self._shaken:
                return
            if self._refused is not None:
                raise self._refused.with_traceback(None)
            try:
                self._run(self.object.do_handshake)
            except ssl.SSLError as exc:
                self._refused = exc
                raise
            self._shaken = True

    def read(self, n: int) -> bytes:
        """At least one byte and at most n; b"" after the peer's close_notify."""
        return self._read(n, None)

    def read_into(self, buffer: bytearray | memoryview) -> int:
        """The same into a buffer: how many bytes."""
        view = _bytes("buffer", buffer, writable=True)
        if not view:
            self.handshake()
            return 0
        return self._read(len(view), view)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """All of it. When a write fails, part of a record may have been sent: all later ones fail, too."""
        view = data if type(data) is bytes else _bytes("data", data, writable=False)
        size = len(view)
        if not self._shaken:
            self.handshake()
        with self._writing:
            if self._unwritable:
                self._check_open()
                raise BrokenPipeError(errno.EPIPE, self._unwritable)
            at = 0
            while at < size:
                fed = -1
                with self._engine:
                    try:
                        at += self.object.write(view if size <= _CHUNK and not at else view[at : at + _CHUNK])
                    except ssl.SSLWantReadError:  # the peer renegotiates
                        fed = self._fed
                self._send()
                if fed >= 0:
                    self._feed(fed)
        if self._out.pending:  # a reader has left something to us
            self._flush()
        return size

    def close_write(self) -> None:
        """Send close_notify: the peer reads the end, and may go on writing."""
        self.handshake()
        with self._writing:
            if self._unwritable:
                return
            with self._engine:
                self._read_ahead()  # the engine would take what has come already for a violation
                self._unwrap()
                self._unwritable = "the write side is closed"
            self._send()

    def close(self) -> None:
        """Send close_notify if that takes no waiting for a writer, and close the raw stream."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._shaken and not self._unwritable and self._writing.try_lock():
                try:
                    with self._engine:
                        self._unwrap()
                        self._unwritable = "the connection is closed"
                    self._raw.set_write_deadline(_GOODBYE)
                    self._send()
                except OSError:
                    pass  # the peer is gone, or does not read: it will see how the stream ends
                finally:
                    self._writing.unlock()
        finally:
            self._raw.close()

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    # The pump.

    @overload
    def _read(self, n: int, buffer: None) -> bytes: ...
    @overload
    def _read(self, n: int, buffer: memoryview) -> int: ...
    def _read(self, n: int, buffer: memoryview | None) -> bytes | int:
        if not self._shaken:
            self.handshake()
        while True:
            self._check_open()
            fed = -1
            got: bytes | int = b"" if buffer is None else 0
            try:
                with self._engine:
                    seen = self._fed
                    if self._ahead:
                        got = self._take_ahead(n, buffer)
                    elif not self._ended:
                        # To ask the engine in vain is the dearest part of it all.
                        if self._in.pending or self._in.eof or self.object.pending():
                            got = self.object.read(min(n, _RECORD), buffer)
                        else:
                            fed = seen
            except ssl.SSLWantReadError:
                fed = seen
            except ssl.SSLZeroReturnError:
                self._ended = True
            except ssl.SSLError:
                self._send_alert()
                raise
            if self._out.pending:
                self._flush()
            if fed < 0:
                return got
            self._feed(fed)

    def _take_ahead(self, n: int, buffer: memoryview | None) -> bytes | int:
        data, self._ahead = self._ahead[:n], self._ahead[n:]
        if buffer is None:
            return data
        buffer[: len(data)] = data
        return len(data)

    def _run(self, step: Callable[[], None]) -> None:
        """Make the engine's step as soon as it has got what it needs from the peer."""
        while True:
            self._check_open()
            try:
                with self._engine:
                    fed = self._fed
                    step()
            except ssl.SSLWantReadError:
                self._flush()
                self._feed(fed)
            except ssl.SSLError:
                self._send_alert()
                raise
            else:
                self._flush()
                return

    def _send_alert(self) -> None:
        """Tell the peer why the engine gives up, if it wants to."""
        try:
            self._flush()
        except OSError:
            pass

    def _feed(self, fed: int) -> None:
        """Give the engine more from the peer, unless someone has done so since it was at `fed`."""
        with self._reading:
            if self._fed != fed:
                return
            data = self._raw.read(_RAW)
            with self._engine:
                if data:
                    self._in.write(data)
                else:
                    self._in.write_eof()
                self._fed += 1

    def _flush(self) -> None:
        """Send what the engine has to say; a writer at work does so itself."""
        while self._out.pending and self._writing.try_lock():
            try:
                self._send()
            finally:
                self._writing.unlock()

    def _send(self) -> None:
        """With _writing held: send all that the engine has made."""
        with self._engine:
            data = self._out.read()
        if data:
            try:
                self._raw.write(data)
            except BaseException as exc:
                self._unwritable = f"an earlier write has failed: {exc or type(exc).__name__}"
                raise

    def _read_ahead(self) -> None:
        try:
            while data := self.object.read(_RECORD):
                self._ahead += data
        except ssl.SSLZeroReturnError:
            self._ended = True
        except ssl.SSLError:
            pass  # no more, or an error that the next read will see

    def _unwrap(self) -> None:
        try:
            self.object.unwrap()
        except ssl.SSLError:
            pass  # the close_notify is made; that the peer's has not come, or data after it, is no matter


def _bytes(name: str, buffer: bytes | bytearray | memoryview, writable: bool) -> memoryview:
    try:
        view = memoryview(buffer)
    except TypeError:
        view = None
    if view is None or (writable and view.readonly):
        wanted = "a writable buffer" if writable else "a bytes-like object"
        raise TypeError(f"`{name}` must be {wanted}, got {type(buffer).__name__}")
    return view.cast("B")


class TLSConn(Conn):
    """A Conn whose bytes go encrypted through another one.

    The first read, write or handshake() makes the handshake. Deadlines hold for all of these; a write that
    fails midway, by a deadline too, ends writing for good. close_write() and close() send close_notify. The
    end of the stream without the peer's close_notify is ssl.SSLEOFError, unless the context has
    ssl.OP_IGNORE_UNEXPECTED_EOF. All errors are OSError: ssl.SSLError is one.
    """

    __slots__ = ("_raw", "_session")

    def __new__(
        cls, conn: Conn, context: ssl.SSLContext, server_side: bool, server_hostname: str | None
    ) -> Self:
        return super().__new__(cls)

    def __init__(
        self, conn: Conn, context: ssl.SSLContext, server_side: bool, server_hostname: str | None
    ) -> None:
        self._raw = conn
        self._session = Session(conn, context, server_side, server_hostname)

    @property
    def ssl_object(self) -> ssl.SSLObject:
        """What can be asked for the peer's certificate, the protocol that ALPN chose, the cipher."""
        return self._session.object

    def handshake(self) -> None:
        """Make the handshake, unless it is made already. ssl.SSLError if it fails, every time again."""
        self._session.handshake()

    def read(self, n: int = 65536) -> bytes:
        """As Conn.read(), after close_notify b""."""
        return self._session.read(_size(n)) if n else b""

    def read_into(self, buffer: bytearray | memoryview, /) -> int:
        """As Conn.read_into()."""
        return self._session.read_into(buffer)

    def read_full(self, n: int, /) -> bytes:
        """As Conn.read_full()."""
        data = bytearray(_size(n))
        view = memoryview(data)
        while view:
            got = self._session.read_into(view)
            if not got:
                raise EOFError(f"the connection ended after {n - len(view)} of {n} bytes")
            view = view[got:]
        return bytes(data)

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        """As Conn.write()."""
        return self._session.write(data)

    def close_write(self) -> None:
        """Send close_notify: the peer reads the end of the stream. Reading goes on."""
        self._session.close_write()

    def close(self) -> None:
        """Send close_notify, which a peer who does not read may hold up for 5 seconds, and close."""
        self._session.close()

    def set_deadline(self, seconds_from_now: float | None, /) -> None:
        """As Conn.set_deadline()."""
        self._raw.set_deadline(seconds_from_now)

    def set_read_deadline(self, seconds_from_now: float | None, /) -> None:
        """As Conn.set_read_deadline()."""
        self._raw.set_read_deadline(seconds_from_now)

    def set_write_deadline(self, seconds_from_now: float | None, /) -> None:
        """As Conn.set_write_deadline()."""
        self._raw.set_write_deadline(seconds_from_now)

    def set_linger(self, seconds: float | None) -> None:
        """As Conn.set_linger()."""
        self._raw.set_linger(seconds)

    def fileno(self) -> int:
        """As Conn.fileno()."""
        return self._raw.fileno()

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._raw.closed

    @property
    def local_addr(self) -> Any:
        """As Conn.local_addr."""
        return self._raw.local_addr

    @property
    def remote_addr(self) -> Any:
        """As Conn.remote_addr."""
        return self._raw.remote_addr


def _size(n: object) -> int:
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"`n` must be an int, got {type(n).__name__}")
    if n < 0:
        raise ValueError(f"`n` must be 0 or more, got {n}")
    return n
