"""PacketConn and listen_packet(): UDP and unix datagrams."""

import socket
from collections.abc import Callable
from typing import Any, Literal, Self, TypeVar

from gopy import _core
from gopy._arguments import check_int, wrong_type
from gopy._core import block_on
from gopy.net._addr import PACKET, check_network, from_python, lookup, split_host_port, unix_path
from gopy.net._lent import Lent, SocketFile, socket_file
from gopy.net._listener import bind_any

T = TypeVar("T")


class PacketConn:
    """A socket for datagrams. Every call parks the goroutine, never its thread; errors are as a Conn's."""

    def __init__(self, fd: _core.NetFD, file: SocketFile | None) -> None:
        self._fd = fd
        self._file = file
        self._sock = fd.control(Lent)
        self._addr = from_python(fd.control(lambda _: self._sock.getsockname()))

    @property
    def local_addr(self) -> Any:
        """Its address, with the port that it got: an Addr (host, port), or a path."""
        return self._addr

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._fd.closed

    def fileno(self) -> int:
        """As Conn.fileno()."""
        return self._fd.fileno()

    def control(self, fn: Callable[[int], T]) -> T:
        """As Conn.control()."""
        return self._fd.control(fn)

    def read_from(self, n: int = 65536) -> tuple[bytes, Any]:
        """The next datagram and where it came from; park until there is one. What exceeds n is lost."""
        return _received(*self._fd.retry(self._sock.recvfrom, False, check_int("n", n, least=0)))

    async def aread_from(self, n: int = 65536) -> tuple[bytes, Any]:
        """read_from() for those who await. A task that is cancelled leaves the datagram to the next one."""
        return _received(*await self._fd.aretry(self._sock.recvfrom, False, check_int("n", n, least=0)))

    def write_to(self, data: bytes | bytearray | memoryview, addr: Any) -> int:
        """Send a datagram to addr: what read_from() gave, (host, port), "host:port", or a path; how many
        bytes. Parks until there is room for it, and while a name is looked up."""
        return self._fd.retry(self._sock.sendto, True, data, block_on(self._target(addr)))

    async def awrite_to(self, data: bytes | bytearray | memoryview, addr: Any) -> int:
        """write_to() for those who await. A task that is cancelled has sent nothing."""
        return await self._fd.aretry(self._sock.sendto, True, data, await self._target(addr))

    async def _target(self, addr: Any) -> Any:
        if self._sock.family == getattr(socket, "AF_UNIX", None):
            return unix_path(addr)
        if isinstance(addr, str):
            addr = split_host_port(addr)
        if not isinstance(addr, tuple) or len(addr) != 2 or not isinstance(addr[0], str):
            raise wrong_type("addr", "(host, port) or a str", addr)
        host, port = addr
        if self._sock.family == socket.AF_INET6 and ":" not in host and host.count(".") == 3:
            host = "::ffff:" + host  # IPv4 on a dual-stack socket
        found = await lookup(host or "127.0.0.1", port, self._sock.family, socket.SOCK_DGRAM)
        return found[0][1]

    def set_deadline(self, seconds_from_now: float | None) -> None:
        """set_read_deadline() and set_write_deadline() at once."""
        self._fd.set_deadline(seconds_from_now)

    def set_read_deadline(self, seconds_from_now: float | None) -> None:
        """From then on read_from() raises TimeoutError, also one that is parked by then. None: never."""
        self._fd.set_read_deadline(seconds_from_now)

    def set_write_deadline(self, seconds_from_now: float | None) -> None:
        """From then on write_to() raises TimeoutError, also one that is parked by then. None: never."""
        self._fd.set_write_deadline(seconds_from_now)

    def close(self) -> None:
        """Close it: whoever is parked on it gets OSError (EBADF). Closing it again does nothing."""
        if self._file is not None:
            self._file.remove()
        self._fd.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return _core.unyielding(PacketConn._text, self)

    def _text(self) -> str:
        return f"<PacketConn {self._addr}{' closed' if self.closed else ''}>"


def _received(data: bytes, address: Any) -> tuple[bytes, Any]:
    return data, from_python(address)


def listen_packet(network: Literal["udp", "udp4", "udp6", "unixgram"] | str, address: str) -> PacketConn:
    """A socket for datagrams at an address, written as for listen(). Parks while a name is looked up.
    OSError: it cannot be had."""
    return block_on(alisten_packet(network, address))


async def alisten_packet(
    network: Literal["udp", "udp4", "udp6", "unixgram"] | str, address: str
) -> PacketConn:
    """listen_packet() for those who await."""
    check_network(network, PACKET)
    sock, endpoint = await bind_any(network, address, socket.SOCK_DGRAM, False, lambda sock: None)
    file = socket_file(network, endpoint.address)
    try:
        fd = _core.NetFD(sock.fileno())
    except BaseException:
        sock.close()
        raise
    sock.detach()
    return PacketConn(fd, file)
