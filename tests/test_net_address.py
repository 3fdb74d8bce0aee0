"""Package net: dialing, names and addresses, datagrams."""

import errno
import os
import select
import socket
import subprocess
import sys
import threading
import time

import pytest

import gopy
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


# Dialing


def test_nobody_listens():
    with net.listen("tcp", "127.0.0.1:0") as ln:
        addr = str(ln.addr)
    with pytest.raises(ConnectionRefusedError, match=f"dial tcp {addr}"):
        net.dial("tcp", addr)
    with pytest.raises(FileNotFoundError):
        net.dial("unix", "/nonexistent/socket")


def test_a_dial_that_times_out():
    """A full backlog: the kernel drops the connection's first packet, and nobody answers."""
    ln = socket.socket()
    ln.bind(("127.0.0.1", 0))
    ln.listen(0)
    fillers = []
    for _ in range(4):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(ln.getsockname())
        fillers.append(s)
    assert select.select([ln], [], [], 10)[0]  # the first is there: the backlog is full
    before = time.monotonic()
    with pytest.raises(TimeoutError, match="dial tcp 127.0.0.1"):
        net.dial("tcp", f"127.0.0.1:{ln.getsockname()[1]}", timeout=0.1)
    assert 0.1 <= time.monotonic() - before < 50  # the kernel itself goes on for two minutes
    for s in [ln, *fillers]:
        s.close()


def test_every_address_of_a_name_is_tried(monkeypatch, server, until):
    ln = server(echo)
    port = ln.addr.port
    real = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        if host != "name.test":
            return real(host, *args, **kwargs)
        assert threading.current_thread() is not threading.main_thread()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    for timeout in (None, 50):
        with net.dial("tcp", f"name.test:{port}", timeout=timeout) as conn:
            conn.write(b"x")
            assert conn.read() == b"x"
    ln.close()
    refused = []

    def is_refused():
        try:
            net.dial("tcp", f"name.test:{port}", timeout=50).close()
        except ConnectionRefusedError as exc:
            refused.append(str(exc))
        return refused

    until(is_refused)  # while a thread is in accept(2) or poll(2) with it, the kernel still listens
    assert f"dial tcp name.test:{port}" in refused[0]


def test_a_name_that_does_not_resolve(monkeypatch):
    def getaddrinfo(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(OSError, match="dial tcp nosuch.test:80: Name or service not known"):
        net.dial("tcp", "nosuch.test:80")
    with pytest.raises(OSError, match="Name or service not known"):
        net.lookup_host("nosuch.test")


def test_a_slow_resolver_holds_nobody_up(monkeypatch, until):
    over = threading.Event()
    before = runtime.num_goroutine()

    def getaddrinfo(*args, **kwargs):
        over.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(TimeoutError):
        net.dial("tcp", "slow.test:80", timeout=0.05)
    over.set()
    until(lambda: runtime.num_goroutine() <= before)


def test_lookup_host():
    assert "127.0.0.1" in net.lookup_host("localhost") or "::1" in net.lookup_host("localhost")
    assert net.lookup_host("127.0.0.1") == ["127.0.0.1"]
    assert net.lookup_host("::1") == ["::1"]
    for name, kind in [(5, TypeError), ("", ValueError), ("a\0b", ValueError)]:
        with pytest.raises(kind, match="`name`"):
            net.lookup_host(name)


NO_NAMES = ["a..b", ".", ".a", "a" * 64, "x" * 300, "\ud800"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_name_that_nobody_can_have(name, certificates):
    """What IDNA refuses fails as a name that does not resolve."""
    context = certificates.context()
    with net.listen_packet("udp", "127.0.0.1:0") as packets:
        for call in (
            lambda: net.lookup_host(name),
            lambda: net.dial("tcp", f"{name}:80"),
            lambda: net.dial("tcp4", f"{name}:80", timeout=20),
            lambda: net.dial("tcp", f"{name}:80", tls=context),
            lambda: net.listen("tcp", f"{name}:80"),
            lambda: net.listen_packet("udp", f"{name}:80"),
            lambda: packets.write_to(b"x", (name, 80)),
            lambda: packets.write_to(b"x", f"{name}:80"),
        ):
            with pytest.raises(socket.gaierror, match="is no host's name") as caught:
                call()
            assert caught.value.errno == socket.EAI_NONAME


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_servers_name_that_nobody_can_have(name, certificates, monkeypatch):
    context = certificates.context()
    with net.listen("tcp", "127.0.0.1:0") as ln:
        with net.dial("tcp", str(ln.addr)) as conn:
            with pytest.raises(socket.gaierror, match="is no host's name"):
                conn.start_tls(context, server_hostname=name)
        there = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", tuple(ln.addr))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: there)
        with pytest.raises(socket.gaierror, match="is no host's name"):  # a resolver that knows better
            net.dial("tcp", f"{name}:80", tls=context)


# Addresses


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        (None, TypeError),
        (80, TypeError),
        (("127.0.0.1", 80), TypeError),
        ("", ValueError),
        ("127.0.0.1", ValueError),
        ("::1:80:", ValueError),
        ("[::1:80", ValueError),
        ("127.0.0.1:65536", ValueError),
        ("127.0.0.1:-1", ValueError),
        ("127.0.0.1:no such service", ValueError),
        ("a\0b:80", ValueError),
        ("::1:80", ValueError),
    ],
)
def test_bad_addresses(address, kind):
    for fn in (net.dial, net.listen):
        with pytest.raises(kind, match="`address`"):
            fn("tcp", address)
    with pytest.raises(kind, match="`address`"):
        net.listen_packet("udp", address)


