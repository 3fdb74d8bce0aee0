"""One body, run by every kind of goroutine: what tests of all kinds and pairs of kinds are written with.

A body is an `async def` whose first argument says how it waits: Awaiting awaits the a-prefixed calls, Blocking makes
the plain calls and so never suspends. The stackful goroutine and the plain thread run it with Blocking, the others
with Awaiting.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from gopy import Chan, ablocking, aselect, blocking, go, runtime, select, time

KINDS = ["stackful", "async", "generator", "thread", "task"]


TWINS = {"wait": "await_", "wait_read": "await_read", "wait_write": "await_write"}


def twin(name: str) -> str:
    """The a-prefixed twin of the blocking call of this name."""
    return TWINS.get(name, "a" + name)


class Blocking:
    async def call(self, owner, name, *args, **kwargs):
        return getattr(owner, name)(*args, **kwargs)

    async def send(self, ch, value):
        ch.send(value)

    async def recv(self, ch):
        return ch.recv()

    async def recv_ok(self, ch):
        return ch.recv_ok()

    async def select(self, *cases):
        return select(*cases)

    async def sleep(self, seconds):
        time.sleep(seconds)

    async def gosched(self):
        runtime.gosched()

    async def join(self, goroutine):
        goroutine.join()

    async def range(self, ch):
        for value in ch:
            yield value

    async def lock(self, mutex):
        mutex.lock()

    async def rlock(self, mutex):
        mutex.rlock()

    async def wait(self, group):
        group.wait()  # also a Cond's

    async def blocking(self, fn, *args):
        return blocking(fn, *args)


class Awaiting:
    async def call(self, owner, name, *args, **kwargs):
        return await getattr(owner, twin(name))(*args, **kwargs)

    async def send(self, ch, value):
        await ch.asend(value)

    async def recv(self, ch):
        return await ch.arecv()

    async def recv_ok(self, ch):
        return await ch.arecv_ok()

    async def select(self, *cases):
        return await aselect(*cases)

    async def sleep(self, seconds):
        await time.asleep(seconds)

    async def gosched(self):
        await runtime.agosched()

    async def join(self, goroutine):
        await goroutine.ajoin()

    async def range(self, ch):
        async for value in ch:
            yield value

    async def lock(self, mutex):
        await mutex.alock()

    async def rlock(self, mutex):
        await mutex.arlock()

    async def wait(self, group):
        await group.await_()

    async def blocking(self, fn, *args):
        return await ablocking(fn, *args)


def finish(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a body with Blocking: it ends without ever having been suspended."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("suspended")


def generator(coroutine: Coroutine[Any, Any, Any]) -> Any:
    yield from coroutine.__await__()


class Task:
    """An asyncio task in a loop on another thread. That it was cancelled counts as a good end."""

    def __init__(
        self, loop: Any, coroutine: Coroutine[Any, Any, Any], done: "Chan[BaseException | None]"
    ) -> None:
        self.loop, self.coroutine, self.done = loop, coroutine, done
        loop.call_soon_threadsafe(self.begin)

    def begin(self) -> None:
        self.task = self.loop.create_task(self.coroutine)
        self.task.add_done_callback(
            lambda task: self.done.send(None if task.cancelled() else task.exception())
        )

    def cancel(self) -> None:
        self.loop.call_soon_threadsafe(lambda: self.task.cancel())


class Kinds:
    """Starts bodies, and joins them all: what one raises is raised there."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.done: Chan[BaseException | None] = Chan(100_000)
        self.started = 0

    def start(self, kind: str, body: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        self.started += 1

        async def guarded(how: Any) -> None:
            try:
                await body(how, *args)
            except BaseException as exc:
                self.done.send(exc)
            else:
                self.done.send(None)

        if kind == "stackful":
            return go(lambda: finish(guarded(Blocking())))
        if kind == "async":
            return go(guarded, Awaiting())
        if kind == "generator":
            return go(generator, guarded(Awaiting()))
        if kind == "thread":
            thread = threading.Thread(target=lambda: finish(guarded(Blocking())))
            thread.start()
            return thread
        assert kind == "task"
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            self.thread = threading.Thread(target=self.loop.run_forever)
            self.thread.start()
        return Task(self.loop, body(Awaiting(), *args), self.done)

    def join(self, timeout: float = 20) -> None:
        for _ in range(self.started):
            exc = self.done.recv(timeout=timeout)
            if exc is not None:
                raise exc
        self.started = 0

    def close(self) -> None:
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.loop.close()
