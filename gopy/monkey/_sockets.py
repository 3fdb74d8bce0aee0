"""The part `socket`: methods of socket.socket, in place, so that they serve subclasses and earlier
references.

The try comes first: a goroutine's call is made with MSG_DONTWAIT, and costs its system call if it need not
wait. So the descriptor stays as its user has it, whoever else may share it. Two calls have no such flag: to
accept, a listening socket is made non-blocking by the first goroutine that does; to connect, a socket is for
so long.

What is usual of the four calls that matter most is done in C (csrc/python/pysocket.c); the methods here of
the same names do the rest.

A timeout of more than 0 is kept beside the socket, and looked at only when there is need to wait. C's object
has None then, as _socket would else wait in its own way, and the kernel O_NONBLOCK, as ever.
"""

import errno
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from gopy import _core
from gopy.monkey import _registry, _sleep
from gopy.monkey._waiting import READ, WRITE, Wait

_base: Any = socket.socket.__mro__[1]  # _socket.socket
_timeouts: dict[
    int, float
] = {}  # by id(): an entry is as old as its socket, see __init__ and socket_del in C
_set_blocking, _get_blocking = os.set_blocking, os.get_blocking
_IN_PROGRESS = (errno.EINPROGRESS, errno.EALREADY)
_BACKLOG_FULL = (
    0.005  # seconds between two tries to connect: nothing tells when a listening unix socket has room again
)
_DONTWAIT = socket.MSG_DONTWAIT
_c_gettimeout, _c_settimeout = _base.gettimeout, _base.settimeout


def _is_tls(sock: socket.socket) -> bool:
    """TLS needs what C's object says to be true; see _tls.py."""
    ssl = sys.modules.get("ssl")
    return ssl is not None and isinstance(sock, getattr(ssl, "SSLSocket", ()))


def adopt(sock: socket.socket) -> None:
    """Keep the timeout of a socket that is as C made it, or as its user has just set it."""
    timeout = _c_gettimeout(sock)
    if not timeout or _is_tls(sock) or sock.fileno() < 0:
        _timeouts.pop(id(sock), None)
    else:
        _timeouts[id(sock)] = timeout
        _c_settimeout(sock, None)
        _set_blocking(sock.fileno(), False)


def _as_ever(sock: socket.socket) -> bool:
    """Is the call C's own affair: to block this thread, or not to wait at all?"""
    return not _core.parks() and _c_gettimeout(sock) == sock.gettimeout()


def _attempt(sock: Any, mode: int, flags: int, call: Callable[..., Any], *args: Any) -> Any:
    """call(sock, *args), which does not wait, as soon as it need not. `flags` are the user's."""
    if not flags & _DONTWAIT:
        done = _core.socket_call(sock, mode, call, sock, *args)
        if done is not NotImplemented:
            return done
    waiting: Wait | None = None
    while True:
        try:
            return call(sock, *args)
        except BlockingIOError:
            timeout = sock.gettimeout()
            if flags & _DONTWAIT or timeout == 0:
                raise
        waiting = waiting or Wait()
        waiting.wait(sock.fileno(), mode, timeout)


def _receiving(name: str, optional: int) -> Callable[..., Any]:
    """A method with so many arguments that may be left out, 0 each, before the flags."""
    call = getattr(_base, name)

    if optional:

        def method(self: Any, into: Any, nbytes: int = 0, flags: int = 0) -> Any:
            if _as_ever(self):
                return call(self, into, nbytes, flags)
            return _attempt(self, READ, flags, call, into, nbytes, flags | _DONTWAIT)

    else:

        def method(self: Any, into: Any, flags: int = 0, /) -> Any:  # type: ignore[misc]
            if _as_ever(self):
                return call(self, into, flags)
            return _attempt(self, READ, flags, call, into, flags | _DONTWAIT)

    return method


_recv_some, _recv_some_into = _receiving("recv", 0), _receiving("recv_into", 1)


def _wants_all(self: Any, flags: int) -> bool:
    """The kernel heeds MSG_WAITALL neither on a non-blocking descriptor nor with MSG_DONTWAIT."""
    return bool(
        flags & socket.MSG_WAITALL
        and not flags & socket.MSG_PEEK
        and self.type == socket.SOCK_STREAM
        and self.gettimeout() is None
        and _core.parks()
    )


