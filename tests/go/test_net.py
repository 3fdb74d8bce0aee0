"""Ports of Go's tests of package net: timeout_test.go, net_test.go, conn_test.go, listen_test.go, dial_test.go and
tcpsock_test.go. A deadline is a number of seconds from now, and an error is an exception, otherwise line by line."""

import errno
import time

import pytest

from gopy import Chan, go, net, recv, runtime, select, sync
from gopy.time import Microsecond, Millisecond, Second, Ticker, Timer, sleep

NETWORKS = ["tcp", "unix"]


@pytest.fixture
def listener(tmp_path):
    """Go's newLocalListener."""
    made = []

    def listener(network="tcp"):
        ln = net.listen(network, "127.0.0.1:0" if network == "tcp" else str(tmp_path / f"s{len(made)}"))
        made.append(ln)
        return ln

    yield listener
    for ln in made:
        ln.close()


def outcome(fn, *args):
    try:
        return fn(*args)
    except OSError as exc:
        return exc


def is_closed(exc):
    return isinstance(exc, OSError) and not isinstance(exc, TimeoutError) and exc.errno == errno.EBADF


@pytest.mark.parametrize("timeout", [-5 * Second, 10 * Millisecond])
def test_accept_timeout(listener, timeout):
    """timeout_test.go, TestAcceptTimeout"""
    ln = listener()
    waiting = [net.dial("tcp", str(ln.addr))] if timeout < 0 else []  # in the past: in vain
    ln.set_deadline(timeout)
    for _ in range(2):
        assert isinstance(outcome(ln.accept), TimeoutError)
    for c in waiting:
        c.close()


def test_accept_timeout_must_return(listener):
    """timeout_test.go, TestAcceptTimeoutMustReturn"""
    ln, ch = listener(), Chan()

    def accepts():
        ln.set_deadline(None)
        ln.set_deadline(10 * Millisecond)
        ch.send(outcome(ln.accept))

    go(accepts)
    assert isinstance(ch.recv(timeout=10), TimeoutError)


def test_accept_timeout_must_not_return(listener):
    """timeout_test.go, TestAcceptTimeoutMustNotReturn"""
    ln, maxch, ch = listener(), Chan(), Chan()

    def accepts():
        ln.set_deadline(-5 * Second)
        ln.set_deadline(None)
        maxch.send(Timer(100 * Millisecond))
        ch.send(outcome(ln.accept))

    go(accepts)
    longest = maxch.recv()
    index, error, _ = select(recv(ch), recv(longest.c))
    assert index == 1, f"expected Accept to not return, but it returned with {error}"
    ln.close()
    assert is_closed(ch.recv())


@pytest.mark.parametrize("timeout", [-5 * Second, 50 * Millisecond])
def test_read_timeout(listener, timeout):
    """timeout_test.go, TestReadTimeout"""
    ln = listener()
    with net.dial("tcp", str(ln.addr)) as c, ln.accept() as peer:
        if timeout < 0:
            peer.write(b"READ TIMEOUT TEST")
        c.set_read_deadline(timeout)
        for _ in range(2):
            assert isinstance(outcome(c.read, 1), TimeoutError)


def test_read_timeout_must_not_return(listener):
    """timeout_test.go, TestReadTimeoutMustNotReturn"""
    ln, maxch, ch = listener(), Chan(), Chan()
    c = net.dial("tcp", str(ln.addr))

    def reads():
        c.set_deadline(-5 * Second)
        c.set_write_deadline(-5 * Second)
        c.set_read_deadline(None)
        maxch.send(Timer(100 * Millisecond))
        ch.send(outcome(c.read, 1))

    go(reads)
    longest = maxch.recv()
    index, error, _ = select(recv(ch), recv(longest.c))
    assert index == 1, f"expected Read to not return, but it returned with {error}"
    c.close()
    assert is_closed(ch.recv())


