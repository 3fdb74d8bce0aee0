"""Where asyncio and goroutines meet: how the waits of asyncio tasks end, and who closes async generators.

A task that awaits one of gopy's awaitables is woken through its loop's LoopQueue: whoever ends the wait, on
whatever thread, puts it there and writes to an eventfd, which the loop watches like any other descriptor.
"""

import weakref
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from gopy import _core

if TYPE_CHECKING:
    import asyncio

_queues: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _core.LoopQueue]" = weakref.WeakKeyDictionary()


def loop_queue() -> _core.LoopQueue:
    """Called by the core, in an asyncio task: the queue of the loop that runs."""
    import asyncio

    loop = asyncio.get_running_loop()
    queue = _queues.get(loop)
    if queue is None:
        queue = _core.LoopQueue(weakref.ref(loop))
        loop.add_reader(queue.fileno(), queue.drain)
        _queues[loop] = queue
    return queue


async def _close(agen: AsyncGenerator[Any, Any]) -> None:
    await agen.aclose()


def close_asyncgen(agen: AsyncGenerator[Any, Any]) -> None:
    """Called by the interpreter: a stackless goroutine has left agen unfinished, and nobody refers to it."""
    _core.go(_close, agen)
