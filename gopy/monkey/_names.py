"""The part `dns`: looking names up, which the C library does in its own time: on a thread for blocking
calls.
"""

import functools
import socket
from collections.abc import Callable
from typing import Any

from gopy import _core
from gopy.monkey import _registry
from gopy.monkey._sockets import is_number


def _making(original: Callable[..., Any], at_once: Callable[..., bool]) -> Callable[..., Any]:
    @functools.wraps(original)
    def look_up(*args: Any, **kwargs: Any) -> Any:
        if not _core.parks() or at_once(*args, **kwargs):
            return original(*args, **kwargs)
        return _core.blocking(original, *args, **kwargs)

    return look_up


def _is_number(host: Any = None, *args: Any, **kwargs: Any) -> bool:
    return is_number(host) if isinstance(host, str | bytes | None) else True  # anything else raises


def _never(*args: Any, **kwargs: Any) -> bool:
    return False


def _numeric_names(sockaddr: Any = None, flags: int = 0) -> bool:
    both = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    return isinstance(flags, int) and flags & both == both


def patch() -> None:
    for name, at_once in (
        ("getaddrinfo", _is_number),
        ("gethostbyname", _is_number),
        ("gethostbyname_ex", _never),
        ("gethostbyaddr", _never),
        ("getnameinfo", _numeric_names),
    ):
        _registry.replace(socket, name, _making(getattr(socket, name), at_once))
