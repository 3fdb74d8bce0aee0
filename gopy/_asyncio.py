"""Where asyncio and goroutines meet: how the waits of asyncio tasks end, how a loop that a goroutine runs
leaves its thread to others, and who closes async generators.

A task that awaits one of gopy's awaitables is woken through its loop's LoopQueue: whoever ends the wait, on
whatever thread, puts it there and writes to an eventfd, which the loop watches like any other descriptor.
When the loop is closed, the waits that its tasks still have end: what they would have got goes to others.

A loop sleeps in its selector, and would take its thread along. So when a goroutine begins to run one, which
shows in its setting the hooks for async generators, the loop's selector is taught to park the goroutine
instead. A loop that has none (uvloop) is woken through its LoopQueue whenever a goroutine of its thread is
ready, and then lets those run: see csrc/runtime/loop.c.
"""

import functools
import sys
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from gopy import _core

if TYPE_CHECKING:
    import asyncio

_queues: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _core.LoopQueue]" = weakref.WeakKeyDictionary()


def loop_queue() -> _core.LoopQueue:
    """Called by the core, in an asyncio task: the queue of the loop that runs."""
    import asyncio

    return _queue_of(asyncio.get_running_loop())


def _queue_of(loop: "asyncio.AbstractEventLoop") -> _core.LoopQueue:
    queue = _queues.get(loop)
    if queue is None:
        queue = _core.LoopQueue(weakref.ref(loop))
        loop.add_reader(queue.fileno(), queue.drain)
        _close_with(loop, queue)
        _queues[loop] = queue
    return queue


class _CloseBoth:
    """A loop's close(), which closes its queue, too: only that tells at once, and on its thread."""

    def __init__(self, loop: "asyncio.AbstractEventLoop", queue: _core.LoopQueue) -> None:
        self.loop = loop
        self.close_loop = loop.close
        self.queue = queue

    def __call__(self) -> None:
        try:
            self.close_loop()
        finally:  # it refuses while the loop runs
            if self.loop.is_closed():
                if vars(self.loop).get("close") is self:
                    del self.loop.close
                _queues.pop(self.loop, None)  # what must not go on refers to the loop for good
                self.queue.close()


def _close_with(loop: "asyncio.AbstractEventLoop", queue: _core.LoopQueue) -> None:
    """Have loop.close() close the queue, too."""
    try:
        loop.close = _CloseBoth(loop, queue)  # type: ignore[method-assign]
    except AttributeError:  # a loop without a __dict__: what waits there when it is closed waits on
        pass


async def _close(agen: AsyncGenerator[Any, Any]) -> None:
    await agen.aclose()


def close_asyncgen(agen: AsyncGenerator[Any, Any]) -> None:
    """Called by the interpreter: a stackless goroutine has left agen unfinished, and nobody refers to it."""
    _core.go(_close, agen)


def is_cancelled(exc: BaseException) -> bool:
    """Is that an asyncio task's cancellation, or the end of a coroutine that nobody runs on?"""
    asyncio = sys.modules.get("asyncio")
    return isinstance(exc, GeneratorExit) or (asyncio is not None and isinstance(exc, asyncio.CancelledError))


async def once_ado(once: _core.Once, fn: Callable[[], Any]) -> None:
    """Called by Once.ado(). If it is cancelled in fn, that does not count: the next one calls its own."""
    if await once._abegin():
        done = True
        try:
            result = fn()
            if isinstance(result, Awaitable):
                await result
        except BaseException as exc:
            done = not is_cancelled(exc)
            raise
        finally:
            once._end(done)


def _select(self: Any, timeout: float | None, original: Any) -> Any:
    """A selector's select(): others of its thread run once, and then until it has to return."""
    if _core.may_block():
        return original(self, timeout)
    _core.gosched()
    if timeout is None or timeout > 0:
        try:
            _core.wait_read(self, timeout)
        except (TimeoutError, InterruptedError):
            pass
    return original(self, 0)


@functools.cache
def _parking(selector: type) -> type:
    """The class of selectors, which must be descriptors themselves, whose select() parks."""
    original = selector.select  # type: ignore[attr-defined]

    def select(self: Any, timeout: float | None = None) -> Any:
        return _select(self, timeout, original)

    return type(selector.__name__, (selector,), {"__slots__": (), "select": select, "parks": True})


def _loop_begins(loop: Any) -> None:
    """A goroutine of this thread is about to run the loop, or is doing so."""
    selector: Any = getattr(loop, "_selector", None)
    if hasattr(selector, "fileno"):
        if not hasattr(selector, "parks"):
            selector.__class__ = _parking(selector.__class__)
    elif hasattr(loop, "add_reader"):
        _core.loop_set(_queue_of(loop).fileno())


_set_asyncgen_hooks = sys.set_asyncgen_hooks


@functools.wraps(_set_asyncgen_hooks)
def _set_hooks(*args: Any, **kwargs: Any) -> None:
    _set_asyncgen_hooks(*args, **kwargs)
    _look_for_loop()


def _look_for_loop() -> None:
    if _core.running_here() is None:
        return
    loop = getattr(sys.get_asyncgen_hooks().firstiter, "__self__", None)
    if loop is None:
        _core.loop_set(0)
    else:
        _loop_begins(loop)


def watch_loops() -> None:
    """Called when the main thread has joined: notice the loops that goroutines run from here on."""
    sys.set_asyncgen_hooks = _set_hooks
    _look_for_loop()
