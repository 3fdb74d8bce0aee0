"""Package net: connections, listeners, datagrams, addresses, and the faults that must not spread."""

import errno
import io
import logging
import os
import resource
import socket
import threading
import time
from contextlib import suppress

import pytest

import gopy
import gopy.time
from gopy import Chan, go, net, runtime

HAS_IPV6 = False
if socket.has_ipv6:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        HAS_IPV6 = True
    except OSError:
        pass
needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 here")
POLL = os.environ.get("GOPY_NETPOLLER") == "poll"
NETWORKS = ["tcp", "tcp4", pytest.param("tcp6", marks=needs_ipv6), "unix"]


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def no_descriptor_leaks(until):
    with pytest.raises(TimeoutError):
        runtime.wait_read(_ever_silent[0], timeout=0)
    go(runtime.wait_read, _ever_silent[0], 0.001).join()  # the poller is made now if it was not
    before = descriptors()
    yield
    until(lambda: descriptors() <= before, 5)


_ever_silent = os.pipe()


@pytest.fixture(autouse=True)
def _panics_are_expected_of_nobody():
    was = runtime.set_panic_handler(_timeout_in_a_helper)
    yield
    runtime.set_panic_handler(was)


def _timeout_in_a_helper(goroutine, exc):
    return isinstance(exc, TimeoutError) and goroutine.name == "wait_read"


@pytest.fixture
def address(tmp_path):
    """address(network): one to listen at."""

    def address(network):
        return {"unix": str(tmp_path / "sock"), "tcp6": "[::1]:0"}.get(network, "127.0.0.1:0")

    return address


@pytest.fixture
def pair(address):
    """pair(network="tcp"): two ends of a connection."""
    made = []

    def pair(network="tcp"):
        with net.listen(network, address(network)) as ln:
            a = net.dial(network, str(ln.addr))
            b = ln.accept()
        made.extend((a, b))
        return a, b

    yield pair
    for conn in made:
        conn.close()


@pytest.fixture
def server():
    """server(handler, **options): the listener that a goroutine serves until the end of the test."""
    made = []

    def server(handler, network="tcp", address="127.0.0.1:0", limit=None, **options):
        ln = net.listen(network, address, **options)
        made.append((ln, go(lambda: ln.serve(handler, limit=limit))))
        return ln

    yield server
    for ln, goroutine in made:
        ln.close()
        goroutine.join(timeout=10)


def echo(conn):
    while data := conn.read():
        conn.write(data)


def raises_ebadf(fn, *args):
    with pytest.raises(OSError) as caught:
        fn(*args)
    return caught.value.errno == errno.EBADF


# Connections


@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_written_is_read(pair, network):
    a, b = pair(network)
    assert a.write(b"hello") == 5
    assert b.read() == b"hello"
    assert b.write(memoryview(b"world!")[:5]) == 5
    assert a.read(3) == b"wor"
    assert a.read(n=100) == b"ld"
    assert a.write(bytearray(b"")) == 0
    assert a.read(0) == b""
    a.close()
    assert b.read() == b""
    assert b.read() == b""


def test_read_sizes(pair):
    a, b = pair()
    for size in (1, 16383, 16384, 16385, 65536, 200000):
        data = os.urandom(size)
        writer = go(a.write, data)
        got = b""
        while len(got) < size:
            some = b.read(size)
            assert 0 < len(some) <= size
            got += some
        assert got == data
        writer.join()
    a.write(b"x" * 100)
    assert b.read_full(30) == b"x" * 30
    buffer = bytearray(50)
    assert b.read_into(buffer) == 50
    assert b.read_into(memoryview(buffer)[:7]) == 7
    assert b.read_into(bytearray()) == 0
    assert b.read_full(13) == b"x" * 13
    assert b.read_full(0) == b""


def test_read_full_of_what_ends_first(pair):
    a, b = pair()
    a.write(b"abc")
    a.close()
    with pytest.raises(EOFError, match="after 3 of 10 bytes"):
        b.read_full(10)


def test_a_large_write_is_finished_across_parks(pair, until):
    a, b = pair()
    data = os.urandom(20_000_000)
    result = Chan(1)
    writer = go(lambda: result.send(a.write(data)))
    until(lambda: writer.state == "IO wait")
    assert b.read_full(len(data)) == data
    assert result.recv() == len(data)
    writer.join()


