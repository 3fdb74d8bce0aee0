"""The part `queue`: queue.SimpleQueue, which is C's. The other queues stand on locks."""

import queue
from collections import deque
from types import GenericAlias
from typing import Any, ClassVar

from gopy import _core
from gopy._core import Chan
from gopy.monkey import _registry
from gopy.monkey._sleep import Deadline


class SimpleQueue:
    """A queue without a bound; put() never waits, and may come in the middle of another put() or get() of
    its thread.

    Invariant: while there are items and somebody waits for one, a wake-up is on its way: in the channel, or
    with one who has taken it and has not yet looked. Whoever has looked and left something there sends it
    on.
    """

    __class_getitem__: ClassVar[Any] = classmethod(GenericAlias)

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._wake: Chan[None] = Chan(1)

    def _send_wake(self) -> None:
        _core.select(self._wake_case(), _core.default)

    def _wake_case(self) -> Any:
        return _core.send(self._wake, None)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put item at the end. The rest is for compatibility with Queue."""
        self._items.append(item)
        self._send_wake()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the first; park until there is one, at most `timeout` seconds. queue.Empty if there is
        none.
        """
        if block and timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        deadline = Deadline(timeout)
        while True:
            try:
                item = self._items.popleft()
            except IndexError:
                if not block:
                    raise queue.Empty from None
            else:
                if self._items:
                    self._send_wake()
                return item
            try:
                self._wake.recv(timeout=deadline.left())
            except TimeoutError:
                block = False  # one more look

    def put_nowait(self, item: Any) -> None:
        """put(item)"""
        self.put(item)

    def get_nowait(self) -> Any:
        """get(False)"""
        return self.get(False)

    def empty(self) -> bool:
        """Whether there is nothing at this moment."""
        return not self._items

    def qsize(self) -> int:
        """How many there are at this moment."""
        return len(self._items)


SimpleQueue.__module__ = "queue"


def patch() -> None:
    _registry.replace(queue, "SimpleQueue", SimpleQueue)
