"""Where asyncio and goroutines meet: how the waits of asyncio tasks end, and who closes async generators.

A task that awaits one of gopy's awaitables is woken through its loop's LoopQueue: whoever ends the wait, on
whatever thread, puts it there and writes to an eventfd, which the loop watches like any other descriptor.
When the loop is closed, the waits that its tasks still have end: what they would have got goes to others.
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
        _close_with(loop, queue)
        _queues[loop] = queue
    return queue


def _close_with(loop: "asyncio.AbstractEventLoop", queue: _core.LoopQueue) -> None:
    """Have loop.close() close the queue, too. Only that tells at once, and on the thread that closes it."""
    close_loop = loop.close

    def close() -> None:
        try:
            close_loop()
        finally:  # it refuses while the loop runs
            if loop.is_closed():
                if vars(loop).get("close") is close:
                    del loop.close
                queue.close()

    try:
        loop.close = close  # type: ignore[method-assign]
    except AttributeError:  # a loop without a __dict__: what waits there when it is closed waits on
        pass


async def _close(agen: AsyncGenerator[Any, Any]) -> None:
    await agen.aclose()


def close_asyncgen(agen: AsyncGenerator[Any, Any]) -> None:
    """Called by the interpreter: a stackless goroutine has left agen unfinished, and nobody refers to it."""
    _core.go(_close, agen)
