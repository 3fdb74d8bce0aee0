"""The part `os`: reading and writing descriptors, and waiting for child processes."""

import fcntl
import functools
import os
import select
import stat
from collections.abc import Callable
from typing import Any

from gopy import _core
from gopy.monkey import _registry
from gopy.monkey._waiting import READ, WRITE, wait

_fstat = os.fstat
_NOT_FOR = {READ: os.O_WRONLY, WRITE: os.O_RDONLY}  # a pipe's other end is never ready for that


def _blocks(fd: Any, mode: int) -> bool:
    """Is it a descriptor on which a call here could block the thread? If not, the call itself will tell."""
    if not isinstance(fd, int) or not _core.parks():
        return False
    try:
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    except (OSError, ValueError):
        return False
    return not flags & os.O_NONBLOCK and flags & os.O_ACCMODE != _NOT_FOR[mode]


def _making_read(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def read(fd: int, *args: Any) -> Any:
        if _blocks(fd, READ):
            wait(fd, READ)
        return original(fd, *args)

    return read


def _size(data: Any) -> int:
    if isinstance(data, (list, tuple)):
        return sum(map(_size, data))
    return memoryview(data).nbytes


def _making_write(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def write(fd: int, data: Any, /) -> Any:
        if _blocks(fd, WRITE) and not stat.S_ISREG(_fstat(fd).st_mode):
            if _size(data) > select.PIPE_BUF:  # being writable promises no more room than that
                return _core.blocking(original, fd, data)
            wait(fd, WRITE)
        return original(fd, data)

    return write


# Children


def await_exit(pid: int, timeout: float | None = None) -> bool:
    """Park until the child has ended. False: it cannot be told, as there is none. TimeoutError."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        wait(fd, READ, timeout)
    finally:
        os.close(fd)
    return True


def _making_waitpid(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def waitpid(pid: int, options: int, /) -> Any:
        if (
            not _core.parks()
            or not isinstance(pid, int)
            or not isinstance(options, int)
            or options & os.WNOHANG
        ):
            return original(pid, options)
        if pid > 0 and options == 0:
            await_exit(pid)
            return original(pid, options)
        return _core.blocking(original, pid, options)

    return waitpid


def _making_offloaded(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def offloaded(*args: Any, **kwargs: Any) -> Any:
        return _core.blocking(original, *args, **kwargs) if _core.parks() else original(*args, **kwargs)

    return offloaded


def patch() -> None:
    for name in ("read", "readv"):
        _registry.replace(os, name, _making_read(getattr(os, name)))
    for name in ("write", "writev"):
        _registry.replace(os, name, _making_write(getattr(os, name)))
    _registry.replace(os, "waitpid", _making_waitpid(os.waitpid))
    for name in ("wait", "wait3", "wait4", "waitid", "system"):
        _registry.replace(os, name, _making_offloaded(getattr(os, name)))
