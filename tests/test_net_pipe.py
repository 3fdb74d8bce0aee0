"""net.pipe(): connections in memory. Ports of Go's net/pipe_test.go are at the end."""

import errno
import io
import os

import pytest
from bubbles import EACH_WAY, run

from gopy import Chan, go, net, sync, testing
from gopy.time import after_func, now, sleep


@pytest.fixture
def ends():
    a, b = net.pipe()
    yield a, b
    a.close()
    b.close()


@EACH_WAY
def test_what_is_written_is_read(way):
    async def writes(w, conn):
        assert await w.call(conn, "write", b"hello") == 5
        assert await w.call(conn, "write", bytes(100_000)) == 100_000
        assert await w.call(conn, "write", b"") == 0
        conn.close_write()
        assert await w.call(conn, "read") == b"back"

    async def body(w):
        a, b = net.pipe()
        w.go(writes, a)
        assert await w.call(b, "read", 3) == b"hel"
        assert await w.call(b, "read") == b"lo"
        assert await w.call(b, "read_full", 100_000) == bytes(100_000)
        assert await w.call(b, "read") == b""
        assert await w.call(b, "read", 0) == b""
        await w.call(b, "write", b"back")
        with pytest.raises(EOFError):
            await w.call(b, "read_full", 1)

    run(way, body)


@EACH_WAY
def test_deadlines(way):
    async def body(w):
        a, b = net.pipe()
        for name, args in (("read", ()), ("write", (b"x",))):
            before = now()
            a.set_deadline(5)
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    await w.call(a, name, *args)
                assert now() - before == 5
            a.set_deadline(None)
        b.set_read_deadline(-1)
        with pytest.raises(TimeoutError):
            await w.call(b, "read")

    run(way, body)


def test_a_deadline_that_is_moved_as_it_passes():
    def body():
        a, _ = net.pipe()
        # Both fire at 5, and this one's function runs first.
        after_func(5, lambda: a.set_deadline(5))
        a.set_deadline(5)
        sleep(6)
        for call in (a.read, lambda: a.write(b"x")):
            with pytest.raises(TimeoutError):
                call()
            assert now() == 10

    testing.synctest(body)


def test_a_deadline_that_is_moved_reaches_those_who_wait():
    def body():
        a, _ = net.pipe()
        a.set_read_deadline(100)

        def moves():
            sleep(1)
            a.set_read_deadline(2)

        go(moves)
        with pytest.raises(TimeoutError):
            a.read()
        assert now() == 3

    testing.synctest(body)


def test_a_write_that_its_deadline_ends_midway():
    def body():
        a, b = net.pipe()
        a.set_write_deadline(1)
        go(b.read_full, 2)
        with pytest.raises(TimeoutError):
            a.write(b"abc")

    testing.synctest(body)


@EACH_WAY
def test_close(way):
    async def ended(w, conn, errors):
        for name, args in (("read", ()), ("write", (b"x",))):
            try:
                errors.append(await w.call(conn, name, *args))
            except OSError as exc:
                errors.append(exc.errno)

    async def body(w):
        a, b = net.pipe()
        mine, others = [], []
        w.go(ended, a, mine)
        w.go(ended, b, others)
        await w.pause()
        a.close()
        await w.pause()
        assert (mine, others) == ([errno.EBADF] * 2, [b"", errno.EPIPE])
        a.close()
        assert a.closed and not b.closed
        with pytest.raises(OSError):
            a.set_deadline(1)

    run(way, body)


def test_writers_take_turns(ends):
    a, b = ends
    wg = sync.WaitGroup()
    for c in b"abcd":
        wg.go(a.write, bytes([c]) * 1000)
    got = b"".join(b.read(7) for _ in range(4 * -(-1000 // 7)))
    wg.wait()
    assert sorted(got[i : i + 1000] for i in range(0, 4000, 1000)) == [bytes([c]) * 1000 for c in b"abcd"]


def test_it_is_a_conn(ends):
    a, b = ends
    assert isinstance(a, net.Conn)
    assert (a.local_addr, a.remote_addr) == ("pipe", "pipe")
    for call in (a.fileno, lambda: a.control(print)):
        with pytest.raises(io.UnsupportedOperation):
            call()
    assert "pipe" in repr(a)
    go(lambda: a.makefile("wb", 0).write(b"line\n"))
    assert b.makefile("r").readline() == "line\n"


def test_arguments(ends):
    a, _ = ends
    with pytest.raises(TypeError, match="`n` must be an int"):
        a.read("x")
    with pytest.raises(TypeError, match="`seconds_from_now` must be a number of seconds or None"):
        a.set_deadline("x")
    with pytest.raises(TypeError, match="`data` must be bytes-like, got str"):
        a.write("text")
    for buffer in b"x", 5:
        with pytest.raises(TypeError, match="`buffer` must be a writable buffer"):
            a.read_into(buffer)


def test_tls(certificates):
    """Over a pipe on a bubble's clock."""

    def body():
        a, b = net.pipe()
        done = Chan()

        context = certificates.context(server_side=True)
        context.num_tickets = (
            0  # which the server would write while the client writes, too: nothing is buffered
        )

        def serves():
            conn = b.start_tls(context, server_side=True)
            conn.write(conn.read())
            conn.close()
            done.close()

        go(serves)
        with a.start_tls(certificates.context(), server_hostname="localhost") as conn:
            conn.write(b"hello")
            assert conn.read() == b"hello"
        done.recv()

    testing.synctest(body)


# net/pipe_test.go


def test_pipe_basic_io():
    """net/conntest TestConn/BasicIO"""
    want = os.urandom(100_000)

    def body():
        c1, c2 = net.pipe()
        out = []

        def relays():
            data = b""
            while part := c2.read(1000):
                data += part
            out.append(data)
            c2.write(data)
            c2.close()

        go(relays)
        for i in range(0, len(want), 4096):
            c1.write(want[i : i + 4096])
        c1.close_write()
        assert c1.read_full(len(want)) == want
        assert out == [want]

    testing.synctest(body)


def test_pipe_ping_pong():
    """net/conntest TestConn/PingPong"""

    def body():
        c1, c2 = net.pipe()

        def player(c):
            while True:
                n = int.from_bytes(c.read_full(8), "big") + 1
                if n > 100:
                    break
                c.write(n.to_bytes(8, "big"))
            c.close()

        wg = sync.WaitGroup()
        go(c1.write, bytes(8))
        wg.go(player, c2)
        with pytest.raises((EOFError, BrokenPipeError)):
            while True:
                c1.write((int.from_bytes(c1.read_full(8), "big") + 1).to_bytes(8, "big"))
        wg.wait()

    testing.synctest(body)
