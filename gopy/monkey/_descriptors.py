"""The part `os`: reading and writing descriptors, and waiting for child processes."""

import errno
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
_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)  # of preadv(2) and pwritev(2)
_CANNOT_TELL = (
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EINVAL,
    errno.ESPIPE,
)  # not of every descriptor, not on every kernel
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


def read_ready(fd: int, now: Callable[..., Any], original: Callable[..., Any], *args: Any) -> Any:
    """original(*args), which reads fd, without blocking the thread. now(*args) does the same if it need not
    wait; None: it would have to. To wait first would not do: others, in other processes even, may read what
    there was.
    """
    done = now(*args)
    while done is None and _blocks(fd, READ) and not stat.S_ISREG(_fstat(fd).st_mode):
        wait(fd, READ)
        done = now(*args)
    if done is not None and done is not NotImplemented:
        return done
    if done is NotImplemented and _blocks(fd, READ):
        wait(fd, READ)
    return original(*args)


def write_ready(fd: int, buffers: Any, original: Callable[..., Any], *args: Any) -> Any:
    """original(*args), which writes at most PIPE_BUF bytes to fd, likewise."""
    while _NOWAIT:
        try:
            return os.pwritev(fd, buffers, -1, _NOWAIT)
        except BlockingIOError:
            wait(fd, WRITE)
        except OSError as exc:
            if exc.errno not in _CANNOT_TELL:
                raise
            break
    wait(fd, WRITE)
    return original(*args)


def readv_now(fd: int, buffers: Any) -> Any:
    """os.readv() for read_ready()."""
    if not _NOWAIT:
        return NotImplemented
    try:
        return os.preadv(fd, buffers, -1, _NOWAIT)
    except BlockingIOError:
        return None
    except OSError as exc:
        if exc.errno not in _CANNOT_TELL:
            raise
        return NotImplemented


def _making_read(original: Callable[..., Any], now: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def patched(fd: int, what: Any, /) -> Any:
        if not isinstance(fd, int) or fd < 0 or not _core.parks():
            return original(fd, what)
        return read_ready(fd, now, original, fd, what)

    return patched


def _size(data: Any) -> int:
    if isinstance(data, (list, tuple)):
        return sum(map(_size, data))
    return memoryview(data).nbytes


def _making_write(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def patched(fd: int, data: Any, /) -> Any:
        if not _blocks(fd, WRITE) or stat.S_ISREG(mode := _fstat(fd).st_mode):
            return original(fd, data)
        if _size(data) > select.PIPE_BUF:  # being writable promises no more room than that
            return _core.blocking(original, fd, data)
        if stat.S_ISFIFO(mode):
            return write_ready(fd, data if isinstance(data, (list, tuple)) else [data], original, fd, data)
        wait(fd, WRITE)
        return original(fd, data)

    return patched


# Children


def await_exit(pid: int, timeout: float | None = None) -> bool:
    """Park until the process has ended. False: the system does not tell of that one. TimeoutError."""
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
        done = original(pid, options | os.WNOHANG)  # raises if it is no child, which need not end soon
        if done[0] != 0:
            return done
        if pid > 0 and options == 0 and await_exit(pid):
            return original(pid, options)
        return _core.blocking(original, pid, options)

    return waitpid


def _making_offloaded(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def offloaded(*args: Any, **kwargs: Any) -> Any:
        return _core.blocking(original, *args, **kwargs) if _core.parks() else original(*args, **kwargs)

    return offloaded


def patch() -> None:
    for name, now in (("read", _core.read_now), ("readv", readv_now)):
        _registry.replace(os, name, _making_read(getattr(os, name), now))
    for name in ("write", "writev"):
        _registry.replace(os, name, _making_write(getattr(os, name)))
    _registry.replace(os, "waitpid", _making_waitpid(os.waitpid))
    for name in ("wait", "wait3", "wait4", "waitid", "system"):
        _registry.replace(os, name, _making_offloaded(getattr(os, name)))
