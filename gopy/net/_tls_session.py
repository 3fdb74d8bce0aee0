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
from collections.abc import Awaitable
from typing import Literal, Protocol, cast, overload

from gopy._arguments import check_buffer
from gopy._core import block_on
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
    def aread(self, n: int, /) -> Awaitable[bytes]: ...
    def awrite(self, data: bytes, /) -> Awaitable[int]: ...
    def set_write_deadline(self, seconds_from_now: float | None, /) -> None: ...
    def close(self) -> None: ...


class Session:
    """One side of a TLS connection. Errors are OSError: of the raw stream, or ssl.SSLError.

    Everything is written for those who await. Those who park run that by block_on(), unless it is written out
    for them.
    """

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
        self._ahead = b""  # taken from the engine, and not read yet
        self._ended = False  # the peer's close_notify has been read

    async def ahandshake(self) -> None:
        """Make the handshake, unless it is made already. After a timeout it can be gone on with."""
        if self._shaken:
            return
        async with self._handshaking:
            if self._shaken:
                return
            if self._refused is not None:
                raise copy_of(self._refused)
            try:
                await self._shake()
            except ssl.SSLError as exc:
                self._refused = copy_of(exc)  # without the frames that refer to this session
                raise
            self._shaken = True

    async def _shake(self) -> None:
        while True:
            self._check_open()
            try:
                with self._engine:
                    fed = self._fed
                    self.object.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._feed(fed)
            except ssl.SSLError:
                await self._send_alert()
                raise
            else:
                await self._flush()
                return

    async def aread(self, n: int) -> bytes:
        """At least one byte and at most n; b"" after the peer's close_notify."""
        return await self._aread(n, None)

    async def aread_into(self, buffer: bytearray | memoryview) -> int:
        """The same into a buffer: how many bytes."""
        view = _bytes("buffer", buffer, writable=True)
        if not view:
            await self.ahandshake()
            return 0
        return await self._aread(len(view), view)

    async def aread_full(self, n: int) -> bytes:
        """Exactly n bytes. EOFError: it ends first. What it has got if anything else ends it is the next
        reader's."""
        data, at = bytearray(n), 0
        view = memoryview(data)
        try:
            while at < n:
                at = _further(at, await self._aread(n - at, view[at:]), n)
        except EOFError:
            raise
        except BaseException:
            self._give_back(bytes(view[:at]))
            raise
        return bytes(data)

    async def awrite(self, data: bytes | bytearray | memoryview) -> int:
        """All of it. When a write fails, part of a record may have been sent: all later ones fail, too."""
        view = _bytes("data", data, writable=False)
        if not self._shaken:
            await self.ahandshake()
        async with self._writing:
            at = 0
            while at < len(view):
                at, fed = self._try_write(view, at)
                await self._send()
                if fed >= 0:
                    await self._feed(fed)
        if self._out.pending:  # a reader has left something to us
            await self._flush()
        return len(view)

    async def aclose_write(self) -> None:
        """Send close_notify: the peer reads the end, and may go on writing."""
        self._check_open()
        await self.ahandshake()
        async with self._writing:
            if self._unwritable:
                return
            with self._engine:
                self._read_ahead()  # the engine would take what has come already for a violation
                self._unwrap()
                self._unwritable = "the write side is closed"
            await self._send()

    async def aclose(self) -> None:
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
                    await self._send()
                except OSError:
                    pass  # the peer is gone, or does not read: it will see how the stream ends
                finally:
                    self._writing.unlock()
        finally:
            self._raw.close()

    # Reading and writing for those who park, written out: by block_on() a round trip of 64 bytes takes 33%
    # more CPU time. tests/test_tls_session.py runs the same tests with these and with those above.

    def read(self, n: int) -> bytes:
        """aread(), parking."""
        return self._read(n, None)

    def read_into(self, buffer: bytearray | memoryview) -> int:
        """aread_into(), parking."""
        view = _bytes("buffer", buffer, writable=True)
        if not view:
            block_on(self.ahandshake())
            return 0
        return self._read(len(view), view)

    def read_full(self, n: int) -> bytes:
        """aread_full(), parking."""
        data, at = bytearray(n), 0
        view = memoryview(data)
        try:
            while at < n:
                at = _further(at, self._read(n - at, view[at:]), n)
        except EOFError:
            raise
        except BaseException:
            self._give_back(bytes(view[:at]))
            raise
        return bytes(data)

    @overload
    def _read(self, n: int, buffer: None) -> bytes: ...
    @overload
    def _read(self, n: int, buffer: memoryview) -> int: ...
    def _read(self, n: int, buffer: memoryview | None) -> bytes | int:
        if not self._shaken:
            block_on(self.ahandshake())
        while True:
            try:
                got, fed = self._try_read(n, buffer)
            except ssl.SSLError:
                block_on(self._send_alert())
                raise
            if self._out.pending:
                block_on(self._answer(got, buffer))
            if fed < 0:
                return got
            with self._reading:
                if self._fed == fed:
                    self._take_in(self._raw.read(_RAW))

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """awrite(), parking."""
        view = _bytes("data", data, writable=False)
        if not self._shaken:
            block_on(self.ahandshake())
        with self._writing:
            at = 0
            while at < len(view):
                at, fed = self._try_write(view, at)
                made = self._made()
                try:
                    self._raw.write(made)
                except BaseException as exc:
                    self._broken(exc)
                    raise
                if fed >= 0:
                    block_on(self._feed(fed))
        if self._out.pending:  # a reader has left something to us
            block_on(self._flush())
        return len(view)

    # The pump.

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    @overload
    async def _aread(self, n: int, buffer: None) -> bytes: ...
    @overload
    async def _aread(self, n: int, buffer: memoryview) -> int: ...
    async def _aread(self, n: int, buffer: memoryview | None) -> bytes | int:
        if not self._shaken:
            await self.ahandshake()
        while True:
            try:
                got, fed = self._try_read(n, buffer)
            except ssl.SSLError:
                await self._send_alert()
                raise
            if self._out.pending:
                await self._answer(got, buffer)
            if fed < 0:
                return got
            await self._feed(fed)

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

    def _take_ahead(self, n: int, buffer: memoryview | None) -> bytes | int:
        data, self._ahead = self._ahead[:n], self._ahead[n:]
        if buffer is None:
            return data
        buffer[: len(data)] = data
        return len(data)

    def _give_back(self, data: bytes) -> None:
        with self._engine:
            self._ahead = data + self._ahead

    async def _answer(self, got: bytes | int, buffer: memoryview | None) -> None:
        """Send what the engine has to say about what it was fed. If that fails or is cancelled, `got` is the
        next reader's."""
        try:
            await self._flush()
        except BaseException:
            self._give_back(got if isinstance(got, bytes) else bytes(cast(memoryview, buffer)[:got]))
            raise

    async def _send_alert(self) -> None:
        """Tell the peer why the engine gives up, if it wants to."""
        try:
            await self._flush()
        except OSError:
            pass

    async def _feed(self, fed: int) -> None:
        """Give the engine more from the peer, unless someone has done so since it was at `fed`."""
        async with self._reading:
            if self._fed == fed:
                self._take_in(await self._raw.aread(_RAW))

    def _take_in(self, data: bytes) -> None:
        with self._engine:
            if data:
                self._in.write(data)
            else:
                self._in.write_eof()
            self._fed += 1

    async def _flush(self) -> None:
        """Send what the engine has to say; a writer at work does so itself."""
        while self._out.pending and self._writing.try_lock():
            try:
                await self._send()
            finally:
                self._writing.unlock()

    async def _send(self) -> None:
        """With _writing held: send all that the engine has made."""
        data = self._made()
        if data:
            try:
                await self._raw.awrite(data)
            except BaseException as exc:
                self._broken(exc)
                raise

    def _made(self) -> bytes:
        with self._engine:
            return self._out.read()

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


def _further(at: int, got: int, n: int) -> int:
    if not got:
        raise EOFError(f"the connection ended after {at} of {n} bytes")
    return at + got


@overload
def _bytes(name: str, buffer: bytearray | memoryview, writable: Literal[True]) -> memoryview: ...
@overload
def _bytes(name: str, buffer: bytes | bytearray | memoryview, writable: bool) -> bytes | memoryview: ...
def _bytes(name: str, buffer: bytes | bytearray | memoryview, writable: bool) -> bytes | memoryview:
    """The buffer, byte by byte."""
    if type(buffer) is bytes and not writable:
        return buffer
    return check_buffer(name, buffer, writable)
