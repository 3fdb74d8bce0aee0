"""Connections read and written by stackless goroutines and asyncio tasks: aread() and awrite()."""

import asyncio
import os
import socket

import pytest

from gopy import Chan, go, net, time


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