def _recv(self: Any, bufsize: int, flags: int = 0, /) -> Any:
    if not _wants_all(self, flags):
        return _recv_some(self, bufsize, flags)
    buffer = bytearray(bufsize)
    return bytes(memoryview(buffer)[: _recv_into(self, buffer, bufsize, flags)])


def _recv_into(self: Any, buffer: Any, nbytes: int = 0, flags: int = 0) -> Any:
    if not _wants_all(self, flags):
        return _recv_some_into(self, buffer, nbytes, flags)
    with memoryview(buffer) as whole, whole.cast("B") as view:
        got, size = 0, nbytes or len(view)
        while got < size:
            n = _recv_some_into(self, view[got:], size - got, flags & ~socket.MSG_WAITALL)
            if n == 0:
                break
            got += n
    return got


def _send(self: Any, data: Any, flags: int = 0, /) -> Any:
    if _as_ever(self):
        return _base.send(self, data, flags)
    return _attempt(self, WRITE, flags, _base.send, data, flags | _DONTWAIT)


def _sendall(self: Any, data: Any, flags: int = 0, /) -> None:
    timeout = self.gettimeout()
    if timeout == 0 or _as_ever(self):
        _base.sendall(self, data, flags)
        return
    waiting = Wait()
    try:
        whole = memoryview(data)
    except TypeError as exc:
        raise TypeError(str(exc).removeprefix("memoryview: ")) from None
    with whole, whole.cast("B") as view:
        sent = 0
        while True:
            try:
                sent += _base.send(self, view[sent:], flags | _DONTWAIT)
            except BlockingIOError:
                if flags & _DONTWAIT:
                    raise
                waiting.wait(self.fileno(), WRITE, timeout)
            if sent >= len(view):
                return


def _sendto(self: Any, data: Any, *args: Any) -> Any:
    if _as_ever(self) or len(args) not in (1, 2) or not all(isinstance(each, int) for each in args[:-1]):
        return _base.sendto(self, data, *args)
    flags: int = args[0] if len(args) == 2 else 0
    address = resolved(self, args[-1])
    return _attempt(self, WRITE, flags, _base.sendto, data, flags | _DONTWAIT, address)


def _sendmsg(self: Any, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None, /) -> Any:
    if _as_ever(self):
        return _base.sendmsg(self, buffers, ancdata, flags, address)
    buffers, ancdata = list(buffers), list(ancdata)
    address = None if address is None else resolved(self, address)
    return _attempt(self, WRITE, flags, _base.sendmsg, buffers, ancdata, flags | _DONTWAIT, address)


def _accept(self: Any, /) -> Any:
    if _core.parks() and _get_blocking(self.fileno()):
        _set_blocking(self.fileno(), False)
    accepted = _attempt(
        self, READ, 0, _base._accept
    )  # on a plain thread, too: a goroutine may have made it so
    _core.fd_closing(accepted[0])  # as a new socket's
    return accepted


# Connecting


def resolved(sock: socket.socket, address: Any) -> Any:
    """address with its host as a number: else _socket would look the name up itself, and block."""
    if (
        sock.family not in (socket.AF_INET, socket.AF_INET6)
        or not isinstance(address, tuple)
        or len(address) < 2
    ):
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


@contextmanager
def _not_blocking(sock: socket.socket) -> Iterator[None]:
    """Its descriptor is for so long."""
    blocks = sock.fileno() >= 0 and _get_blocking(sock.fileno())
    if blocks:
        _set_blocking(sock.fileno(), False)
    try:
        yield
    finally:
        if blocks and sock.fileno() >= 0:
            _set_blocking(sock.fileno(), True)


def _try_to_connect(self: Any, address: Any, deadline: _sleep.Deadline) -> bool:
    """False: it is under way."""
    while True:
        try:
            _base.connect(self, address)
            return True
        except BlockingIOError as exc:
            if exc.errno in _IN_PROGRESS:
                return False
        if deadline.left() == 0:
            raise TimeoutError("timed out")
        _sleep.sleep(_BACKLOG_FULL)


