"""The part `socket`: methods of socket.socket, in place, so that they serve subclasses and earlier references.

The try comes first: a call that need not wait costs its system call. So that the try does not wait, a socket whose user wants to
wait (a timeout of None or more than 0) has O_NONBLOCK in the kernel and None in C's object, where _socket then neither polls nor
waits but raises BlockingIOError. Its user's timeout is kept beside it and looked at only then. A socket whose user does not
want to wait is as ever: C's object has 0.
"""

import errno
import os
import socket
import sys
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from gopy import _core
from gopy.monkey import _registry, _sleep
from gopy.monkey._waiting import READ, WRITE, Wait

_base: Any = socket.socket.__mro__[1]  # _socket.socket
_module: Any = socket
_timeouts: "WeakKeyDictionary[socket.socket, float]" = WeakKeyDictionary()
_set_blocking = os.set_blocking
_IN_PROGRESS = (errno.EINPROGRESS, errno.EALREADY)
_BACKLOG_FULL = 0.005  # seconds between two tries to connect: nothing tells when a listening unix socket has room again


def _is_tls(sock: socket.socket) -> bool:
    """TLS needs what C's object says to be true; see _tls.py."""
    ssl = sys.modules.get("ssl")
    return ssl is not None and isinstance(sock, getattr(ssl, "SSLSocket", ()))


def adopt(sock: socket.socket) -> None:
    """Let calls of a socket that is as C made it, or as its user has just set it, park."""
    timeout = _base.gettimeout(sock)
    if timeout == 0 or _is_tls(sock) or sock.fileno() < 0:
        _timeouts.pop(sock, None)
        return
    if timeout is None:
        _timeouts.pop(sock, None)
    else:
        _timeouts[sock] = timeout
        _base.settimeout(sock, None)
    _set_blocking(sock.fileno(), False)


def _waits(sock: socket.socket, flags: int = 0) -> bool:
    return not flags & socket.MSG_DONTWAIT and sock.gettimeout() != 0


def _retrying(name: str, mode: int, flags_at: int, resolves: bool = False) -> Callable[..., Any]:
    """The method that calls _socket's until it need not wait. Its argument number flags_at, if there, are the flags."""
    original = getattr(_base, name)

    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if resolves and args:
            args = (*args[:-1], resolved(self, args[-1]))
        try:
            return original(self, *args, **kwargs)
        except BlockingIOError:
            flags = kwargs.get("flags", args[flags_at] if flags_at < len(args) else 0)
            if not _waits(self, flags if isinstance(flags, int) else 0):
                raise
        waiting = Wait()
        while True:
            waiting.wait(self.fileno(), mode, self.gettimeout())
            try:
                return original(self, *args, **kwargs)
            except BlockingIOError:
                continue

    return method


def _sendall(self: Any, data: Any, flags: int = 0, /) -> None:
    if not _waits(self):
        return _base.sendall(self, data, flags)  # type: ignore[no-any-return]
    waiting = Wait()
    with memoryview(data) as whole, whole.cast("B") as view:
        sent = 0
        while True:
            try:
                sent += _base.send(self, view[sent:], flags)
            except BlockingIOError:
                waiting.wait(self.fileno(), WRITE, self.gettimeout())
            if sent >= len(view):
                return None


# Connecting


