"""TLSConn, what dial() and listen() make with `tls`, and start_tls()."""

import ssl
from collections.abc import Callable
from typing import Any, Self, TypeVar

from gopy._arguments import check_int
from gopy._core import block_on
from gopy.net._conn import Conn
from gopy.net._tls_session import Session

T = TypeVar("T")


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
        """Make the handshake, unless it is made already; park as read() does. ssl.SSLError if it fails, every
        time again."""
        block_on(self._session.ahandshake())

    async def ahandshake(self) -> None:
        """handshake() for those who await."""
        await self._session.ahandshake()

    def read(self, n: int = 65536) -> bytes:
        """As Conn.read(), after close_notify b""."""
        return self._session.read(check_int("n", n, least=0)) if n else b""

    async def aread(self, n: int = 65536) -> bytes:
        """read() for those who await. A task that is cancelled takes nothing."""
        return await self._session.aread(check_int("n", n, least=0)) if n else b""

    def read_into(self, buffer: bytearray | memoryview, /) -> int:
        """As Conn.read_into()."""
        return self._session.read_into(buffer)

    async def aread_into(self, buffer: bytearray | memoryview, /) -> int:
        """read_into() for those who await. A task that is cancelled takes nothing."""
        return await self._session.aread_into(buffer)

    def read_full(self, n: int, /) -> bytes:
        """As Conn.read_full()."""
        return self._session.read_full(check_int("n", n, least=0))

    async def aread_full(self, n: int, /) -> bytes:
        """read_full() for those who await. What a task that is cancelled has got is the next reader's."""
        return await self._session.aread_full(check_int("n", n, least=0))

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        """As Conn.write()."""
        return self._session.write(data)

    async def awrite(self, data: bytes | bytearray | memoryview, /) -> int:
        """write() for those who await. A task that is cancelled while it sends ends writing for good."""
        return await self._session.awrite(data)

    def close_write(self) -> None:
        """Send close_notify: the peer reads the end of the stream. Reading goes on. Parks and fails as
        write()."""
        block_on(self._session.aclose_write())

    async def aclose_write(self) -> None:
        """close_write() for those who await."""
        await self._session.aclose_write()

    def close(self) -> None:
        """Send close_notify, which a peer who does not read may hold up for 5 seconds, and close."""
        block_on(self._session.aclose())

    async def aclose(self) -> None:
        """close() for those who await. A task that is cancelled has closed it, too."""
        await self._session.aclose()

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

    def control(self, fn: Callable[[int], T], /) -> T:
        """As Conn.control()."""
        return self._raw.control(fn)

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
