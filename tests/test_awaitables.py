"""Every a-prefixed call does the same whoever awaits it: `await`ed in an `async def`, yielded by a generator, or awaited
in an asyncio task; whether it can be done at once, has to wait, or raises."""

import asyncio
import os
import threading

import pytest

from gopy import Chan, ablocking, aselect, default, go, net, nilchan, recv, runtime, send, sync, time

WAYS = ["await", "yield", "yield from", "task"]


@pytest.fixture(scope="module")
def loop():
    """One that runs, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def outcome(loop, until):
    """outcome(way, make, then=None): what make() gives who awaits it so, or what it raises; `then` is called when it
    waits (of a task, when it is about to), and ends the wait."""

    def outcome(way, make, then=None):
        result = Chan(1)
        made = Chan(1)

        async def awaiting():
            try:
                awaitable = make()
                made.send(None)
                value = await awaitable
            except Exception as exc:
                value = exc
            result.send(value)

        def yielding():
            try:
                awaitable = make()
                made.send(None)
                value = (yield awaitable) if way == "yield" else (yield from awaitable)
            except Exception as exc:
                value = exc
            result.send(value)

        if way == "task":
            task = asyncio.run_coroutine_threadsafe(awaiting(), loop)
        else:
            goroutine = go(awaiting if way == "await" else yielding)
        made.recv()
        if then is not None:
            until(lambda: way == "task" or goroutine.state not in ("running", "runnable"))
            then()
        value = result.recv(timeout=20)
        if way == "task":
            task.result(timeout=20)
        else:
            goroutine.join()
        return value

    return outcome


def full():
    ch = Chan(1)
    ch.send("first")
    return ch


def closed(ch):
    ch.close()
    return ch


def locked(lock, method="lock"):
    getattr(lock, method)()
    return lock


def at_once():
    """(name, make, value or the name of the exception's type)."""
    done = go(int)
    done.join()
    yield "asend", lambda: Chan(1).asend(1), None
    yield "asend to nobody", lambda: closed(Chan()).asend(1), "ClosedChannelError"
    yield "arecv", lambda: full().arecv(), "first"
    yield "arecv of a closed channel", lambda: closed(Chan(zero=0)).arecv(), 0
    yield "arecv_ok", lambda: full().arecv_ok(), ("first", True)
    yield "arecv_ok of a closed channel", lambda: closed(Chan()).arecv_ok(), (None, False)
    yield "async for", lambda: aiter(full()).__anext__(), "first"
    yield "async for, at the end", lambda: aiter(closed(Chan())).__anext__(), "StopAsyncIteration"
    yield "aselect", lambda: aselect(recv(Chan()), recv(full())), (1, "first", True)
    yield "aselect that sends", lambda: aselect(send(Chan(1), 1)), (0, None, True)
    yield "aselect, default", lambda: aselect(recv(Chan()), send(full(), 1), default), (2, None, True)
    yield "aselect, default first", lambda: aselect(default, recv(Chan())), (0, None, True)
    yield "aselect of nil, default", lambda: aselect(recv(nilchan), default), (1, None, True)
    yield "aselect, default alone", lambda: aselect(default), (0, None, True)
    yield "aselect, no default needed", lambda: aselect(recv(full()), default), (0, "first", True)
    yield "aselect on a closed channel", lambda: aselect(send(closed(Chan()), 1)), "ClosedChannelError"
    yield "aselect of a timer, default", lambda: aselect(recv(time.after(1000)), default), (1, None, True)
    yield "asleep", lambda: time.asleep(0), None
    yield "asleep, less", lambda: time.asleep(-1), None
    yield "agosched", runtime.agosched, None
    yield "ajoin", done.ajoin, None
    yield "ablocking", lambda: ablocking(int, "7"), 7
    yield "ablocking that raises", lambda: ablocking(int, "x"), "ValueError"
    yield "Mutex.alock", lambda: sync.Mutex().alock(), None
    yield "RWMutex.alock", lambda: sync.RWMutex().alock(), None
    yield "RWMutex.arlock", lambda: locked(sync.RWMutex(), "rlock").arlock(), None
    yield "rlocker().alock", lambda: locked(sync.RWMutex(), "rlock").rlocker().alock(), None
    yield "async with, its end", lambda: locked(sync.Mutex()).__aexit__(None, None, None), None
    yield "async with, its end unlocked", lambda: sync.Mutex().__aexit__(None, None, None), "Panic"
    yield "WaitGroup.await_", lambda: sync.WaitGroup().await_(), None
    yield "Cond.await_ without its lock", lambda: sync.Cond(sync.Mutex()).await_(), "Panic"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("make", "value"), [pytest.param(m, v, id=name) for name, m, v in at_once()])