def resolved(sock: socket.socket, address: Any) -> Any:
    """address with its host as a number: else _socket would look the name up itself, and block."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple) or len(address) < 2:
        return address
    host = address[0]
    if not isinstance(host, str) or host in ("", "<broadcast>") or is_number(host):
        return address
    found = socket.getaddrinfo(host, None, sock.family, sock.type, 0)
    return (found[0][4][0], *address[1:])


def is_number(host: str | bytes | None) -> bool:
    """Whether it is an address itself, and no name."""
    if host is None:
        return True
    text = host.decode("latin-1") if isinstance(host, bytes) else host
    if ":" in text:
        return True
    try:
        socket.inet_aton(text)
    except (OSError, ValueError):
        return False
    return True


def _connect(self: Any, address: Any, /) -> None:
    address = resolved(self, address) if _waits(self) else address
    waiting, deadline = Wait(), _sleep.Deadline(self.gettimeout())
    while True:
        try:
            _base.connect(self, address)
            return
        except BlockingIOError as exc:
            if not _waits(self):
                raise
            if exc.errno in _IN_PROGRESS:
                break
        if deadline.left() == 0:
            raise TimeoutError("timed out")
        _sleep.sleep(_BACKLOG_FULL)
    waiting.wait(self.fileno(), WRITE, deadline.left())
    error = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def _connect_ex(self: Any, address: Any, /) -> int:
    if not _waits(self):
        return _base.connect_ex(self, address)  # type: ignore[no-any-return]
    try:
        _connect(self, address)
    except TimeoutError as exc:
        return exc.errno or errno.EAGAIN
    except socket.gaierror:
        raise
    except OSError as exc:
        if exc.errno is None:
            raise
        return exc.errno
    return 0


# Timeouts, birth and death


def _settimeout(self: Any, value: float | None, /) -> None:
    _base.settimeout(self, value)
    adopt(self)


def _setblocking(self: Any, flag: bool, /) -> None:
    _base.setblocking(self, flag)
    adopt(self)


def _gettimeout(self: Any, /) -> float | None:
    return _timeouts.get(self, _base.gettimeout(self))


def _getblocking(self: Any, /) -> bool:
    return bool(self.gettimeout() != 0)


def _making_init(original: Callable[..., None]) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        adopt(self)

    return __init__


def _making_real_close(original: Callable[..., None]) -> Callable[..., None]:
    def _real_close(self: Any, *args: Any) -> None:
        if self.fileno() >= 0:
            _core.fd_closing(self.fileno())
        original(self, *args)

    return _real_close


def _making_detach(original: Callable[..., int]) -> Callable[..., int]:
    """Who gets the descriptor gets it as its user had it."""

    def detach(self: Any) -> int:
        blocks = self.fileno() >= 0 and self.gettimeout() is None
        if self.fileno() >= 0:
            _core.fd_closing(self.fileno())
        fd = original(self)
        if blocks:
            _set_blocking(fd, True)
        return fd

    return detach


_METHODS = {
    "recv": _retrying("recv", READ, 1),
    "recv_into": _retrying("recv_into", READ, 2),
    "recvfrom": _retrying("recvfrom", READ, 1),
    "recvfrom_into": _retrying("recvfrom_into", READ, 2),
    "recvmsg": _retrying("recvmsg", READ, 2),
    "recvmsg_into": _retrying("recvmsg_into", READ, 2),
    "_accept": _retrying("_accept", READ, 9),
    "send": _retrying("send", WRITE, 1),
    "sendmsg": _retrying("sendmsg", WRITE, 2),
    "sendmsg_afalg": _retrying("sendmsg_afalg", WRITE, 9),
    "sendall": _sendall,
    "connect": _connect,
    "connect_ex": _connect_ex,
    "settimeout": _settimeout,
    "setblocking": _setblocking,
    "gettimeout": _gettimeout,
    "getblocking": _getblocking,
}


def _sendto(self: Any, data: Any, *args: Any) -> int:
    if len(args) in (1, 2):
        args = (*args[:-1], resolved(self, args[-1]))
    try:
        return _base.sendto(self, data, *args)  # type: ignore[no-any-return]
    except BlockingIOError:
        if not _waits(self, args[0] if len(args) == 2 else 0):
            raise
    waiting = Wait()
    while True:
        waiting.wait(self.fileno(), WRITE, self.gettimeout())
        try:
            return _base.sendto(self, data, *args)  # type: ignore[no-any-return]
        except BlockingIOError:
            continue


def patch() -> None:
    for name, method in {**_METHODS, "sendto": _sendto}.items():
        if hasattr(_base, name):
            _registry.replace_method(socket.socket, name, lambda original, method=method: method, inherited=True)
    _registry.replace_method(socket.socket, "__init__", _making_init)
    _registry.replace_method(socket.socket, "_real_close", _making_real_close)
    _registry.replace_method(socket.socket, "detach", _making_detach)
    timeout = property(lambda self: self.gettimeout(), doc=_base.timeout.__doc__)
    _registry.replace_method(socket.socket, "timeout", lambda original: timeout, inherited=True)


def repair() -> None:
    """Sockets that were made before."""
    import gc

    for each in gc.get_objects():
        if isinstance(each, socket.socket):
            adopt(each)
