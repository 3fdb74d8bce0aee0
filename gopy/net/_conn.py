"""Conn, a stream connection."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, Self

from gopy import _core
from gopy._arguments import wrong_type
from gopy.net._addr import from_python, no_such_host
from gopy.net._file import make_file
from gopy.net._lent import Lent

if TYPE_CHECKING:
    import ssl

    from gopy.net._tls import TLSConn


class Conn(_core.NetFD):
    """A stream connection. Every call parks the goroutine, never its thread.

    read() returns b"" at the end of the stream. Errors are OSError; a passed deadline is TimeoutError; to use
    a closed Conn, or to close it under a parked reader, is OSError (EBADF) there. Safe for one goroutine that
    reads and one that writes at the same time; several take turns, a call each.

    Every call holds the descriptor: it is not closed, and cannot become another's, in the midst of one. Only
    fileno() lends the number as it is, as does that of makefile()'s file: it is the connection's as long as
    that is open. Where another goroutine may close it, control(fn) lends it for a call.
    """

    __slots__ = ("_local", "_remote")
    _local: Any
    _remote: Any

    def close_write(self) -> None:
        """No more will be written: the peer reads the end of the stream. Reading goes on."""
        self.control(lambda fd: Lent(fd).shutdown(socket.SHUT_WR))

    async def aclose_write(self) -> None:
        """close_write() for those who await: over TLS it may have to wait."""
        self.close_write()

    async def aclose(self) -> None:
        """close() for those who await: over TLS it may have to wait."""
        self.close()

    def set_linger(self, seconds: float | None) -> None:
        """What close() does with data not sent yet: None, it is sent in the background; 0, it is discarded
        and the peer gets a reset. ValueError for anything else."""
        if seconds is not None and seconds != 0:
            raise ValueError(f"`seconds` must be None or 0, got {seconds!r}")
        value = struct.pack("ii", seconds is not None, 0)  # struct linger
        self.control(lambda fd: Lent(fd).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value))

    def _address(self, name: str, ask: Callable[[], Any]) -> Any:
        _core.preempt_point()
        try:
            return getattr(self, name)
        except AttributeError:
            pass
        try:
            address = from_python(ask())
        except OSError:  # closed, or reset by the peer: nobody knows any more
            return None
        setattr(self, name, address)
        return address

    @property
    def local_addr(self) -> Any:
        """This end's address: an Addr (host, port), or the path of a unix socket. None if it is closed and
        nobody has asked before."""
        return self._address("_local", lambda: self.control(lambda fd: Lent(fd).getsockname()))

    @property
    def remote_addr(self) -> Any:
        """The peer's address, in the same form. It is kept from the beginning: also when the peer is gone, or
        this end closed."""
        return self._address("_remote", self._ask_peer)

    def _ask_peer(self) -> Any:
        accepted = self._peer
        return self.control(lambda fd: Lent(fd).getpeername()) if accepted is None else accepted

    def makefile(
        self,
        mode: str = "rwb",
        buffering: int = -1,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]:
        """A file over the connection, as socket.makefile(): "r", "w" or "rw", with "b" for bytes. Its calls
        park as the connection's do; closing it leaves the connection open."""
        return make_file(self, mode, buffering, encoding, errors, newline)

    def start_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> Conn:
        """Shake hands, parking as read() and write() do, and return the connection to go on with; this one is
        not to be used any more, but to close either closes both.

        ssl.SSLError (an OSError) if the handshake fails: this connection is then still to be closed."""
        secure = wrap_tls(self, context, server_side, server_hostname)
        secure.handshake()
        return secure

    async def astart_tls(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> Conn:
        """start_tls() for those who await. If the task is cancelled, both are to be closed."""
        secure = wrap_tls(self, context, server_side, server_hostname)
        await secure.ahandshake()
        return secure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return _core.unyielding(Conn._text, self)

    def _text(self) -> str:
        state = "closed" if self.closed else f"{self.local_addr} -> {self.remote_addr}"
        return f"<{type(self).__name__} {state}>"


def check_context(name: str, context: object) -> None:
    import ssl  # only for those who have one

    if not isinstance(context, ssl.SSLContext):
        raise wrong_type(name, "an ssl.SSLContext", context)


def wrap_tls(conn: Conn, context: ssl.SSLContext, server_side: bool, server_hostname: str | None) -> TLSConn:
    """A TLSConn, which makes its handshake when it is first used."""
    check_context("context", context)
    from gopy.net._tls import TLSConn

    try:
        return TLSConn(conn, context, server_side, server_hostname)
    except UnicodeError as exc:  # IDNA has no such name
        raise no_such_host(server_hostname, exc) from None
