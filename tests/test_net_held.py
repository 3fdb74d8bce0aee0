"""Package net: whatever touches a descriptor holds it, and the number of one that is closed is left alone."""

import asyncio
import errno
import fcntl
import os
import select
import socket
import ssl
from contextlib import suppress

import pytest

from gopy import _core, go, net
from gopy.net._tls import TLSConn

KINDS = [net.Conn, TLSConn, net.Listener, net.PacketConn]


@pytest.fixture
def made(request):
    """made(kind): a socket of the package, of which nothing has been asked."""
    opened = []

    def keep(*each):
        opened.extend(each)
        return each[0]

    def made(kind):
        if kind is net.PacketConn:
            return keep(net.listen_packet("udp", "127.0.0.1:0"))
        listener = keep(net.listen("tcp", "127.0.0.1:0"))
        if kind is net.Listener:
            return listener
        conn = keep(net.dial("tcp", str(listener.addr)))
        peer = keep(listener.accept())
        if kind is net.Conn:
            return conn
        certificates = request.getfixturevalue("certificates")
        shaking = go(lambda: keep(peer.start_tls(certificates.context(server_side=True), server_side=True)))
        conn = keep(conn.start_tls(certificates.context(), server_hostname="localhost"))
        shaking.join()
        return conn

    yield made
    for each in reversed(opened):
        each.close()


class Stranger:
    """A socket of somebody else's that has got a number, with something in it that is not to be touched."""

    def __init__(self, kind, number):
        self.number = number
        os.dup2(0, number)  # before something else gets it
        self.other = socket.socket(type=socket.SOCK_DGRAM if kind is net.PacketConn else socket.SOCK_STREAM)
        if kind is net.PacketConn:
            sock = socket.socket(type=socket.SOCK_DGRAM)
            sock.bind(("127.0.0.1", 0))
            self.other.connect(sock.getsockname())
            sock.connect(self.other.getsockname())
            self.other.send(b"untouched")
        else:
            sock = socket.create_server(("127.0.0.1", 0))
            self.other.connect(sock.getsockname())
            self.other.sendall(b"untouched")
            if kind is not net.Listener:
                listener, (sock, _) = sock, sock.accept()
                listener.close()
        sock.setblocking(False)
        self.other.setblocking(False)
        os.dup2(sock.fileno(), number)
        sock.close()
        self.sock = socket.socket(fileno=number)
        self.before = self.state()

    def state(self):
        return (
            os.fstat(self.number).st_ino,
            fcntl.fcntl(self.number, fcntl.F_GETFL),
            fcntl.fcntl(self.number, fcntl.F_GETFD),
            self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8),
            self.sock.getsockname(),
        )

    def assert_untouched(self):
        assert self.state() == self.before
        with pytest.raises(BlockingIOError):  # neither data nor the end
            self.other.recv(1)
        select.select([self.sock], [], [], 30)  # a busy kernel delivers later
        if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            conn, _ = self.sock.accept()
            self.sock.close()
            self.sock = conn
        assert self.sock.recv(100) == b"untouched"
        self.sock.send(b"goes on")

    def close(self):
        self.sock.close()
        self.other.close()


EBADF = object()  # OSError with this errno
KEPT = object()  # what it was before
ANY = object()


def awaited(fn, *args):
    async def main():
        return await fn(*args)

    return asyncio.run(main())


async def listed(connections):
    return [each async for each in connections]


