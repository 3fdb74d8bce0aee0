"""The part `queue`: queue.SimpleQueue, which is C's. The other queues stand on locks."""

import queue

from gopy import _core
from gopy.monkey import _registry


def patch() -> None:
    _registry.replace(queue, "SimpleQueue", _core.SimpleQueue)
