"""Networks and addresses: "127.0.0.1:0", ":8080", "[::1]:80", "/run/x.sock"."""

import errno
import os
import socket
from dataclasses import dataclass
from typing import Any, NamedTuple

from gopy._arguments import check_str, wrong_type
from gopy._core import ablocking, block_on

STREAM = ("tcp", "tcp4", "tcp6", "unix")
PACKET = ("udp", "udp4", "udp6", "unixgram")

_FAMILIES = {"4": socket.AF_INET, "6": socket.AF_INET6}


class Addr(NamedTuple):
    """The address of one end of a TCP or UDP socket. str() is the form that dial() and listen() take."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Endpoint:
    """Where a socket is to be bound or connected to: what the socket module takes."""

    family: int
    address: Any
    dual: bool = False  # an IPv6 socket that takes IPv4 as well


def check_network(network: object, known: tuple[str, ...]) -> None:
    if check_str("network", network) not in known:
        raise ValueError(f"`network` must be one of {', '.join(known)}, got {network!r}")


def split_host_port(address: object) -> tuple[str, int]:
    """The host, "" if there is none, and the port of "host:port", "[host]:port" or ":port"."""
    address = check_str("address", address)
    host, colon, port = address.rpartition(":")
    if host.startswith("["):
        if not host.endswith("]"):
            raise ValueError(f"`address` must be [host]:port, got {address!r}")
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"`address` has too many colons, an IPv6 host is written [host]:port: {address!r}")
    if not colon:
        raise ValueError(f"`address` must be host:port, got {address!r}")
    if "\0" in host:
        raise ValueError(f"`address` must have no null character, got {address!r}")
    return host, _port(port, address)


def _port(port: str, address: str) -> int:
    if port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65536:
        return int(port)
    try:
        return socket.getservbyname(port)
    except (OSError, ValueError):
        raise ValueError(
            f"`address` must end in a port between 0 and 65535, or a service's name: {address!r}"
        ) from None


def unix_path(address: object) -> str:
    if not isinstance(address, (str, os.PathLike)):
        raise wrong_type("address", "a str", address)
    path = os.fspath(address)
    if not isinstance(path, str) or not path:
        raise ValueError(f"`address` must be a path, got {path!r}")
    if path.startswith("@"):  # Linux's abstract names, as Go writes them
        path = "\0" + path[1:]
    return path


def _numeric(host: str, family: int) -> list[int]:
    """The families in which host is an address and not a name."""
    found: list[int] = []
    for each in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(each, host.partition("%")[0])
        except (OSError, ValueError):
            continue
        if family in (socket.AF_UNSPEC, each):
            found.append(each)
    return found


def no_such_host(host: object, exc: UnicodeError) -> OSError:
    """The error for a name that IDNA refuses, as the resolver would have put it."""
    return socket.gaierror(socket.EAI_NONAME, f"{host!r} is no host's name: {exc}")


async def lookup(host: str, port: int, family: int, kind: int) -> list[tuple[int, Any]]:
    """(family, address) for each address that host has. Waits while a name is looked up."""
    try:
        if _numeric(host, socket.AF_UNSPEC):
            found = socket.getaddrinfo(host, port, family, kind, flags=socket.AI_NUMERICHOST)  # asks nobody
        else:
            found = await ablocking(socket.getaddrinfo, host, port, family, kind)
    except UnicodeError as exc:  # nobody can have that name
        raise no_such_host(host, exc) from None
    return [(each[0], each[4]) for each in found]


async def to_dial(network: str, address: object, kind: int) -> list[Endpoint]:
    """Every address to be tried, in that order."""
    if network.startswith("unix"):
        return [Endpoint(socket.AF_UNIX, unix_path(address))]
    host, port = split_host_port(address)
    family = _FAMILIES.get(network[-1], socket.AF_UNSPEC)
    if host == "":  # this machine, as in Go
        host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    return [Endpoint(*each) for each in await lookup(host, port, family, kind)]


async def to_listen(network: str, address: object, kind: int) -> list[Endpoint]:
    """The addresses to be bound, the first that can be."""
    if network.startswith("unix"):
        return [Endpoint(socket.AF_UNIX, unix_path(address))]
    host, port = split_host_port(address)
    family = _FAMILIES.get(network[-1], socket.AF_UNSPEC)
    if host:
        return [Endpoint(*each) for each in await lookup(host, port, family, kind)]
    every = [Endpoint(socket.AF_INET6, ("::", port), family == socket.AF_UNSPEC)]
    if family == socket.AF_INET6:
        return every
    if family == socket.AF_INET:
        every = []
    return [*every, Endpoint(socket.AF_INET, ("0.0.0.0", port))]


def no_ipv6(exc: OSError) -> bool:
    """Whether exc says that this machine has no IPv6."""
    return exc.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


def from_python(address: Any) -> Any:
    """An address as the socket module has it -> as this package has it: Addr, or a path, or None."""
    if isinstance(address, tuple):
        host, port = address[:2]
        if host.startswith("::ffff:") and "." in host:  # IPv4 on a dual-stack socket
            host = host[7:]
        return Addr(host, port)
    if address is None:
        return None
    path = os.fsdecode(address)
    return "@" + path[1:] if path.startswith("\0") else path


def lookup_host(name: str) -> list[str]:
    """The addresses of a host, each once. Parks while they are looked up.

    OSError (socket.gaierror) if the name does not resolve."""
    return block_on(alookup_host(name))


async def alookup_host(name: str) -> list[str]:
    """lookup_host() for those who await."""
    if not check_str("name", name) or "\0" in name:
        raise ValueError(f"`name` must be a host's name, got {name!r}")
    found = await lookup(name, 0, socket.AF_UNSPEC, socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for _, address in found))