def test_writers_take_turns(pair):
    """Each write is in one piece, however many write at once and however often each parks."""
    a, b = pair()
    size, n = 300_000, 8
    writers = [go(a.write, bytes([i]) * size) for i in range(n)]
    seen = [b.read_full(size) for _ in range(n)]
    assert sorted(seen) == [bytes([i]) * size for i in range(n)]
    for writer in writers:
        writer.join()


def test_readers_take_turns_in_the_order_in_which_they_came(pair, until):
    a, b = pair()
    got = Chan(5)

    def reader(i):
        got.send((i, b.read(1)))

    readers = []
    for i in range(5):
        readers.append(go(reader, i))
        until(lambda: readers[-1].state == "IO wait")
    for i in range(5):
        a.write(bytes([65 + i]))
        assert got.recv() == (i, bytes([65 + i]))
    for g in readers:
        g.join()


def test_one_reads_while_another_writes(pair):
    a, b = pair()
    data = os.urandom(3_000_000)
    got = Chan(2)
    for end in (a, b):
        go(end.write, data)
        go(lambda end=end: got.send(end.read_full(len(data))))
    assert got.recv() == data
    assert got.recv() == data


@pytest.mark.parametrize("network", ["tcp", "unix"])
def test_close_write(pair, network):
    a, b = pair(network)
    a.write(b"question")
    a.close_write()
    assert b.read_full(8) == b"question"
    assert b.read() == b""
    b.write(b"answer")
    assert a.read_full(6) == b"answer"
    with pytest.raises(BrokenPipeError):
        a.write(b"more")


@pytest.mark.parametrize("network", ["tcp", "unix"])
def test_close_wakes_whoever_is_parked(pair, until, network):
    a, b = pair(network)
    failed = Chan(3)

    def reads():
        failed.send(raises_ebadf(a.read))

    def writes():
        failed.send(raises_ebadf(a.write, bytes(50_000_000)))

    parked = [go(reads), go(reads), go(writes)]
    until(lambda: all(g.state == "IO wait" for g in parked))
    before = descriptors()
    a.close()
    if not runtime.stats()["gil"]:  # one that an event has just woken for nothing may be in a system call yet
        until(lambda: descriptors() < before)
    assert descriptors() == before - 1  # at once, not when they have noticed
    for g in parked:
        assert failed.recv() is True
        g.join()
    while b.read():  # what was written is still delivered
        pass


def test_a_closed_connection(pair):
    a, _b = pair()
    addr = a.local_addr
    assert not a.closed
    a.close()
    a.close()
    assert a.closed
    assert a.local_addr == addr
    for fn, args in [
        (a.read, ()),
        (a.read_into, (bytearray(1),)),
        (a.read_full, (1,)),
        (a.write, (b"x",)),
        (a.fileno, ()),
        (a.close_write, ()),
        (a.set_deadline, (1,)),
        (a.set_read_deadline, (None,)),
    ]:
        assert raises_ebadf(fn, *args)
    assert "closed" in repr(a)


def test_a_connection_that_nobody_refers_to_is_closed(pair):
    with net.listen("tcp", "127.0.0.1:0") as ln:
        a = net.dial("tcp", str(ln.addr))
        b = ln.accept()
        del a
        assert b.read() == b""
        b.close()


def test_with_closes(pair):
    a, b = pair()
    with a as same:
        assert same is a
    assert a.closed and b.read() == b""


def test_bad_arguments(pair):
    a, _ = pair()
    for fn, args, kind, text in [
        (a.read, ("1",), TypeError, "`n` must be an int, got str"),
        (a.read, (-1,), ValueError, "`n` must be between 0 and"),
        (a.read, (10**30,), ValueError, "`n` must be"),
        (a.read, (1, 2), TypeError, "at most 1"),
        (a.read_full, (None,), TypeError, "`n` must be an int, got NoneType"),
        (a.read_into, (b"x",), TypeError, "`buffer` must be a writable buffer, got bytes"),
        (a.read_into, (5,), TypeError, "`buffer` must be a writable buffer, got int"),
        (a.write, ("text",), TypeError, "`data` must be bytes-like, got str"),
        (a.set_deadline, ("1",), TypeError, "seconds_from_now"),
        (a.set_deadline, (float("nan"),), ValueError, "nan"),
        (a.makefile, ("x",), ValueError, "`mode`"),
        (a.makefile, ("b",), ValueError, "`mode`"),
        (a.makefile, (1,), TypeError, "`mode`"),
        (a.start_tls, (1,), TypeError, "`context` must be an ssl.SSLContext"),
    ]:
        with pytest.raises(kind, match=text):
            fn(*args)
    with pytest.raises(TypeError):
        a.read(size=1)


