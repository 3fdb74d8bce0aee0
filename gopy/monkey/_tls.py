"""The part `ssl`: methods of ssl.SSLSocket, in place. SSLContext is not touched.

C's object of such a socket has a timeout of 0, whatever its user wants, so that _ssl raises SSLWantReadError
instead of waiting. The user's timeout is kept in the socket's __dict__. OpenSSL's engine is for one call at
a time: a Mutex a socket, which nobody holds while parked. And who writes keeps others from writing until all
is written, as OpenSSL wants.
"""

import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

from gopy.monkey import _registry, _sockets
from gopy.monkey._waiting import READ, WRITE, Wait
from gopy.sync import Mutex

_base: Any = _sockets._base
_TIMEOUT, _ENGINE, _WRITER = "_gopy_timeout", "_gopy_engine", "_gopy_writer"


def _settimeout(self: Any, value: float | None, /) -> None:
    _base.settimeout(self, value)
    vars(self)[_TIMEOUT] = _base.gettimeout(self)
    _base.settimeout(self, 0.0)


def _setblocking(self: Any, flag: bool, /) -> None:
    _settimeout(self, None if flag else 0.0)


def _gettimeout(self: Any, /) -> float | None:
    try:
        return vars(self)[_TIMEOUT]  # type: ignore[no-any-return]
    except KeyError:  # it is in the making
        return _base.gettimeout(self)  # type: ignore[no-any-return]


def _mutex(self: Any, which: str) -> Mutex:
    return vars(self).setdefault(which, Mutex())  # type: ignore[no-any-return]


class _Begun:
    """A socket with the engine that a call has begun with."""

    def __init__(self, sock: Any, sslobj: Any) -> None:
        self._gopy_socket = sock
        self._sslobj = sslobj

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gopy_socket, name)


def _retry(
    self: Any,
    sslobj: Any,
    what: str,
    call: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """A call that has begun goes on with its engine, as C's does, which shutdown() and unwrap() of another
    goroutine take from the socket: what is left of a message would else be sent in clear.
    """
    engine, waiting = _mutex(self, _ENGINE), Wait()
    while True:
        try:
            with engine:
                on = self if self._sslobj is sslobj else _Begun(self, sslobj)
                return call(on, *args, **kwargs)
        except ssl.SSLWantReadError:
            mode = READ
            if self.gettimeout() == 0:
                raise
        except ssl.SSLWantWriteError:
            mode = WRITE
            if self.gettimeout() == 0:
                raise
        try:
            waiting.wait(self.fileno(), mode, self.gettimeout())
        except TimeoutError:
            raise TimeoutError(f"The {what} operation timed out") from None


def _making(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            return _retry(self, self._sslobj, what, original, args, kwargs)

        return method

    return make


def _making_send(original: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        sslobj = self._sslobj
        if sslobj is None:  # it is not encrypted, and this comes to socket.socket's method
            return original(self, *args, **kwargs)
        with _mutex(self, _WRITER):
            return _retry(self, sslobj, "write", original, args, kwargs)

    return method


def patch() -> None:
    cls: Any = ssl.SSLSocket
    for name, method in (
        ("settimeout", _settimeout),
        ("setblocking", _setblocking),
        ("gettimeout", _gettimeout),
    ):
        _registry.replace_method(cls, name, partial(_registry.given, method), inherited=True)
    _registry.replace_method(cls, "read", _making("read"))
    _registry.replace_method(cls, "write", _making_send)
    _registry.replace_method(cls, "send", _making_send)
    _registry.replace_method(cls, "do_handshake", _making("handshake"))
    _registry.replace_method(cls, "unwrap", _making("shutdown"))


def adopt(sock: socket.socket) -> None:
    """A socket that was made before."""
    if isinstance(sock, ssl.SSLSocket) and sock.fileno() >= 0 and _TIMEOUT not in vars(sock):
        _settimeout(sock, _base.gettimeout(sock))
