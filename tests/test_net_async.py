"""Connections read and written by stackless goroutines and asyncio tasks: aread() and awrite()."""

import asyncio
import gc
import os
import socket
import threading

import pytest

from gopy import Chan, go, net, time
from gopy.net._lent import Lent


@pytest.fixture
def pair():
    listener = net.listen("tcp", "127.0.0.1:0")
    client = net.dial("tcp", str(listener.addr))
    server = listener.accept()
    yield client, server
    for conn in (client, server, listener):
        conn.close()


def run(fn, *args):
    """What fn(*args), a coroutine function, returns or raises in a goroutine of its own."""
    done: Chan[object] = Chan(1)

    async def body():
        try:
            value = await fn(*args)
        except BaseException as exc:
            value = exc
        done.send(value)

    go(body).join(20)
    return done.recv(timeout=0)


async def echo(conn):
    while data := await conn.aread():
        await conn.awrite(data)
    conn.close()


def test_echo_between_goroutines_of_both_kinds(pair):
    client, server = pair
    go(echo, server)
    for i in range(200):
        client.write(b"%d" % i)
        assert client.read() == b"%d" % i
    client.close_write()
    assert client.read() == b""


def test_echo_in_asyncio(pair):
    client, server = pair

    async def main():
        task = asyncio.create_task(echo(server))
        for i in range(200):
            assert await client.awrite(b"%d" % i) == len(b"%d" % i)
            assert await client.aread() == b"%d" % i
        client.close_write()
        assert await client.aread(10) == b""
        await task

    asyncio.run(main())


def test_a_large_write_is_finished_across_waits(pair):
    client, server = pair
    data = os.urandom(5_000_000)

    async def write():
        return await client.awrite(memoryview(data))

    done = Chan(1)
    go(lambda: done.send(server.read_full(len(data))))
    assert run(write) == len(data)
    assert done.recv() == data


def test_deadlines(pair):
    client, _ = pair

    async def read():
        await client.aread()

    before = time.now()
    client.set_read_deadline(0.005)
    assert isinstance(run(read), TimeoutError)
    assert time.now() - before >= 0.005
    assert isinstance(run(read), TimeoutError)  # passed already
    client.set_read_deadline(None)
    goroutine = go(read_or_timeout, client)
    while goroutine.state != "IO wait":
        time.sleep(0.0005)
    client.set_read_deadline(0.001)  # moved while it is parked
    goroutine.join(10)


async def read_or_timeout(conn):
    with pytest.raises(TimeoutError):
        await conn.aread()


def test_close_under_a_parked_reader(pair):
    client, _ = pair

    async def read():
        with pytest.raises(OSError, match="Bad file descriptor"):
            await client.aread()
        with pytest.raises(OSError, match="Bad file descriptor"):
            await client.awrite(b"x")

    goroutine = go(read)
    while goroutine.state != "IO wait":
        time.sleep(0.0005)
    client.close()
    goroutine.join(10)


def test_a_cancelled_task_leaves_the_connection_usable(pair):
    client, server = pair

    async def main():
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.aread(), 0.001)
        await server.awrite(b"after all")
        assert await client.aread() == b"after all"
        client.set_read_deadline(0.005)
        with pytest.raises(TimeoutError):
            await client.aread()

    asyncio.run(main())


def test_many_at_once():
    n = 200
    listener = net.listen("tcp", "127.0.0.1:0")
    go(lambda: [go(echo, conn) for conn in listener])
    done = Chan(n)

    async def client(i):
        sock = await_dial(str(listener.addr))
        for k in range(5):
            message = b"%d %d" % (i, k)
            await sock.awrite(message)
            got = b""
            while len(got) < len(message):
                got += await sock.aread()
            assert got == message
        sock.close()
        await done.asend(i)

    def await_dial(addr):
        return net.dial("tcp", addr)  # blocks within the step

    for i in range(n):
        go(client, i)
    assert sorted(done.recv(timeout=30) for _ in range(n)) == list(range(n))
    listener.close()


def test_wrong_arguments(pair):
    client, _ = pair
    with pytest.raises(TypeError, match="`n` must be an int"):
        client.aread("x")
    with pytest.raises(ValueError, match="`n` must be"):
        client.aread(-1)
    with pytest.raises(TypeError, match="`data` must be bytes-like"):
        client.awrite("text")
    assert client.local_addr.port != socket.IPPROTO_TCP


def test_nothing_to_read(pair):
    client, _ = pair

    async def read():
        return await client.aread(0)

    assert run(read) == b""


class Begin:
    """The rest of an await whose awaitable has been yielded already."""

    def __init__(self, awaitable):
        self.awaitable = awaitable

    def __await__(self):
        self.awaitable._asyncio_future_blocking = True
        yield self.awaitable


def test_what_comes_between_the_try_of_a_task_and_its_wait_is_not_lost(pair, until):
    """On a plain thread, while goroutines look at the descriptors."""
    client, server = pair
    result = Chan(1)

    async def main():
        go(lambda: (time.sleep(0.001), server.write(b"first")))
        await client.aread()  # from here on the netpoller looks at it
        reading = client.aread()
        yielded = reading.__await__().send(None)  # it has found nothing
        server.write(b"second")
        see_all()
        await Begin(yielded)
        try:
            reading.send(None)
        except StopIteration as stop:
            result.send(stop.value)

    def see_all():
        """An event that comes later has been seen."""
        with net.listen("tcp", "127.0.0.1:0") as listener:
            conn, other = net.dial("tcp", str(listener.addr)), listener.accept()
            reader = go(conn.read)
            until(lambda: reader.state == "IO wait")
            other.write(b"x")
            reader.join()
            conn.close()
            other.close()

    def run():
        async def bounded():
            return await asyncio.wait_for(main(), 10)

        try:
            asyncio.run(bounded())
        except BaseException as exc:
            result.send(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert result.recv(timeout=0) == b"second"


# Cancelled asyncio tasks


def cancelled(make):
    """Have a task await make() until it waits, and cancel it."""

    async def body():
        await make()

    async def cancel():
        task = asyncio.create_task(body())
        for _ in range(3):
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())