# Deadlines


def test_a_read_deadline(pair):
    a, b = pair()
    before = time.monotonic()
    a.set_read_deadline(0.03)
    with pytest.raises(TimeoutError):
        a.read()
    assert time.monotonic() - before >= 0.03
    b.write(b"late")
    with pytest.raises(TimeoutError):  # it stays passed
        a.read()
    a.write(b"x")  # of the other side it says nothing
    a.set_read_deadline(None)
    assert a.read() == b"late"


def test_a_write_deadline(pair):
    a, b = pair()
    a.set_write_deadline(0.03)
    with pytest.raises(TimeoutError):
        a.write(bytes(50_000_000))
    a.close()
    while b.read(1 << 20):
        pass


@pytest.mark.parametrize("past", [0, -1, -1e300])
def test_a_deadline_in_the_past_ends_what_is_parked(pair, until, past):
    a, _b = pair()
    ended = Chan(1)

    def reads():
        with pytest.raises(TimeoutError):
            a.read()
        ended.send(True)

    g = go(reads)
    until(lambda: g.state == "IO wait")
    a.set_deadline(past)
    assert ended.recv(timeout=10)
    with pytest.raises(TimeoutError):
        a.write(b"x")


def test_a_deadline_is_moved_while_parked(pair, until):
    a, b = pair()
    took = Chan(1)

    def reads():
        before = time.monotonic()
        try:
            a.read()
        except TimeoutError:
            took.send(time.monotonic() - before)
        else:
            took.send(None)

    def parked(first, moved):  # a reader that had parked before the first deadline passed
        while True:
            a.set_read_deadline(first)
            g = go(reads)
            for deadline in (moved, moved):
                until(lambda: g.state in ("IO wait", "dead"))
                a.set_read_deadline(deadline)
            if g.state != "dead":
                return g
            took.recv()

    parked(0.05, 0.15)
    assert took.recv() > 0.1
    a.set_read_deadline(60)
    g = go(reads)
    until(lambda: g.state == "IO wait")
    a.set_read_deadline(0.02)
    assert took.recv() < 10
    g = parked(0.02, None)
    gopy.time.sleep(0.03)
    assert g.state != "dead"
    b.write(b"x")
    assert took.recv() is None


def test_data_that_arrives_as_the_deadline_passes_is_not_lost(pair):
    a, b = pair()
    got = 0
    for i in range(200):
        g = go(lambda i=i: (gopy.time.sleep(0.0005), b.write(b"x")))
        a.set_read_deadline(0.0005 + (i % 20) * 1e-5)
        try:
            got += len(a.read())
        except TimeoutError:
            pass
        g.join()
    a.set_read_deadline(None)
    b.close()
    while data := a.read():
        got += len(data)
    assert got == 200


# Faults


def reset(conn):
    conn.set_linger(0)
    conn.close()


def test_a_reset_peer(pair, until):
    a, b = pair()
    failed = Chan(1)

    def reads():
        with pytest.raises(ConnectionResetError):
            a.read()
        failed.send(True)

    g = go(reads)
    until(lambda: g.state == "IO wait")
    reset(b)
    assert failed.recv(timeout=10)
    with pytest.raises(OSError):
        for _ in range(10):
            a.write(b"x")


def test_writing_to_a_peer_that_is_gone_raises_no_signal(pair):
    a, b = pair()
    b.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for _ in range(100):
            a.write(bytes(1000))
            gopy.time.sleep(0.001)


def test_one_fault_does_not_touch_the_others(server, monkeypatch):
    """Resets, half-open connections and slow readers beside a client that just wants its answers."""
    ln = server(echo)
    addr = str(ln.addr)
    stop = []

    def resets():
        while not stop:
            conn = net.dial("tcp", addr)
            conn.write(b"x")
            reset(conn)
            gopy.time.sleep(0.002)  # even on a busy machine they are accepted as fast: or SYNs are dropped

    def slow():
        with net.dial("tcp", addr) as conn:
            conn.set_write_deadline(0.1)
            try:
                conn.write(bytes(20_000_000))
            except TimeoutError:
                pass
            while not stop:
                conn.set_read_deadline(0.1)  # on a busy machine nothing may have been written in time
                try:
                    conn.read(1)
                except TimeoutError:
                    pass
                gopy.time.sleep(0.01)

    monkeypatch.setattr(logging.getLogger("gopy.net"), "disabled", True)
    silent = [net.dial("tcp", addr) for _ in range(20)]
    faulty = [go(resets), go(resets), go(slow), go(slow)]
    with net.dial("tcp", addr) as conn:
        for i in range(300):
            message = str(i).encode()
            conn.write(message)
            assert conn.read_full(len(message)) == message
    stop.append(True)
    for g in faulty:
        g.join()
    for conn in silent:
        conn.close()