@pytest.mark.parametrize("timeout", [-5 * Second, 10 * Millisecond])
def test_read_from_timeout(timeout):
    """timeout_test.go, TestReadFromTimeout"""
    with net.listen_packet("udp", "127.0.0.1:0") as c1, net.listen_packet("udp", "127.0.0.1:0") as c2:
        if timeout < 0:
            c2.write_to(b"READFROM TIMEOUT TEST", c1.local_addr)
        c1.set_read_deadline(timeout)
        for _ in range(2):
            assert isinstance(outcome(c1.read_from, 1), TimeoutError)


@pytest.mark.parametrize("timeout", [-5 * Second, 10 * Millisecond])
def test_write_timeout(listener, timeout):
    """timeout_test.go, TestWriteTimeout"""
    ln = listener()
    with net.dial("tcp", str(ln.addr)) as c, ln.accept():
        c.set_write_deadline(timeout)
        for _ in range(2):
            error = None
            while not isinstance(error, OSError):
                error = outcome(c.write, b"WRITE TIMEOUT TEST" * 1000)
            assert isinstance(error, TimeoutError)


def test_write_timeout_must_not_return(listener):
    """timeout_test.go, TestWriteTimeoutMustNotReturn"""
    ln, maxch, ch = listener(), Chan(), Chan()
    c = net.dial("tcp", str(ln.addr))

    def writes():
        c.set_deadline(-5 * Second)
        c.set_read_deadline(-5 * Second)
        c.set_write_deadline(None)
        maxch.send(Timer(100 * Millisecond))
        error = None
        while not isinstance(error, OSError):
            error = outcome(c.write, bytes(65536))
        ch.send(error)

    go(writes)
    longest = maxch.recv()
    index, error, _ = select(recv(ch), recv(longest.c))
    assert index == 1, f"expected Write to not return, but it returned with {error}"
    c.close()
    assert is_closed(ch.recv())


@pytest.mark.quiet
def test_read_timeout_fluctuation(listener, machine_delay):
    """timeout_test.go, TestReadTimeoutFluctuation: no timeout comes early, and none much too late."""
    ln = listener()
    with net.dial("tcp", str(ln.addr)) as c:
        d, best = 10 * Millisecond, float("inf")
        for _ in range(20):
            t0 = time.monotonic()
            c.set_read_deadline(d)
            assert isinstance(outcome(c.read, 1), TimeoutError)
            took = time.monotonic() - t0
            assert took >= d
            best = min(best, took)
        assert best < 2 * d + machine_delay()


def test_various_deadlines(listener):
    """timeout_test.go, TestVariousDeadlines: a sender that never stops, and a receiver with ever longer deadlines."""
    ln = listener()

    def handler(c):
        try:
            while True:
                c.write(bytes(65536))
        except OSError:
            pass

    server = go(ln.serve, handler)
    for timeout in [1e-9, 5e-9, 100e-9, 500e-9, 1e-6, 5e-6, 25e-6, 250e-6, 500e-6, 1e-3, 5e-3, 0.1]:
        for _ in range(1 if timeout >= 1e-3 else 3):
            with net.dial("tcp", str(ln.addr)) as c:
                t0 = time.monotonic()
                c.set_deadline(timeout)
                n, error = 0, None
                while not isinstance(error, OSError):
                    error = outcome(c.read)
                    n += 0 if isinstance(error, OSError) else len(error)
                assert isinstance(error, TimeoutError)
                assert time.monotonic() - t0 >= timeout
    ln.close()
    server.join()


def test_read_write_prolonged_timeout(listener):
    """timeout_test.go, TestReadWriteProlongedTimeout: a deadline that is always moved on never passes."""
    ln = listener()

    def handler(c):
        wg = sync.WaitGroup()

        def moves_and(fn):
            for _ in range(200):
                c.set_deadline(20)
                c.set_read_deadline(20)
                c.set_write_deadline(20)
                if isinstance(outcome(fn), OSError):
                    break

        wg.go(moves_and, lambda: c.read(1))
        wg.go(moves_and, lambda: c.write(b"x"))
        wg.wait()

    server = go(ln.serve, handler)
    with net.dial("tcp", str(ln.addr)) as c:
        for _ in range(200):
            c.write(b"y")
            assert len(c.read(1)) == 1
    ln.close()
    server.join()


