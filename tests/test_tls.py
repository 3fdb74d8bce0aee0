"""TLS connections over real sockets, against Python's ssl on plain threads, the openssl command, and each other."""

import contextlib
import errno
import gc
import logging
import os
import socket
import ssl
import subprocess
import threading

import pytest

from gopy import Chan, blocking, go, net, runtime

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs /proc or the like")


def read_all(conn):
    data = b""
    while chunk := conn.read():
        data += chunk
    return data


def echo(conn):
    while data := conn.read():
        conn.write(data)


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(scope="module")
def poller():
    """The poller's own descriptors stay when it has them."""
    with net.listen("tcp", "127.0.0.1:0") as listener:
        with pytest.raises(TimeoutError):
            runtime.wait_read(listener, timeout=0.001)  # parks, however late it is


@pytest.fixture(autouse=True)
def no_descriptor_leaks(request, poller, certificates, until):
    before = descriptors()
    yield
    gc.collect()
    until(lambda: descriptors() <= before)


@pytest.fixture
def serve(certificates):
    """serve(handler, **options) -> the address of a listener with TLS that is closed at the end."""
    listeners = []

    def serve(handler=echo, context=None, network="tcp", address="127.0.0.1:0"):
        listener = net.listen(network, address, tls=context or certificates.context(server_side=True))
        listeners.append((listener, go(listener.serve, handler)))
        return str(listener.addr)

    yield serve
    for listener, serving in listeners:
        listener.close()
        serving.join()