def test_no_descriptors_left(caplog, server, until):
    """accept() waits until there are some again, and says so once."""
    ln = server(echo)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    conns = [net.dial("tcp", str(ln.addr))]
    conns[0].write(b"x")
    assert conns[0].read() == b"x"
    raw = socket.socket()
    highest = max(int(fd) for fd in os.listdir("/proc/self/fd"))
    filler = []
    with caplog.at_level(logging.WARNING, "gopy.net"):
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        try:
            try:
                while True:
                    filler.append(os.dup(0))
            except OSError:
                pass
            raw.connect(ln.addr)
            until(lambda: caplog.records)
            gopy.time.sleep(0.05)  # and it tries again
            conns[0].write(b"y")  # the others do not notice
            assert conns[0].read() == b"y"
            (told,) = caplog.records
            assert "Too many open files" in told.getMessage()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in filler:
                os.close(fd)
    raw.sendall(b"z")
    runtime.wait_read(raw, timeout=10)
    assert raw.recv(1) == b"z"
    raw.close()
    conns[0].close()


CLIENT = """
import socket, sys
conns = []
for _ in range(int(sys.argv[2])):
    conns.append(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
print("there", flush=True)
sys.stdin.readline()
for c in conns[::100]:
    c.sendall(b"x")
    assert c.recv(1) == b"x"
print("done", flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
@pytest.mark.skipif(POLL, reason="poll(2) looks at them all, each time")
def test_ten_thousand_idle_connections(run_program):
    """They cost no CPU time, and little memory. The clients are in a process of their own."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    n = 10_000 if hard == resource.RLIM_INFINITY or hard > 12_000 else 500
    result = run_program(
        """
        import os, resource, subprocess, sys
        n = int(sys.argv[1])
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, n + 1000) if hard > 0 else n + 1000, hard))
        from gopy import Chan, go, net, runtime
        import gopy.time
        ln = net.listen("tcp", "127.0.0.1:0", backlog=4096)
        def rss():
            return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
        def used():
            u = resource.getrusage(resource.RUSAGE_SELF)
            return u.ru_utime + u.ru_stime
        def handle(conn):
            while data := conn.read():
                conn.write(data)
        go(ln.serve, handle)
        client = sys.argv[2]
        before = rss()
        p = subprocess.Popen([sys.executable, "-c", client, str(ln.addr.port), str(n)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        runtime.wait_read(p.stdout)
        assert p.stdout.readline() == b"there\\n"
        while runtime.num_goroutine() < n + 2 or runtime.stats()["parked"] < n:
            gopy.time.sleep(0.01)
        each = (rss() - before) / n
        spent = []
        for _ in range(4):  # what has just started may still have to come to rest
            was = used()
            gopy.time.sleep(0.3)
            spent.append(used() - was)
        p.stdin.write(b"\\n"); p.stdin.flush()
        runtime.wait_read(p.stdout)
        assert p.stdout.readline() == b"done\\n"
        p.stdin.write(b"\\n"); p.stdin.flush()
        p.wait()
        print(f"{each / 1024:.1f} KB each, {min(spent) * 1e3:.0f} ms in 0.3 s")
        assert min(spent) < 0.03 * 0.3, spent
        assert n < 10000 or each < 14 * 1024, each
        """,
        n,
        CLIENT,
        env={"GOPY_PANIC": "print"},
        timeout=60,
    )
    assert result.returncode == 0, result.stderr + result.stdout


def test_a_program_that_ends_with_open_connections(run_program):
    result = run_program(
        """
        from gopy import go, net
        ln = net.listen("tcp", "127.0.0.1:0")
        go(ln.serve, lambda conn: conn.read())
        conn = net.dial("tcp", str(ln.addr))
        go(conn.read)
        print("over")
        """
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "over\n", "")