def _connect(self: Any, address: Any, /) -> None:
    timeout = self.gettimeout()
    if timeout == 0 or _as_ever(self):
        _base.connect(self, address)
        return
    address, deadline = resolved(self, address), _sleep.Deadline(timeout)
    with _not_blocking(self):
        if _try_to_connect(self, address, deadline):
            return
        Wait().wait(self.fileno(), WRITE, deadline.left())
        error = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


def _connect_ex(self: Any, address: Any, /) -> int:
    if self.gettimeout() == 0 or _as_ever(self):
        return _base.connect_ex(self, address)  # type: ignore[no-any-return]
    try:
        _connect(self, address)
    except socket.gaierror:
        raise
    except OSError as exc:
        if exc.errno is None and not isinstance(exc, TimeoutError):
            raise
        return exc.errno or errno.EAGAIN
    return 0


# Timeouts, birth and death


def _settimeout(self: Any, value: float | None, /) -> None:
    _c_settimeout(self, value)
    adopt(self)


def _setblocking(self: Any, flag: bool, /) -> None:
    _base.setblocking(self, flag)
    _timeouts.pop(id(self), None)


def _gettimeout(self: Any, /) -> float | None:
    timeout: float | None = _timeouts.get(id(self), _c_gettimeout(self))
    return timeout


def _getblocking(self: Any, /) -> bool:
    return bool(self.gettimeout() != 0)


def _making_init(original: Callable[..., None]) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if len(args) < 4 and kwargs.get("fileno") is None:
            _core.fd_closing(self.fileno())  # who is remembered with that number has lost it, untold
        adopt(self)

    return __init__


def _making_real_close(original: Callable[..., None]) -> Callable[..., None]:
    def _real_close(self: Any, *args: Any) -> None:
        if self.fileno() >= 0:
            _core.fd_closing(self.fileno())
        original(self, *args)

    return _real_close


def _making_detach(original: Callable[..., int]) -> Callable[..., int]:
    """Who gets the descriptor gets it as its user had it; one that listens may be non-blocking."""

    def detach(self: Any) -> int:
        if self.fileno() >= 0:
            _core.fd_closing(self.fileno())
            if self.gettimeout() is None and self.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                _set_blocking(self.fileno(), True)
        return original(self)

    return detach


def _making_sendfile(original: Callable[..., int]) -> Callable[..., int]:
    def sendfile(self: Any, *args: Any, **kwargs: Any) -> int:
        if self.gettimeout() == 0 or _as_ever(self):
            return original(self, *args, **kwargs)
        with _not_blocking(self):
            return original(self, *args, **kwargs)

    return sendfile


_IN_C = {
    "recv": _recv,
    "recv_into": _recv_into,
    "send": _send,
    "sendall": _sendall,
}
_METHODS = {
    "recvfrom": _receiving("recvfrom", 0),
    "recvfrom_into": _receiving("recvfrom_into", 1),
    "recvmsg": _receiving("recvmsg", 1),
    "recvmsg_into": _receiving("recvmsg_into", 1),
    "_accept": _accept,
    "sendto": _sendto,
    "sendmsg": _sendmsg,
    "connect": _connect,
    "connect_ex": _connect_ex,
    "settimeout": _settimeout,
    "setblocking": _setblocking,
    "gettimeout": _gettimeout,
    "getblocking": _getblocking,
}


def patch() -> None:
    in_c = _core.socket_methods(socket.socket, _timeouts, tuple(_IN_C.values()))
    for name, method in (_METHODS | in_c).items():
        _registry.replace_method(socket.socket, name, partial(_registry.given, method), inherited=True)
    _registry.replace_method(socket.socket, "__init__", _making_init)
    _registry.replace_method(socket.socket, "_real_close", _making_real_close)
    _registry.replace_method(socket.socket, "detach", _making_detach)
    _registry.replace_method(socket.socket, "sendfile", _making_sendfile)
    timeout = property(lambda self: self.gettimeout(), doc=_base.timeout.__doc__)
    _registry.replace_method(socket.socket, "timeout", lambda original: timeout, inherited=True)