def python_client(address, context, *sends):
    """An ssl client as any other program's, on this thread: what came back."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        with context.wrap_socket(sock, server_hostname="localhost") as secure:
            got = b""
            for data in sends:
                secure.sendall(data)
                while len(got) < sum(map(len, sends[: sends.index(data) + 1])):
                    got += secure.recv(65536)
            secure.unwrap()  # close_notify both ways
    return got


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_for_clients_of_ssl(serve, certificates, version):
    context = certificates.context()
    context.minimum_version = context.maximum_version = version
    address = serve()
    sends = [b"hello", os.urandom(300_000), b"bye"]
    assert blocking(python_client, address, context, *sends) == b"".join(sends)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_dial(serve, certificates, host):
    if host == "[::1]" and not socket.has_ipv6:
        pytest.skip("no IPv6")
    address = serve(address="127.0.0.1:0" if host == "127.0.0.1" else "[::1]:0" if host == "[::1]" else ":0")
    port = address.rpartition(":")[2]
    with net.dial("tcp", f"{host}:{port}", tls=certificates.context(), timeout=20) as conn:
        assert isinstance(conn, net.Conn)
        assert conn.write(b"hello") == 5
        assert conn.read_full(5) == b"hello"
        assert conn.ssl_object.getpeercert()["subject"] == ((("commonName", "server"),),)
        assert str(conn.remote_addr).endswith(":" + port)
        assert "->" in repr(conn) and not conn.closed and conn.fileno() > 0
        conn.close_write()
        assert conn.read() == b""
        with pytest.raises(BrokenPipeError):
            conn.write(b"x")
    assert conn.closed


def test_over_a_unix_socket(serve, certificates, tmp_path):
    address = serve(network="unix", address=str(tmp_path / "socket"))
    context = certificates.context()
    context.check_hostname = False
    with net.dial("unix", address, tls=context) as conn:
        conn.write(b"x")
        assert conn.read() == b"x"


def test_openssl_s_client(serve, certificates):
    address = serve(lambda conn: conn.write(read_all(conn).upper()))
    command = ["openssl", "s_client", "-connect", address, "-CAfile", certificates.authority]
    command += [
        "-verify_return_error",
        "-servername",
        "localhost",
        "-alpn",
        "http/1.1",
        "-quiet",
        "-no_ign_eof",
    ]
    done = blocking(subprocess.run, command, input=b"", capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert b"verify return:1" in done.stderr


def test_a_certificate_that_does_not_fit_fails_dial(serve, certificates, caplog):
    other = certificates.context(server_side=True, name="other")
    address = serve(context=other)
    with pytest.raises(ssl.SSLCertVerificationError, match="127.0.0.1"):
        net.dial("tcp", address, tls=certificates.context())
    with pytest.raises(ssl.SSLCertVerificationError, match="(?i)self.signed|unable to get"):
        net.dial("tcp", address, tls=ssl.create_default_context())


def test_a_slow_handshake_holds_nobody_up(serve, certificates):
    address = serve()
    host, _, port = address.rpartition(":")
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(10)]
        silent[0].send(b"\x16\x03\x01")  # and no more
        with net.dial("tcp", address, tls=certificates.context(), timeout=20) as conn:
            conn.write(b"x")
            assert conn.read() == b"x"
        for sock in silent:
            sock.close()


def test_garbage_fails_its_own_connection_only(serve, certificates, caplog, until):
    address = serve()
    with net.dial("tcp", address, tls=certificates.context()) as good:
        with net.dial("tcp", address) as bad:
            bad.write(b"GET / HTTP/1.1\r\n\r\n")
            assert read_all(bad) == b""
        with net.dial("tcp", address) as bad:
            bad.write(bytes(range(256)) * 4)  # random ones may look like a record that is longer
            with contextlib.suppress(ConnectionResetError):
                read_all(bad)
        with net.dial("tcp", address):
            pass
        good.write(b"x")
        assert good.read() == b"x"
    until(lambda: len(caplog.records) == 3)
    for record in caplog.records:
        assert record.name == "gopy.net" and record.levelno == logging.ERROR
        assert issubclass(record.exc_info[0], OSError)


def test_deadlines(serve, certificates):
    gate = Chan()

    def handler(conn):
        gate.recv()
        conn.write(b"late")
        gate.recv()

    address = serve(handler)
    context = certificates.context()
    conn = net.dial("tcp", address)
    conn.set_deadline(0.01)
    with pytest.raises(TimeoutError):
        conn.start_tls(context, server_hostname="localhost")
    conn.close()
    gate.send(1)
    with pytest.raises(TimeoutError):
        net.dial("tcp", address, tls=context, timeout=0.01)
    gate.close()  # the server may not have heard of the second one


def test_a_read_deadline_loses_nothing(serve, certificates):
    gate = Chan()

    def handler(conn):
        conn.handshake()
        gate.recv()
        conn.write(b"late")
        read_all(conn)

    with net.dial("tcp", serve(handler), tls=certificates.context()) as conn:
        conn.set_read_deadline(0.01)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                conn.read()
        conn.set_read_deadline(None)
        gate.send(1)
        assert conn.read() == b"late"


def test_a_write_deadline_ends_writing(serve, certificates):
    gate = Chan()

    def handler(conn):
        conn.handshake()
        gate.recv()

    with net.dial("tcp", serve(handler), tls=certificates.context()) as conn:
        conn.set_write_deadline(0.02)
        with pytest.raises(TimeoutError):
            conn.write(bytes(50_000_000))
        conn.set_write_deadline(None)
        with pytest.raises(BrokenPipeError, match="timed out"):
            conn.write(b"x")
        gate.send(1)


def test_close_under_a_parked_reader(serve, certificates, until):
    address = serve()
    conn = net.dial("tcp", address, tls=certificates.context())
    errors = Chan(1)

    def read():
        try:
            conn.read()
        except OSError as exc:
            errors.send(exc)

    g = go(read)
    until(lambda: g.state == "IO wait")
    conn.close()
    conn.close()
    assert errors.recv(timeout=20).errno == errno.EBADF
    g.join()
    for call in (
        lambda: conn.read(),
        lambda: conn.write(b"x"),
        lambda: conn.read_into(bytearray(1)),
        conn.fileno,
    ):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.EBADF


def test_an_end_without_close_notify(serve, certificates):
    results = Chan(1)

    def handler(conn):
        try:
            results.send(read_all(conn))
        except OSError as exc:
            results.send(exc)

    address = serve(handler)
    conn = net.dial("tcp", address)
    secure = conn.start_tls(certificates.context(), server_hostname="localhost")
    secure.write(b"x")
    conn.close_write()  # of the connection below: no close_notify
    assert isinstance(results.recv(timeout=20), ssl.SSLEOFError)
    conn.close()


def test_start_tls_on_both_sides(certificates):
    """As mail servers do it: plain lines first, then TLS on the same connection."""
    listener = net.listen("tcp", "127.0.0.1:0")

    def serve():
        with listener.accept() as conn:
            assert conn.read_full(9) == b"STARTTLS\n"
            conn.write(b"go ahead\n")
            secure = conn.start_tls(certificates.context(server_side=True), server_side=True)
            with secure.makefile("rw") as lines:
                for line in lines:
                    lines.write(line.upper())
                    lines.flush()
            secure.close()

    g = go(serve)
    with net.dial("tcp", str(listener.addr)) as conn:
        conn.write(b"STARTTLS\n")
        assert conn.read_full(9) == b"go ahead\n"
        secure = conn.start_tls(certificates.context(), server_hostname="localhost")
        with secure.makefile("rwb") as lines:
            lines.write(b"hello\n")
            lines.flush()
            assert lines.readline() == b"HELLO\n"
        secure.close_write()
        assert secure.read() == b""
    g.join()
    listener.close()


def test_much_in_both_directions(serve, certificates):
    data = os.urandom(3_000_000)

    def handler(conn):
        writer = go(conn.write, data)
        assert conn.read_full(len(data)) == data
        writer.join()
        conn.close_write()

    with net.dial("tcp", serve(handler), tls=certificates.context()) as conn:
        writer = go(conn.write, data)
        assert read_all(conn) == data
        writer.join()


def test_a_hundred_clients_at_once(serve, certificates):
    address, context, done = serve(), certificates.context(), Chan()

    def client(i):
        with net.dial("tcp", address, tls=context) as conn:
            for j in range(5):
                conn.write(b"%d %d" % (i, j))
                assert conn.read() == b"%d %d" % (i, j)
        done.send(i)

    for i in range(100):
        go(client, i)
    assert sorted(done.recv(timeout=30) for _ in range(100)) == list(range(100))


def test_from_plain_threads(serve, certificates):
    address, context, done = serve(), certificates.context(), Chan()

    def client():
        with net.dial("tcp", address, tls=context) as conn:
            conn.write(b"x" * 100_000)
            done.send(conn.read_full(100_000) == b"x" * 100_000)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert [done.recv(timeout=30) for _ in threads] == [True] * 4
    for thread in threads:
        thread.join()


def test_arguments_are_checked(serve, certificates):
    with pytest.raises(TypeError, match="`tls` must be an ssl.SSLContext, got str"):
        net.dial("tcp", "127.0.0.1:1", tls="yes")
    with pytest.raises(TypeError, match="`tls` must be an ssl.SSLContext, got bool"):
        net.listen("tcp", "127.0.0.1:0", tls=True)
    address = serve()
    with net.dial("tcp", address, tls=certificates.context()) as conn:
        with pytest.raises(TypeError, match="`buffer` must be a writable buffer, got bytes"):
            conn.read_into(b"xx")
        with pytest.raises(TypeError, match="`data` must be bytes-like, got str"):
            conn.write("x")
        with pytest.raises(TypeError, match="`n` must be an int, got str"):
            conn.read("1")
        with pytest.raises(ValueError):
            conn.read(-1)
        assert conn.read(0) == b"" and conn.read_into(bytearray()) == 0 and conn.write(b"") == 0
        with pytest.raises(EOFError, match="after 3 of 5 bytes"):
            conn.write(b"abc")
            conn.close_write()
            conn.read_full(5)
