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
from typing import Any, Protocol, cast, overload

from gopy._arguments import wrong_type
from gopy._failure import copy_of
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
        self._refused: BaseException | None = None  # of the handshake; what is raised is a copy
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
                raise copy_of(self._refused)
            try:
                self._run(self.object.do_handshake)
            except ssl.SSLError as exc:
                self._refused = copy_of(exc)  # without the frames that refer to this session
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
        if not self._shaken:
            self.handshake()
        with self._writing:
            at = 0
            while at < len(view):
                at, fed = self._try_write(view, at)
                self._send()
                if fed >= 0:
                    self._feed(fed)
        if self._out.pending:  # a reader has left something to us
            self._flush()
        return len(view)

    def close_write(self) -> None:
        """Send close_notify: the peer reads the end, and may go on writing."""
        self._check_open()
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
            try:
                got, fed = self._try_read(n, buffer)
            except ssl.SSLError:
                self._send_alert()
                raise
            if self._out.pending:
                self._flush()
            if fed < 0:
                return got
            self._feed(fed)

    def _try_read(self, n: int, buffer: memoryview | None) -> tuple[bytes | int, int]:
        """What the engine has, and -1; or nothing, and what it must be fed beyond."""
        self._check_open()
        got: bytes | int = b"" if buffer is None else 0
        with self._engine:
            fed = self._fed
            try:
                if self._ahead:
                    return self._take_ahead(n, buffer), -1
                if self._ended:
                    return got, -1
                # To ask the engine in vain is the dearest part of it all.
                if self._in.pending or self._in.eof or self.object.pending():
                    return self.object.read(min(n, _RECORD), buffer), -1
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                self._ended = True
                return got, -1
        return got, fed

    def _try_write(self, view: bytes | memoryview, at: int) -> tuple[int, int]:
        """Encrypt a piece of view from `at` on: how far it got; -1, or what the engine must be fed beyond."""
        if self._unwritable:
            self._check_open()
            raise BrokenPipeError(errno.EPIPE, self._unwritable)
        with self._engine:
            try:
                piece = view if at == 0 and len(view) <= _CHUNK else view[at : at + _CHUNK]
                return at + self.object.write(piece), -1
            except ssl.SSLWantReadError:  # the peer renegotiates
                return at, self._fed

    def unread(self, data: bytes) -> None:
        """Give back what a reader has taken, and that was cancelled: the next one gets it."""
        with self._engine:
            self._ahead = data + self._ahead

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
            if self._fed == fed:
                self._take_in(self._raw.read(_RAW))

    def _take_in(self, data: bytes) -> None:
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
                self._broken(exc)
                raise

    def _broken(self, exc: BaseException) -> None:
        self._unwritable = f"an earlier write has failed: {str(exc) or type(exc).__name__}"

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


class AsyncSession(Session):
    """A Session that can also be awaited, if the raw stream has aread() and awrite()."""

    async def ahandshake(self) -> None:
        """handshake() for those who await."""
        if self._shaken:
            return
        async with self._handshaking:
            if self._refused is not None:
                raise copy_of(self._refused)
            while not self._shaken:
                self._check_open()
                try:
                    with self._engine:
                        fed = self._fed
                        self.object.do_handshake()
                    await self._aflush()
                    self._shaken = True
                except ssl.SSLWantReadError:
                    await self._aflush()
                    await self._afeed(fed)
                except ssl.SSLError as exc:
                    self._refused = copy_of(exc)  # without the frames that refer to this session
                    await self._asend_alert()
                    raise

    async def aread(self, n: int) -> bytes:
        """read() for those who await."""
        await self.ahandshake()
        while True:
            try:
                got, fed = self._try_read(n, None)
            except ssl.SSLError:
                await self._asend_alert()
                raise
            await self._aflush()
            if fed < 0:
                return cast(bytes, got)
            await self._afeed(fed)

    async def awrite(self, data: bytes | bytearray | memoryview) -> int:
        """write() for those who await."""
        view = _bytes("data", data, writable=False)
        await self.ahandshake()
        async with self._writing:
            at = 0
            while at < len(view):
                at, fed = self._try_write(view, at)
                await self._asend()
                if fed >= 0:
                    await self._afeed(fed)
        await self._aflush()
        return len(view)

    async def _asend_alert(self) -> None:
        try:
            await self._aflush()
        except OSError:
            pass

    async def _afeed(self, fed: int) -> None:
        async with self._reading:
            if self._fed == fed:
                self._take_in(await cast(Any, self._raw).aread(_RAW))

    async def _aflush(self) -> None:
        while self._out.pending and self._writing.try_lock():
            try:
                await self._asend()
            finally:
                self._writing.unlock()

    async def _asend(self) -> None:
        with self._engine:
            data = self._out.read()
        if data:
            try:
                await cast(Any, self._raw).awrite(data)
            except BaseException as exc:
                self._broken(exc)
                raise


def _bytes(name: str, buffer: bytes | bytearray | memoryview, writable: bool) -> memoryview:
    try:
        view = memoryview(buffer)
    except TypeError:
        view = None
    if view is None or (writable and view.readonly):
        wanted = "a writable buffer" if writable else "a bytes-like object"
        raise wrong_type(name, wanted, buffer)
    return view.cast("B")