def test_a_server_killed_in_the_middle(start_program):
    program = start_program(
        """
        from gopy import net
        ln = net.listen("tcp", "127.0.0.1:0")
        print(ln.addr, flush=True)
        def handle(conn):
            conn.read()
            conn.write(bytes(10_000_000))
        ln.serve(handle)
        """
    )
    program.wait_for(lambda: program.stdout.endswith("\n"))
    with net.dial("tcp", program.stdout.strip()) as conn:
        conn.write(b"x")
        conn.read_full(1000)
        program.kill()
        with pytest.raises((OSError, EOFError)):
            conn.read_full(10_000_000)
    program.finish()


# Listeners


def test_accept_and_iteration_end_when_it_is_closed(until):
    ln = net.listen("tcp", "127.0.0.1:0")
    ended = Chan(2)

    def accepts():
        ended.send(raises_ebadf(ln.accept))

    def iterates():
        for conn in ln:
            conn.close()
        ended.send(True)

    parked = [go(accepts), go(iterates)]
    until(lambda: all(g.state == "IO wait" for g in parked))
    ln.close()
    ln.close()
    assert ended.recv() and ended.recv()
    for g in parked:
        g.join()
    assert list(ln) == []
    assert raises_ebadf(ln.accept)
    assert ln.serve(echo) is None

    def free():
        with suppress(OSError):
            return net.listen("tcp", str(ln.addr)).close() is None

    until(free, 10 if POLL else 0)  # at once; yet a thread in poll(2) with it keeps the kernel listening


def test_serve_logs_what_a_handler_raises_and_closes(server, caplog):
    calls = []

    def handler(conn):
        calls.append(conn)
        if conn.read() == b"bad":
            raise ValueError("handler's own")
        conn.write(b"good")

    with caplog.at_level(logging.ERROR, "gopy.net"):
        ln = server(handler)
        for message, answer in [(b"bad", b""), (b"good", b"good"), (b"bad", b"")]:
            with net.dial("tcp", str(ln.addr)) as conn:
                conn.write(message)
                assert conn.read() == answer
                assert conn.read() == b""
    assert len(caplog.records) == 2
    assert "handler's own" in caplog.text
    assert all(conn.closed for conn in calls)


def test_serve_with_a_limit(server, until):
    running, most, gate = [], [], Chan()

    def handler(conn):
        running.append(conn)
        most.append(len(running))
        gate.recv()
        running.remove(conn)
        conn.write(b"done")

    ln = server(handler, limit=3)
    conns = [net.dial("tcp", str(ln.addr)) for _ in range(8)]
    until(lambda: len(running) == 3)
    gopy.time.sleep(0.02)
    assert len(running) == 3
    gate.close()
    for conn in conns:
        assert conn.read() == b"done"
        conn.close()
    assert max(most) <= 3 and len(most) == 8


def test_serve_with_a_coroutine_function(server):
    async def handler(conn):
        await runtime.await_read(conn)
        conn.write(conn.read())

    ln = server(handler)
    with net.dial("tcp", str(ln.addr)) as conn:
        conn.write(b"hello")
        assert conn.read() == b"hello"


def test_serve_bad_arguments():
    with net.listen("tcp", "127.0.0.1:0") as ln:
        for kwargs, kind in [
            ({"limit": "1"}, TypeError),
            ({"limit": 0}, ValueError),
            ({"limit": 1.5}, TypeError),
        ]:
            with pytest.raises(kind, match="`limit`"):
                ln.serve(echo, **kwargs)
        with pytest.raises(TypeError, match="`handler`"):
            ln.serve(None)


def test_accept_with_a_deadline():
    with net.listen("tcp", "127.0.0.1:0") as ln:
        ln.set_deadline(0.01)
        with pytest.raises(TimeoutError):
            ln.accept()
        ln.set_deadline(None)
        a = net.dial("tcp", str(ln.addr))
        ln.accept().close()
        a.close()


def test_several_accept_at_once(server):
    """As many goroutines may accept as like: each connection goes to one."""
    with net.listen("tcp", "127.0.0.1:0") as ln:
        got = Chan(100)

        def accepts():
            for conn in ln:
                got.send(conn)

        goroutines = [go(accepts) for _ in range(4)]
        dialed = [net.dial("tcp", str(ln.addr)) for _ in range(40)]
        accepted = [got.recv(timeout=10) for _ in range(40)]
    assert {c.remote_addr for c in accepted} == {c.local_addr for c in dialed}
    for conn in dialed + accepted:
        conn.close()
    for g in goroutines:
        g.join()