@pytest.fixture(params=["plain", "tls"])
def talking(request, pair, certificates):
    """(client, server), which have shaken hands."""
    client, server = pair
    if request.param == "plain":
        yield client, server
        return
    context, results = certificates.context(server_side=True), Chan(1)
    go(lambda: results.send(server.start_tls(context, server_side=True)))
    client = client.start_tls(certificates.context(), server_hostname="localhost")
    server = results.recv()
    yield client, server
    client.close()
    server.close()


def test_what_a_cancelled_reader_has_got_is_the_next_ones(talking):
    client, server = talking
    server.write(b"012345")
    time.sleep(0.001)
    for n in (7, 8):
        cancelled(lambda n=n: client.aread_full(n))
    cancelled(lambda: server.aread())
    cancelled(lambda: server.aread_into(bytearray(3)))
    assert client.read_full(4) == b"0123"
    cancelled(lambda: client.aread_full(3))
    server.write(b"6")
    assert client.read_full(3) == b"456"


def test_what_has_come_before_a_deadline_is_the_next_readers(talking):
    client, server = talking
    for part in (b"012", b"3456"):
        server.write(part)
        client.set_read_deadline(0.05)
        with pytest.raises(TimeoutError):
            client.read_full(10)
        client.set_read_deadline(0.05)
        assert isinstance(run(client.aread_full, 10), TimeoutError)
    client.set_read_deadline(None)
    server.write(b"789ab")
    assert client.read_full(10) == b"0123456789"
    assert client.read(10) == b"ab"


def test_what_has_come_is_kept_if_the_deadline_passes_on_the_way_back(talking):
    """The task is woken by more bytes, and its thread is busy until after the deadline."""
    client, server = talking

    async def main():
        client.set_read_deadline(0.05)
        reading = asyncio.ensure_future(client.aread_full(10))
        await asyncio.sleep(0)
        for part in (b"012", b"345"):
            server.write(part)
            await asyncio.sleep(0.005)
        server.write(b"6")
        threading.Event().wait(0.1)
        with pytest.raises(TimeoutError):
            await reading

    asyncio.run(main())
    client.set_read_deadline(None)
    assert client.read_full(7) == b"0123456"


@pytest.mark.parametrize("how", ["read", "aread", "read_into", "aread_full"])
def test_much_that_a_cancelled_reader_has_got_comes_before_the_rest(pair, how, until):
    client, server = pair
    data = os.urandom(50_000)
    left = go(lambda: server.write(data[:40_000]))
    until(lambda: socket_has(client, 40_000))
    left.join()
    cancelled(lambda: client.aread_full(40_001))
    server.write(data[40_000:])
    got = b""
    while len(got) < len(data):
        if how == "read":
            got += client.read()
        elif how == "aread":
            got += run(client.aread)
        elif how == "read_into":
            buffer = bytearray(17_000)
            got += buffer[: client.read_into(buffer)]
        else:
            got += run(client.aread_full, min(20_000, len(data) - len(got)))
    assert got == data


def socket_has(conn, n):
    try:
        return len(conn.control(lambda fd: Lent(fd).recv(n, socket.MSG_PEEK))) == n
    except BlockingIOError:
        return False


def test_what_a_try_has_got_is_not_lost_if_nothing_comes_of_it(talking, until):
    client, server = talking
    server.write(b"0123")
    assert client.read_full(1) == b"0"  # the others are there, too
    for _ in range(2):
        reading = client.aread_full(4)
        assert reading.__await__().send(None) is not None
        reading.close()
    assert client.read() == b"123"


def test_async_with_and_async_for():
    async def serve(listener):
        async for conn in listener:
            async with conn:
                await conn.awrite(await conn.aread())

    async def main():
        listener = await net.alisten("tcp", "127.0.0.1:0")
        serving = asyncio.create_task(serve(listener))
        for _ in range(3):
            async with await net.adial("tcp", str(listener.addr)) as conn:
                await conn.awrite(b"x")
                assert await conn.aread() == b"x"
                assert await conn.aread() == b""
            assert conn.closed
        listener.close()
        await serving

    asyncio.run(main())


def test_a_cancelled_accept_leaves_the_connection_to_the_next():
    with net.listen("tcp", "127.0.0.1:0") as listener:
        cancelled(listener.aaccept)
        client = net.dial("tcp", str(listener.addr))
        conn = listener.accept()
        assert conn.remote_addr == client.local_addr
        conn.close()
        client.close()


def test_a_cancelled_dial_leaves_nothing_open(tmp_path):
    path = str(tmp_path / "socket")
    with net.listen("unix", path, backlog=0):
        waiting = [net.dial("unix", path)]
        before = None
        for timeout in (None, 20, None):  # there is no room for one more
            cancelled(lambda timeout=timeout: net.adial("unix", path, timeout=timeout))
            gc.collect()
            before = before or len(os.listdir("/proc/self/fd"))
        assert len(os.listdir("/proc/self/fd")) == before
        for conn in waiting:
            conn.close()
