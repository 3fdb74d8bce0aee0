"""The part `select`: select(), poll and epoll, and the selectors over them.

Each looks first, without waiting. Then it waits: for one descriptor in one direction by waiting for that,
for several by waiting for an epoll of them, which is a descriptor itself; and looks again.
"""

import functools
import select
import selectors
from collections.abc import Iterable
from typing import Any

from gopy import _core
from gopy.monkey import _registry
from gopy.monkey._sleep import Deadline
from gopy.monkey._waiting import MOST_MS, READ, WRITE, wait

_select, _poll = select.select, select.poll
_epoll: Any = select.epoll
_IN, _OUT, _PRI = select.EPOLLIN, select.EPOLLOUT, select.EPOLLPRI
_ONE = {_IN: READ, _OUT: WRITE}


def _await(masks: dict[int, int], timeout: float | None) -> bool:
    """Park until one of the descriptors may have what its mask says. Whether any has, in time."""
    try:
        if len(masks) == 1:
            ((fd, mask),) = masks.items()
            if mask in _ONE:
                wait(fd, _ONE[mask], timeout)
                return True
        with _epoll() as several:
            for fd, mask in masks.items():
                several.register(fd, mask)
            wait(several.fileno(), READ, timeout)
    except TimeoutError:
        return False
    return True


def _fileno(each: Any) -> int:
    return each if isinstance(each, int) else each.fileno()


def _reusable(files: Any) -> Any:
    """What can be looked at more than once. An iterator, which select() takes, too, cannot."""
    return list(files) if hasattr(files, "__next__") else files


@functools.wraps(_select)
def patched_select(
    rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: float | None = None, /
) -> tuple[list[Any], list[Any], list[Any]]:
    if not _core.parks() or (timeout is not None and not timeout > 0):
        return _select(rlist, wlist, xlist, timeout)
    rlist, wlist, xlist = _reusable(rlist), _reusable(wlist), _reusable(xlist)
    found = _select(rlist, wlist, xlist, 0)
    lists = list(rlist), list(wlist), list(xlist)
    deadline, in_time = Deadline(timeout), True
    while True:
        if any(found) or not in_time:
            return found
        masks: dict[int, int] = {}
        for each, mask in zip(lists, (_IN, _OUT, _PRI), strict=True):
            for fd in map(_fileno, each):
                masks[fd] = masks.get(fd, 0) | mask
        if masks:
            in_time = _await(masks, deadline.left())
        elif timeout is None:
            _core.park_forever()
        else:
            _core.sleep(timeout)
            in_time = False
        found = _select(*lists, 0)


class Poll:
    """What select.poll() makes."""

    def __init__(self) -> None:
        self._poll = _poll()
        self._masks: dict[int, int] = {}
        self._polling = False

    def register(self, fd: Any, eventmask: int = select.POLLIN | select.POLLPRI | select.POLLOUT, /) -> None:
        """Look at fd, too."""
        self._poll.register(fd, eventmask)
        self._masks[_fileno(fd)] = eventmask

    def modify(self, fd: Any, eventmask: int, /) -> None:
        """Look at fd for something else."""
        self._poll.modify(fd, eventmask)
        self._masks[_fileno(fd)] = eventmask

    def unregister(self, fd: Any, /) -> None:
        """Do not look at fd any more."""
        self._poll.unregister(fd)
        self._masks.pop(_fileno(fd), None)

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Park until there is something, at most so many milliseconds."""
        if not _core.parks() or timeout == 0 or (timeout is not None and timeout > MOST_MS):
            return self._poll.poll(timeout)  # which complains of one that is too large
        if self._polling:
            raise RuntimeError("concurrent poll() invocation")
        found = self._poll.poll(0)  # complains of a timeout that is none below
        seconds = None if timeout is None or timeout < 0 else timeout / 1000
        deadline, in_time = Deadline(seconds), True
        self._polling = True
        try:
            while not found and in_time:
                if self._masks:
                    in_time = _await(dict(self._masks), deadline.left())
                elif seconds is None:
                    _core.park_forever()
                else:
                    _core.sleep(seconds)
                    in_time = False
                found = self._poll.poll(0)
        finally:
            self._polling = False
        return found


class Epoll:
    """What select.epoll() makes: the kernel's object, whose descriptor is readable when it has something."""

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        self._of(_epoll(sizehint, flags))

    def _of(self, inner: Any) -> None:
        self._epoll = inner
        for name in ("register", "modify", "unregister", "close", "fileno"):
            setattr(self, name, getattr(inner, name))

    @classmethod
    def fromfd(cls, fd: int, /) -> "Epoll":
        """One over a descriptor that there is."""
        self = cls.__new__(cls)
        self._of(_epoll.fromfd(fd))
        return self

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return bool(self._epoll.closed)

    def __enter__(self) -> "Epoll":
        self._epoll.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._epoll.close()

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """Park until there is something, at most so many seconds."""
        if not _core.parks() or timeout == 0:
            return self._epoll.poll(timeout, maxevents)  # type: ignore[no-any-return]
        found: list[tuple[int, int]] = self._epoll.poll(0, maxevents)
        deadline = Deadline(None if timeout is None or timeout < 0 else timeout)
        in_time = True
        while not found and in_time:
            try:
                wait(self._epoll.fileno(), READ, deadline.left())
            except TimeoutError:
                in_time = False
            found = self._epoll.poll(0, maxevents)
        return found


def patch() -> None:
    _registry.replace(select, "select", patched_select)
    _registry.replace(select, "poll", Poll)
    _registry.replace(select, "epoll", Epoll)
    module: Any = selectors
    _registry.replace_method(module.SelectSelector, "_select", lambda original: staticmethod(patched_select))
    _registry.replace_method(module.PollSelector, "_selector_cls", lambda original: Poll)
    _registry.replace_method(module.EpollSelector, "_selector_cls", lambda original: Epoll)