@pytest.mark.parametrize(
    "address", [":0", pytest.param("[::]:0", marks=needs_ipv6), "0.0.0.0:0", "localhost:0"]
)
def test_every_interface(server, address):
    ln = server(echo, address=address)
    hosts = ["127.0.0.1"]
    if HAS_IPV6 and address == ":0":
        hosts.append("::1")
    if address != "[::]:0":
        for host in hosts:
            with net.dial("tcp", str(net.Addr(host, ln.addr.port))) as conn:
                conn.write(b"x")
                assert conn.read() == b"x"


# Addresses


def test_addresses_of_a_connection(pair):
    a, b = pair()
    assert a.local_addr == b.remote_addr and a.remote_addr == b.local_addr
    assert isinstance(a.local_addr, net.Addr)
    assert repr(a) == f"<Conn {a.local_addr} -> {a.remote_addr}>"
    c, d = pair("unix")
    assert c.remote_addr == d.local_addr and c.local_addr == d.remote_addr == ""


# makefile


def test_makefile_binary(pair):
    a, b = pair()
    with a.makefile("rwb") as f, b.makefile("rb") as g:
        f.write(b"one\ntwo\n")
        f.flush()
        assert g.readline() == b"one\n"
        assert next(g) == b"two\n"
        b.write(b"answer\n")
        assert f.readline() == b"answer\n"
        assert f.readable() and f.writable() and g.readable() and not g.writable()
    a.write(b"x")  # still open
    assert b.read() == b"x"


def test_makefile_text(pair):
    a, b = pair()
    with a.makefile("w", encoding="utf-8", newline="\r\n") as f:
        print("grüße", file=f)
    a.close_write()
    with b.makefile("r", encoding="utf-8") as g:
        assert g.read() == "grüße\n"


def test_makefile_unbuffered(pair):
    a, b = pair()
    f = a.makefile("rwb", 0)
    assert isinstance(f, io.RawIOBase)
    assert f.write(b"hello") == 5
    assert b.read() == b"hello"
    assert f.fileno() == a.fileno()
    with pytest.raises(io.UnsupportedOperation):
        a.makefile("rb", 0).write(b"x")
    with pytest.raises(io.UnsupportedOperation):
        a.makefile("wb", 0).read(1)
    with pytest.raises(ValueError, match="`buffering`"):
        a.makefile("r", 0)


# Who may call


def test_plain_threads_share_connections_with_goroutines(server):
    ln = server(echo)
    results = []

    def client(i):
        with net.dial("tcp", str(ln.addr)) as conn:
            for k in range(50):
                message = f"{i}.{k}".encode()
                conn.write(message)
                assert conn.read_full(len(message)) == message
        results.append(i)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(5)]
    for t in threads:
        t.start()
    goroutines = [go(client, i) for i in range(5, 10)]
    for g in goroutines:
        g.join()
    for t in threads:
        while t.is_alive():
            gopy.time.sleep(0.001)
        t.join()
    assert sorted(results) == list(range(10))


def test_a_server_that_forks(run_program):
    """A listener is the child's too, and each polls for itself."""
    result = run_program(
        """
        import os
        from gopy import go, net, time
        ln = net.listen("tcp", "127.0.0.1:0")
        serving = go(ln.serve, lambda conn: conn.close())
        net.dial("tcp", str(ln.addr)).read()
        while serving.state != "IO wait": time.sleep(0.001)  # no accept(2) is under way when the parent closes it
        if (pid := os.fork()) == 0:
            conn = ln.accept()
            conn.write(b"child")
            conn.close()
            os._exit(0)
        ln.close()  # the parent's only
        conn = net.dial("tcp", str(ln.addr))
        print(conn.read(), os.waitpid(pid, 0)[1])
        """,
        flags=["-W", "ignore::DeprecationWarning"],  # of a fork in a process with threads
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "b'child' 0\n"


def test_stress_connections_that_come_and_go(server, gomaxprocs):
    """Descriptor numbers are used again and again while late events are on their way."""
    ln = server(echo)
    addr = str(ln.addr)

    def client(i):
        for k in range(30):
            with net.dial("tcp", addr) as conn:
                for j in range((i + k) % 4):
                    conn.write(b"%d" % j)
                    assert conn.read() == b"%d" % j

    clients = [go(client, i) for i in range(20)]
    for g in clients:
        g.join(timeout=50)
