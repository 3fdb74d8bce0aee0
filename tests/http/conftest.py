"""What the tests of gopy.http share: servers in goroutines, clients that write raw bytes, descriptors that must not stay."""

import os
from importlib.util import find_spec

import pytest

from gopy import Chan, go, net, runtime

if find_spec("httptools") is None:
    collect_ignore_glob = ["test_*.py"]


def pytest_report_header(config):
    return "gopy.http is not tested: no httptools" if find_spec("httptools") is None else None


TIMEOUT = 50.0  # seconds that a peer may take, with all that it says


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(scope="session")
def poller():
    """What the runtime itself keeps open is there, as somebody has waited for a descriptor."""
    silent = os.pipe()
    with pytest.raises(TimeoutError):
        runtime.wait_read(silent[0], timeout=0.001)
    for fd in silent:
        os.close(fd)


@pytest.fixture(autouse=True)
def no_descriptor_leaks(poller, until):
    before = descriptors()
    yield
    until(lambda: descriptors() <= before, TIMEOUT)


class Client:
    """A connection that says exactly what it is told to."""

    def __init__(self, addr, tls=None):
        self.conn = net.dial("tcp", str(addr), tls=tls)
        self.conn.set_deadline(TIMEOUT)
        self.got = b""

    def send(self, data):
        self.conn.write(data)

    def read_until(self, end):
        """Up to the first `end`, with it."""
        while end not in self.got:
            data = self.conn.read()
            assert data, f"the end came before {end!r}: {self.got!r}"
            self.got += data
        found, _, self.got = self.got.partition(end)
        return found + end

    def read_n(self, n):
        while len(self.got) < n:
            data = self.conn.read()
            assert data, f"the end came after {len(self.got)} bytes of {n}"
            self.got += data
        found, self.got = self.got[:n], self.got[n:]
        return found

    def read_all(self):
        """Up to the end of the stream."""
        while data := self.conn.read():
            self.got += data
        found, self.got = self.got, b""
        return found

    def answer(self, method="GET"):
        """(status, header, body) of the next answer, whose header is a dict in lower case."""
        head = self.read_until(b"\r\n\r\n").decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        version, status, *_ = first.split(" ", 2)
        assert version == "HTTP/1.1"
        header = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(status)
        if method == "HEAD" or status < 200 or status in (204, 304):
            body = b""
        elif header.get("transfer-encoding") == "chunked":
            body = self.chunks()
        elif "content-length" in header:
            body = self.read_n(int(header["content-length"]))
        else:
            body = self.read_all()
        return status, header, body

    def chunks(self):
        body = b""
        while size := int(self.read_until(b"\r\n"), 16):
            body += self.read_n(size)
            assert self.read_n(2) == b"\r\n"
        assert self.read_until(b"\r\n") == b"\r\n"
        return body

    def ended(self):
        """Whether the stream ends here."""
        try:
            return not self.got and self.conn.read() == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.conn.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Served:
    """A server that runs in a goroutine."""

    def __init__(self, server, listener):
        self.server = server
        self.listener = listener
        self.addr = listener.addr
        self.result = Chan(1)
        self.goroutine = go(self._run)

    def _run(self):
        from gopy import http

        try:
            self.server.serve(self.listener)
        except (http.ServerClosed, OSError) as exc:
            self.result.send(exc)

    def client(self, tls=None):
        return Client(self.addr, tls)

    def ask(self, data):
        """All that a connection of its own answers to some bytes, until the server ends it."""
        with self.client() as client:
            client.send(data)
            return client.read_all()

    def get(self, target="/", *fields, method="GET", body=b""):
        """(status, header, body) by a connection of its own."""
        with self.client() as client:
            lines = [f"{method} {target} HTTP/1.1", "Host: test", "Connection: close", *fields]
            client.send("\r\n".join([*lines, "", ""]).encode() + body)
            return client.answer(method)

    def connections(self):
        return len(self.server._connections)


@pytest.fixture
def serve(until):
    """serve(handler, tls=None, server_tls=None, **options) -> Served: with a context of the listener's, or the server's"""
    from gopy import http

    made = []

    def serve(handler=None, tls=None, server_tls=None, **options):
        server = http.Server("unused", handler, tls=server_tls, **options)
        served = Served(server, net.listen("tcp", "127.0.0.1:0", tls=tls))
        made.append(served)
        return served

    yield serve
    for served in made:
        served.server.close()
        served.goroutine.join(timeout=TIMEOUT)
        until(lambda served=served: not served.server._connections, TIMEOUT)


@pytest.fixture
def client():
    from gopy import http

    client = http.Client()
    yield client
    client.close_idle_connections()


@pytest.fixture
def raw():
    """raw(fn) -> the URL of a listener, for each of whose connections fn(conn) is called."""
    made = []

    def raw(fn):
        listener = net.listen("tcp", "127.0.0.1:0")
        made.append((listener, go(listener.serve, fn)))
        return f"http://{listener.addr}"

    yield raw
    for listener, goroutine in made:
        listener.close()
        goroutine.join(timeout=10)