DEADLINES = {
    "set_deadline": (lambda x: x.set_deadline(1), EBADF),
    "set_read_deadline": (lambda x: x.set_read_deadline(None), EBADF),
    "set_write_deadline": (lambda x: x.set_write_deadline(0), EBADF),
}
ALL = {
    "close": (lambda x: x.close(), None),
    "closed": (lambda x: x.closed, True),
    "control": (lambda x: x.control(os.close), EBADF),
    "fileno": (lambda x: x.fileno(), EBADF),
    "__repr__": (lambda x: "closed" in repr(x), True),
    "__enter__": (lambda x: x.__enter__() is x, True),
    "__exit__": (lambda x: x.__exit__(None, None, None), None),
}
CONN = {
    **ALL,
    **DEADLINES,
    "aaccept": (lambda x: awaited(x.aaccept, _core.NetFD), EBADF),
    "accept": (lambda x: x.accept(_core.NetFD), EBADF),
    "aclose": (lambda x: awaited(x.aclose), None),
    "aclose_write": (lambda x: awaited(x.aclose_write), EBADF),
    "aread": (lambda x: awaited(x.aread), EBADF),
    "aread_full": (lambda x: awaited(x.aread_full, 1), EBADF),
    "aread_into": (lambda x: awaited(x.aread_into, bytearray(1)), EBADF),
    "aretry": (lambda x: awaited(x.aretry, os.close, True, 0), EBADF),
    "astart_tls": (
        lambda x: awaited(lambda: x.astart_tls(ssl.create_default_context(), server_hostname="h")),
        EBADF,
    ),
    "awrite": (lambda x: awaited(x.awrite, b"x"), EBADF),
    "close_write": (lambda x: x.close_write(), EBADF),
    "local_addr": (lambda x: x.local_addr, KEPT),
    "makefile": (lambda x: x.makefile(), EBADF),
    "read": (lambda x: x.read(), EBADF),
    "read_full": (lambda x: x.read_full(1), EBADF),
    "read_into": (lambda x: x.read_into(bytearray(1)), EBADF),
    "remote_addr": (lambda x: x.remote_addr, KEPT),
    "retry": (lambda x: x.retry(os.close, True, 0), EBADF),
    "set_linger": (lambda x: x.set_linger(0), EBADF),
    "start_tls": (lambda x: x.start_tls(ssl.create_default_context(), server_hostname="h"), EBADF),
    "write": (lambda x: x.write(b"x"), EBADF),
}
CALLS = {
    net.Conn: CONN,
    TLSConn: {
        **CONN,
        "ahandshake": (lambda x: awaited(x.ahandshake), None),  # that has been made
        "handshake": (lambda x: x.handshake(), None),
        "ssl_object": (lambda x: x.ssl_object, ANY),
    },
    net.Listener: {
        **ALL,
        "__aiter__": (lambda x: awaited(listed, x), []),
        "__iter__": (list, []),
        "aaccept": (lambda x: awaited(x.aaccept), EBADF),
        "accept": (lambda x: x.accept(), EBADF),
        "addr": (lambda x: x.addr, KEPT),
        "serve": (lambda x: x.serve(print), None),
        "set_deadline": (lambda x: x.set_deadline(1), EBADF),
    },
    net.PacketConn: {
        **ALL,
        **DEADLINES,
        "aread_from": (lambda x: awaited(x.aread_from), EBADF),
        "awrite_to": (lambda x: awaited(x.awrite_to, b"x", ("127.0.0.1", 9)), EBADF),
        "local_addr": (lambda x: x.local_addr, KEPT),
        "read_from": (lambda x: x.read_from(), EBADF),
        "write_to": (lambda x: x.write_to(b"x", ("127.0.0.1", 9)), EBADF),
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_call_is_looked_at(kind):
    public = {name for name in dir(kind) if not name.startswith("_")}
    assert public == {name for name in CALLS[kind] if not name.startswith("_")}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in CALLS[kind]])
def test_a_closed_one_leaves_its_number_alone(made, kind, name):
    each = made(kind)
    call, expected = CALLS[kind][name]
    if expected is KEPT:
        expected = call(each)
    number = each.fileno()
    each.close()
    stranger = Stranger(kind, number)
    try:
        if expected is EBADF:
            with pytest.raises(OSError) as caught:
                call(each)
            assert caught.value.errno == errno.EBADF
        else:
            found = call(each)
            assert expected is ANY or found == expected
        stranger.assert_untouched()
    finally:
        stranger.close()


def test_nothing_is_read_of_a_closed_one(made):
    conn = made(net.Conn)
    assert (conn.read(0), conn.read_full(0), conn.read_into(bytearray()), conn.write(b"")) == (b"", b"", 0, 0)
    assert (awaited(conn.aread, 0), awaited(conn.aread_full, 0)) == (b"", b"")
    assert awaited(conn.aread_into, bytearray()) == 0
    conn.close()
    for call in (
        lambda: conn.read(0),
        lambda: conn.read_full(0),
        lambda: conn.read_into(bytearray()),
        lambda: conn.write(b""),
        lambda: awaited(conn.aread, 0),
        lambda: awaited(conn.aread_full, 0),
        lambda: awaited(conn.aread_into, bytearray()),
        lambda: awaited(conn.awrite, b""),
    ):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.EBADF