def test_read_write_deadline_race(listener):
    """timeout_test.go, TestReadWriteDeadlineRace"""
    ln, wg, n = listener(), sync.WaitGroup(), 200
    with net.dial("tcp", str(ln.addr)) as c:

        def deadlines():
            tic = Ticker(2 * Microsecond)
            for _ in range(n):
                c.set_read_deadline(2 * Microsecond)
                c.set_write_deadline(2 * Microsecond)
                tic.c.recv()
            tic.stop()

        def reads():
            for _ in range(n):
                outcome(c.read, 1)

        def writes():
            for _ in range(n):
                outcome(c.write, b"x")

        for fn in (deadlines, reads, writes):
            wg.go(fn)
        wg.wait()


def test_concurrent_set_deadline(listener):
    """timeout_test.go, TestConcurrentSetDeadline"""
    ln, wg = listener(), sync.WaitGroup()
    conns = [net.dial("tcp", str(ln.addr)) for _ in range(8)]

    def sets(c):
        for i in range(200):
            c.set_read_deadline(i * Millisecond)
            c.set_write_deadline(i * Millisecond)

    for c in conns:
        wg.go(sets, c)
    wg.wait()
    for c in conns:
        c.close()


@pytest.mark.parametrize("network", NETWORKS)
def test_close_write(listener, network):
    """net_test.go, TestCloseWrite"""
    ln, errors = listener(network), Chan(1)

    def serve():
        c = ln.accept()
        with c:
            assert c.read(1) == b""
            c.close_write()
            assert isinstance(outcome(c.write, b"x"), BrokenPipeError)
        errors.send(None)

    go(serve)
    with net.dial(network, str(ln.addr)) as c:
        c.close_write()
        assert isinstance(outcome(c.write, b"x"), BrokenPipeError)
        assert c.read(1) == b""
    assert errors.recv() is None


@pytest.mark.parametrize("network", NETWORKS)
def test_conn_close(listener, network):
    """net_test.go, TestConnClose"""
    ln = listener(network)
    c = net.dial(network, str(ln.addr))
    c.close()
    assert is_closed(outcome(c.read, 1))


@pytest.mark.parametrize("network", NETWORKS)
def test_listener_close(listener, network):
    """net_test.go, TestListenerClose"""
    ln = listener(network)
    ln.close()
    assert is_closed(outcome(ln.accept))
    for _ in range(10):
        error = outcome(net.dial, network, str(ln.addr))
        if isinstance(error, OSError):
            break
        error.close()
    assert isinstance(error, OSError)


@pytest.mark.parametrize("network", NETWORKS)
def test_packet_conn_close(tmp_path, network):
    """net_test.go, TestPacketConnClose"""
    c = net.listen_packet(
        *(("udp", "127.0.0.1:0") if network == "tcp" else ("unixgram", str(tmp_path / "d")))
    )
    c.close()
    assert is_closed(outcome(c.read_from, 1))


@pytest.mark.parametrize("network", NETWORKS)
def test_zero_byte_read(listener, network):
    """net_test.go, TestZeroByteRead"""
    ln = listener(network)
    with net.dial(network, str(ln.addr)) as c, ln.accept() as s:
        assert c.read(0) == b""
        s.close()
        assert c.read(0) == b""


@pytest.mark.parametrize("network", NETWORKS)
def test_read_timeout_unblocks_read(listener, network):
    """net_test.go, TestReadTimeoutUnblocksRead"""
    ln = listener(network)
    with net.dial(network, str(ln.addr)) as c, ln.accept():
        go(lambda: (sleep(20 * Millisecond), c.set_read_deadline(-1)))
        assert isinstance(outcome(c.read, 1), TimeoutError)


@pytest.mark.parametrize("network", NETWORKS)
def test_close_unblocks_read(listener, network):
    """net_test.go, TestCloseUnblocksRead"""
    ln = listener(network)
    with net.dial(network, str(ln.addr)) as c, ln.accept():
        go(lambda: (sleep(20 * Millisecond), c.close()))
        assert is_closed(outcome(c.read, 1))