@pytest.mark.parametrize("network", ["", "udp", "ip", "TCP", "tcp5"])
def test_bad_networks(network):
    for fn in (net.dial, net.listen):
        with pytest.raises(ValueError, match="`network` must be one of tcp, tcp4, tcp6, unix"):
            fn(network, "127.0.0.1:0")
        with pytest.raises(TypeError, match="`network` must be a str, got int"):
            fn(5, "127.0.0.1:0")
    with pytest.raises(ValueError, match="`network`"):
        net.listen_packet("tcp", "127.0.0.1:0")


def test_bad_options():
    for kwargs in ({"backlog": "1"}, {"reuse_port": 1}, {"tls": True}):
        (name,) = kwargs
        with pytest.raises(TypeError, match=f"`{name}` must be"):
            net.listen("tcp", "127.0.0.1:0", **kwargs)
    with pytest.raises(TypeError, match="`timeout` must be"):
        net.dial("tcp", "127.0.0.1:1", timeout="1")
    with pytest.raises(ValueError, match="nan"):
        net.dial("tcp", "127.0.0.1:1", timeout=float("nan"))
    with pytest.raises(TypeError, match="`tls` must be"):
        net.dial("tcp", "127.0.0.1:1", tls=1)
    with pytest.raises(TimeoutError):
        net.dial("tcp", "127.0.0.1:1", timeout=0)


def test_addr():
    v4, v6 = net.Addr("127.0.0.1", 80), net.Addr("::1", 80)
    assert (str(v4), str(v6)) == ("127.0.0.1:80", "[::1]:80")
    assert v4 == ("127.0.0.1", 80) and v4.host == "127.0.0.1" and v4.port == 80


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
@pytest.mark.parametrize("network", ["tcp", pytest.param("tcp6", marks=needs_ipv6)])
def test_the_address_of_a_peer_that_has_reset(network):
    with net.listen(network, "[::1]:0" if network == "tcp6" else "127.0.0.1:0") as ln:
        with net.dial(network, str(ln.addr)) as client:
            name = client.local_addr
            client.set_linger(0)
        with ln.accept() as conn:
            assert conn.remote_addr == name
            assert str(name) in repr(conn)