def test_addresses_that_nobody_has_asked_for():
    with net.listen("tcp", "127.0.0.1:0") as listener:
        conn = net.dial("tcp", str(listener.addr))
        accepted = listener.accept()
    expected = {conn: (None, listener.addr), accepted: (None, conn.control(name_of))}
    for each, addresses in expected.items():
        number = each.fileno()
        each.close()
        stranger = Stranger(net.Conn, number)
        try:
            assert (each.local_addr, each.remote_addr) == addresses
        finally:
            stranger.close()


def name_of(fd):
    with socket.socket(fileno=os.dup(fd)) as copy:
        return copy.getsockname()


# A close in the midst of a call


def is_open(number):
    with suppress(OSError):
        os.fstat(number)
        return True
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_control_keeps_the_number_from_others(made, kind):
    each = made(kind)

    def close_in_the_midst(fd):
        what = os.fstat(fd)
        closing = go(each.close)
        closing.join()
        assert each.closed
        with socket.socket() as other:  # gets the lowest number that is free
            assert other.fileno() != fd
        assert os.path.samestat(os.fstat(fd), what)
        return fd

    number = each.control(close_in_the_midst)
    assert not is_open(number)


def test_control_returns_and_raises_as_its_function(made):
    conn = made(net.Conn)
    assert conn.control(lambda fd: (fd, "x")) == (conn.fileno(), "x")
    with pytest.raises(ZeroDivisionError):
        conn.control(lambda fd: 1 // 0)
    number = conn.fileno()
    conn.close()
    assert not is_open(number)  # nobody holds it any more
    with pytest.raises(TypeError, match="`fn` must be callable, got int"):
        conn.control(1)


@pytest.mark.parametrize(
    ("call", "inside"),
    [
        (lambda conn: conn.close_write(), "shutdown"),
        (lambda conn: conn.set_linger(0), "setsockopt"),
        (lambda conn: conn.local_addr, "getsockname"),
    ],
)
def test_a_close_in_the_midst_of_a_call(made, monkeypatch, call, inside):
    conn = made(net.Conn)
    number = conn.fileno()
    real = getattr(socket.socket, inside)
    seen = []

    def close_first(sock, *args):
        if sock.fileno() == number and not seen:
            conn.close()
            with socket.socket() as other:
                seen.append(other.fileno())
        return real(sock, *args)

    monkeypatch.setattr(socket.socket, inside, close_first, raising=False)
    call(conn)
    assert seen
    assert seen[0] != number
    assert not is_open(number)


# Under load

CROWD = """
import sys, threading
import time as pytime
from collections import deque
from gopy import go, net, time

sys.setswitchinterval(1e-5)
ln = net.listen("tcp", "127.0.0.1:0")
end = pytime.monotonic() + 2
broken, visits = [], [0] * 4
doomed = deque()  # connections that nobody but the meddler needs any more
victim = None

def echo(conn):
    while data := conn.read():
        conn.write(data)

def over():
    return pytime.monotonic() >= end and min(visits) > 0

def visit(i):
    while not over():
        try:
            conn = net.dial("tcp", str(ln.addr), timeout=20)
            conn.set_deadline(20)
            conn.write(b"x" * 8)
            if conn.read_full(8) != b"x" * 8:
                broken.append("other bytes")
        except (OSError, EOFError) as exc:
            broken.append(repr(exc))
        visits[i] += 1
        doomed.append(conn)
        while victim is not conn and not over():
            time.sleep(0.0001)
        conn.close()

def meddle():
    global victim
    while not over():
        if doomed:
            victim = conn = doomed.popleft()
            while not conn.closed:
                try:
                    conn.close_write()
                except OSError:
                    pass
        else:
            pytime.sleep(0.0001)

serving = go(lambda: ln.serve(echo))
meddler = threading.Thread(target=meddle)
meddler.start()
visitors = [go(visit, i) for i in range(4)]
for each in visitors:
    each.join()
meddler.join()
ln.close()
serving.join()
print(broken)
"""


@pytest.mark.slow
@pytest.mark.parametrize("gomaxprocs", [1, 2, 8])
def test_stress_close_write_beside_a_close(run_program, gomaxprocs):
    """Connections whose numbers are those of others that were closed in the midst of a call are not cut off."""
    done = run_program(CROWD, env={"GOMAXPROCS": str(gomaxprocs)}, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
