"""Package net: what is left in a socket after a short read is read, also where no event tells of it."""

import array
import os
import socket

import pytest

from gopy import Chan, go, net, runtime


@pytest.fixture
def registered(tmp_path, until):
    """registered(network): a plain socket, and the Conn at its other end, which has parked once before."""
    made = []

    def registered(network):
        with net.listen(network, "127.0.0.1:0" if network == "tcp" else str(tmp_path / "s")) as ln:
            peer = socket.socket(socket.AF_INET if network == "tcp" else socket.AF_UNIX)
            peer.connect(tuple(ln.addr) if network == "tcp" else ln.addr)
            conn = ln.accept()
        made.extend((peer, conn))
        reader = go(conn.read)
        until(lambda: reader.state == "IO wait")
        peer.sendall(b"first")
        reader.join()
        conn.set_read_deadline(30)
        return peer, conn

    yield registered
    for each in made:
        each.close()


@pytest.fixture
def polled(until):
    """polled(): every event so far has been taken notice of."""

    def polled():
        r, w = os.pipe()
        waiter = go(runtime.wait_read, r)
        until(lambda: waiter.state == "IO wait")
        os.write(w, b"x")
        waiter.join(timeout=30)
        os.close(r)
        os.close(w)

    return polled


@pytest.mark.parametrize("read", ["read", "read_into"])
def test_wait_read_does_not_take_the_readers_event(registered, until, read):
    peer, conn = registered("tcp")
    peer.sendall(b"a")
    assert conn.read() == b"a"  # a short one
    waiter = go(runtime.wait_read, conn)
    until(lambda: waiter.state == "IO wait")
    peer.sendall(b"b")
    waiter.join(timeout=30)
    if read == "read":
        assert conn.read() == b"b"
    else:
        buffer = bytearray(8)
        assert conn.read_into(buffer) == 1
        assert buffer[:1] == b"b"


def read_all(conn, n):
    got = [conn.read()]
    while sum(map(len, got)) < n:
        got.append(conn.read())
    return got


def aread(conn, *n):
    got = Chan(1)

    async def read():
        got.send(await conn.aread(*n))

    go(read).join()
    return got.recv()


def test_what_follows_urgent_data(registered, polled):
    peer, conn = registered("tcp")
    peer.sendall(b"abc")
    peer.send(b"!", socket.MSG_OOB)
    peer.sendall(b"def")
    polled()
    assert read_all(conn, 6) == [b"abc", b"def"]  # a read ends where the urgent byte was


@pytest.mark.parametrize(
    "reads", [(net.Conn.read, net.Conn.read), (aread, aread), (aread, net.Conn.read), (net.Conn.read, aread)]
)
def test_what_follows_descriptors_over_a_unix_socket(registered, polled, reads):
    peer, conn = registered("unix")
    ends = os.pipe()
    try:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", ends))
        peer.sendmsg([b"one"], [rights])
        peer.sendall(b"two")
        polled()
        assert [read(conn) for read in reads] == [b"one", b"two"]  # a read ends where the descriptors were
    finally:
        for fd in ends:
            os.close(fd)


def test_the_end_that_came_with_the_last_data(registered, polled):
    peer, conn = registered("tcp")
    peer.sendall(b"last")
    peer.shutdown(socket.SHUT_WR)
    polled()
    assert conn.read() == b"last"
    assert conn.read() == b""


def test_reading_nothing_waits_for_nothing(registered):
    peer, conn = registered("tcp")
    peer.sendall(b"a")
    assert conn.read() == b"a"  # a short one: there is nothing more
    assert aread(conn, 0) == b""