@pytest.mark.parametrize("name", ["bound", "@bound-{}"])
def test_the_address_of_a_bound_unix_peer(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    name = name.format(os.getpid())
    with net.listen("unix", "s") as ln, socket.socket(socket.AF_UNIX) as client:
        client.bind(name.replace("@", "\0"))
        client.connect("s")
        with ln.accept() as conn:
            assert conn.remote_addr == name


def test_a_unix_socket_goes_with_its_listener(tmp_path):
    path = tmp_path / "s"
    ln = net.listen("unix", str(path))
    assert ln.addr == str(path) and path.exists()
    with pytest.raises(OSError) as caught:
        net.listen("unix", str(path))
    assert caught.value.errno == errno.EADDRINUSE
    ln.close()
    assert not path.exists()
    path.write_text("somebody else's")
    ln.close()
    assert path.exists()


def test_an_abstract_unix_name():
    name = f"@gopy-test-{os.getpid()}"
    with net.listen("unix", name) as ln:
        assert ln.addr == name
        net.dial("unix", name).close()
        ln.accept().close()


# Datagrams


@pytest.mark.parametrize("network", ["udp", "udp4", pytest.param("udp6", marks=needs_ipv6)])
def test_datagrams(network):
    host = "[::1]" if network == "udp6" else "127.0.0.1"
    with net.listen_packet(network, f"{host}:0") as a, net.listen_packet(network, f"{host}:0") as b:
        assert a.write_to(b"hello", b.local_addr) == 5
        assert b.read_from() == (b"hello", a.local_addr)
        b.write_to(b"", str(a.local_addr))
        assert a.read_from() == (b"", b.local_addr)
        a.write_to(b"long", tuple(b.local_addr))
        assert b.read_from(2)[0] == b"lo"
        a.write_to(b"next", b.local_addr)
        assert b.read_from()[0] == b"next"


def test_datagrams_deadline_and_close(until):
    a = net.listen_packet("udp", ":0")
    a.set_read_deadline(0.01)
    with pytest.raises(TimeoutError):
        a.read_from()
    a.set_deadline(None)
    ended = Chan(1)
    g = go(lambda: ended.send(raises_ebadf(a.read_from)))
    until(lambda: g.state == "IO wait")
    a.close()
    a.close()
    assert ended.recv() is True
    assert a.closed
    assert raises_ebadf(a.read_from)
    assert raises_ebadf(a.write_to, b"x", "127.0.0.1:1")


def test_datagrams_on_a_dual_stack_socket():
    with net.listen_packet("udp", ":0") as a, net.listen_packet("udp4", "127.0.0.1:0") as b:
        a.write_to(b"x", b.local_addr)
        data, addr = b.read_from()
        assert data == b"x" and addr.host == "127.0.0.1"
        b.write_to(b"y", addr)
        assert a.read_from() == (b"y", b.local_addr)


def test_unix_datagrams(tmp_path):
    with net.listen_packet("unixgram", str(tmp_path / "a")) as a:
        with net.listen_packet("unixgram", str(tmp_path / "b")) as b:
            a.write_to(b"hello", str(tmp_path / "b"))
            assert b.read_from() == (b"hello", str(tmp_path / "a"))
    assert list(tmp_path.iterdir()) == []


def test_datagram_bad_arguments():
    with net.listen_packet("udp", "127.0.0.1:0") as a:
        with pytest.raises(TypeError, match="`n`"):
            a.read_from("1")
        with pytest.raises(ValueError, match="`n`"):
            a.read_from(-1)
        for addr in (None, 5, ("a",), (1, 2)):
            with pytest.raises(TypeError, match="`addr`"):
                a.write_to(b"x", addr)
        with pytest.raises(OSError):
            a.write_to(bytes(100_000), "127.0.0.1:9")


def test_reuse_port():
    with net.listen("tcp", "127.0.0.1:0", reuse_port=True) as ln:
        with pytest.raises(OSError, match="listen tcp 127.0.0.1") as caught:
            net.listen("tcp", str(ln.addr))
        assert caught.value.errno == errno.EADDRINUSE
        net.listen("tcp", str(ln.addr), reuse_port=True).close()


# The package


def test_net_is_imported_when_it_is_asked_for():
    code = "import sys, gopy; assert 'gopy.net' not in sys.modules; gopy.net.dial; assert 'ssl' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert gopy.net is net
    with pytest.raises(AttributeError, match="no_such_thing"):
        gopy.no_such_thing
