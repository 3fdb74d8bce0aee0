"""Waiting for a descriptor: a goroutine parks, anything else blocks in poll(2), as it would without gopy."""

import errno
import os
import select
from typing import Any

from gopy import _core
from gopy.monkey._sleep import Deadline

READ, WRITE = 0, 1
MOST_MS = 0x7FFFFFFF  # that poll(2) waits: C's int
_poll: Any = select.poll
_MASK = {READ: select.POLLIN | select.POLLPRI, WRITE: select.POLLOUT}
_WAIT = {READ: _core.wait_read, WRITE: _core.wait_write}


def wait(fd: int, mode: int, timeout: float | None = None) -> None:
    """Until fd is ready for that. TimeoutError after so many seconds."""
    if fd < 0:  # somebody has closed it
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    if _core.parks():
        _WAIT[mode](fd, timeout)
        return
    poller = _poll()
    poller.register(fd, _MASK[mode])
    if not poller.poll(None if timeout is None else min(timeout * 1000, MOST_MS)):
        raise TimeoutError("timed out")


class Wait:
    """The waits of one call, which share a timeout that begins with the first of them."""

    __slots__ = ("_deadline",)

    def __init__(self) -> None:
        self._deadline: Deadline | None = None

    def wait(self, fd: int, mode: int, timeout: float | None) -> None:
        if self._deadline is None:
            self._deadline = Deadline(timeout)
        wait(fd, mode, self._deadline.left())