def test_done_at_once(outcome, way, make, value):
    got = outcome(way, make)
    assert (type(got).__name__ if isinstance(got, Exception) else got) == value


def that_wait():
    """(name, prepare): prepare() -> (make, what ends its wait, value)."""

    def unlocking(new, acquire):
        return lambda: (lambda lock: (getattr(lock, acquire), lock.unlock, None))(locked(new()))

    def channel(make, then, value):
        return lambda: (lambda ch: (lambda: make(ch), lambda: then(ch), value))(Chan())

    def joining():
        ch = Chan()
        goroutine = go(ch.recv)
        return goroutine.ajoin, lambda: ch.send(None), None

    def grouping():
        group = sync.WaitGroup()
        group.add()
        return group.await_, group.done, None

    def signalling():
        cond = sync.Cond(locked(sync.Mutex()))

        def signal():
            with cond.L:  # it is unlocked when the other one waits
                cond.signal()

        return cond.await_, signal, None

    def calling():
        event = threading.Event()
        return lambda: ablocking(event.wait), event.set, True

    yield "asend", channel(lambda ch: ch.asend(1), lambda ch: ch.recv(), None)
    yield "arecv", channel(lambda ch: ch.arecv(), lambda ch: ch.send(1), 1)
    yield "arecv_ok", channel(lambda ch: ch.arecv_ok(), lambda ch: ch.send(1), (1, True))
    yield "async for", channel(lambda ch: aiter(ch).__anext__(), lambda ch: ch.send(1), 1)
    yield (
        "aselect",
        channel(lambda ch: aselect(recv(Chan()), recv(ch)), lambda ch: ch.send(1), (1, 1, True)),
    )
    yield (
        "aselect that sends",
        channel(lambda ch: aselect(recv(Chan()), send(ch, 1)), lambda ch: ch.recv(), (1, None, True)),
    )
    yield "asleep", lambda: (lambda: time.asleep(0.001), lambda: None, None)
    yield "ajoin", joining
    yield "ablocking", calling
    yield "Mutex.alock", unlocking(sync.Mutex, "alock")
    yield "RWMutex.alock", unlocking(sync.RWMutex, "alock")
    yield "RWMutex.arlock", unlocking(sync.RWMutex, "arlock")
    yield "WaitGroup.await_", grouping
    yield "Cond.await_", signalling


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("prepare", [pytest.param(p, id=name) for name, p in that_wait()])
def test_done_by_another(outcome, way, prepare):
    make, then, value = prepare()
    assert outcome(way, make, then) == value


@pytest.mark.parametrize("way", WAYS)
def test_a_pipe(outcome, way):
    reader, writer = os.pipe()
    try:
        assert outcome(way, lambda: runtime.await_read(reader), lambda: os.write(writer, b"x")) is None
        assert outcome(way, lambda: runtime.await_read(reader)) is None
        assert outcome(way, lambda: runtime.await_write(writer)) is None
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("way", WAYS)
def test_a_connection(outcome, way):
    with net.listen("tcp", "127.0.0.1:0") as ln, net.dial("tcp", str(ln.addr)) as conn, ln.accept() as peer:
        assert outcome(way, lambda: conn.aread(), lambda: peer.write(b"waits")) == b"waits"
        assert outcome(way, lambda: conn.awrite(b"answer")) == 6
        assert outcome(way, lambda: peer.aread()) == b"answer"
        conn.close()
        assert outcome(way, lambda: peer.aread()) == b""
        assert isinstance(outcome(way, lambda: conn.aread()), OSError)
        assert isinstance(outcome(way, lambda: conn.awrite(b"x")), OSError)