def test_close_unblocks_read_udp():
    """net_test.go, TestCloseUnblocksReadUDP"""
    c = net.listen_packet("udp", "127.0.0.1:0")
    c.write_to(b"foo", c.local_addr)
    assert c.read_from() == (b"foo", c.local_addr)
    go(lambda: (sleep(20 * Millisecond), c.close()))
    assert is_closed(outcome(c.read_from))


def test_not_temporary_read(listener):
    """net_test.go, TestNotTemporaryRead: a reset is a reset."""
    ln = listener()
    with net.dial("tcp", str(ln.addr)) as c:
        s = ln.accept()
        s.set_linger(0)
        s.close()
        assert isinstance(outcome(c.read, 1), ConnectionResetError)


@pytest.mark.parametrize("network", NETWORKS)
def test_conn_and_listener(listener, network):
    """conn_test.go, TestConnAndListener"""
    ln = listener(network)
    assert ln.addr
    server = go(ln.serve, lambda c: c.write(c.read()))
    with net.dial(network, str(ln.addr)) as c:
        assert c.remote_addr == ln.addr
        c.set_deadline(5)
        c.set_read_deadline(5)
        c.set_write_deadline(5)
        assert c.write(b"CONN AND LISTENER TEST") == 22
        assert c.read() == b"CONN AND LISTENER TEST"
    ln.close()
    server.join()


def test_closing_listener(listener):
    """listen_test.go, TestClosingListener: the address can be had again at once."""
    ln = listener()
    accepting = go(lambda: outcome(ln.accept))
    while accepting.state != "IO wait":
        sleep(Millisecond)
    ln.close()
    if not runtime.stats()["gil"]:  # it may be in a system call yet
        accepting.join()
    again = net.listen("tcp", str(ln.addr))
    again.close()
    accepting.join()


def test_dial_timeout_max_duration(listener):
    """timeout_test.go, TestDialTimeoutMaxDuration: a timeout beyond the clock."""
    ln = listener()
    net.dial("tcp", str(ln.addr), timeout=2.0**63).close()


@pytest.mark.parametrize("address", ["", "127.0.0.1", "::1", "[::1]", ":::80", "127.0.0.1:100000"])
def test_prohibitionary_dial_arg(address):
    """dial_test.go, TestProhibitionaryDialArg"""
    with pytest.raises(ValueError):
        net.dial("tcp", address)


def test_dial_local(listener):
    """dial_test.go, TestDialLocal: no host means this one."""
    ln = listener()
    net.dial("tcp", f":{ln.addr.port}").close()


def test_tcp_concurrent_accept(listener):
    """tcpsock_test.go, TestTCPConcurrentAccept"""
    ln, wg = listener(), sync.WaitGroup()

    def accepts():
        for c in ln:
            c.close()

    for _ in range(10):
        wg.go(accepts)
    for _ in range(50):
        net.dial("tcp", str(ln.addr), timeout=5).close()
    ln.close()
    wg.wait()


def test_tcp_stress(listener):
    """tcpsock_test.go, TestTCPStress: two connections at a time, 512-byte messages back and forth."""
    conns, msgs = 2, 200
    ln, done = listener(), Chan()

    def echoes(c):
        for _ in range(msgs):
            c.write(c.read_full(512))

    server = go(ln.serve, echoes)

    def client():
        with net.dial("tcp", str(ln.addr)) as c:
            for i in range(msgs):
                message = bytes([i % 256]) * 512
                c.write(message)
                assert c.read_full(512) == message
        done.send(True)

    for _ in range(conns):
        go(client)
    for _ in range(conns):
        assert done.recv(timeout=30)
    ln.close()
    server.join()


def test_tcp_big(listener):
    """tcpsock_test.go, TestTCPBig, with 100 MB less than Go's."""
    ln, size = listener(), 30 << 20
    with net.dial("tcp", str(ln.addr)) as c, ln.accept() as s:
        go(lambda: (s.write(bytes(size)), s.close()))
        got = 0
        while data := c.read(1 << 20):
            got += len(data)
        assert got == size
