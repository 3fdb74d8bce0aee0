"""TLS without a network: sessions of gopy.net._tls_session over streams in memory, against each other."""

import asyncio
import contextlib
import random
import ssl
import time as pytime

import pytest

from gopy import Chan, go
from gopy import time as gotime
from gopy._core import block_on
from gopy.net import _tls_session
from gopy.net._tls_session import Session


class Stream:
    """One end of a stream in memory; what is written arrives in pieces of any size, and write() waits for room."""

    def __init__(self, incoming, outgoing, seed):
        self.incoming, self.outgoing = incoming, outgoing
        self.random = random.Random(seed)
        self.rest = b""
        self.closed = False
        self.written = 0
        self.read_deadline = self.write_deadline = None

    def read(self, n):
        if not self.rest:
            self.rest = self.incoming.recv(timeout=self.read_deadline)
        return self.piece(n)

    async def aread(self, n):
        if not self.rest:
            self.rest = await self.incoming.arecv(timeout=self.read_deadline)
        return self.piece(n)

    def piece(self, n):
        n = min(n, self.random.choice([1, 5, 100, 5000, n]))
        data, self.rest = self.rest[:n], self.rest[n:]
        return data

    def write(self, data):
        self.outgoing.send(self.to_write(data), timeout=self.write_deadline)
        return len(data)

    async def awrite(self, data):
        await self.outgoing.asend(self.to_write(data), timeout=self.write_deadline)
        return len(data)

    def to_write(self, data):
        if self.closed:
            raise BrokenPipeError("closed")
        self.written += len(data)
        return bytes(data)

    def set_write_deadline(self, seconds):
        self.write_deadline = seconds

    def close(self):
        if not self.closed:
            self.closed = True
            self.outgoing.close()


def streams(seed=0, room=1):
    a, b = Chan(room, zero=b""), Chan(room, zero=b"")
    return Stream(a, b, seed), Stream(b, a, seed + 1)


class Blocking:
    """A session as those who park use it: what is not written out for them is run by block_on()."""

    def __init__(self, *args):
        self.session = Session(*args)

    def __getattr__(self, name):
        if name in ("handshake", "close_write", "close"):
            return lambda: block_on(getattr(self.session, "a" + name)())
        return getattr(self.session, name)


class Awaited(Blocking):
    """The same, but all is run by block_on()."""

    def __getattr__(self, name):
        if name in ("read", "read_into", "read_full", "write"):
            return lambda *args: block_on(getattr(self.session, "a" + name)(*args))
        return super().__getattr__(name)


@pytest.fixture(params=[Blocking, Awaited])
def sessions(certificates, request):
    """sessions(seed) -> (client, server), whose handshake is still to be made."""

    def sessions(seed=0, room=100, server=None, client=None, name="localhost"):
        below, above = streams(seed, room)
        client = client or certificates.context()
        server = server or certificates.context(server_side=True)
        return request.param(below, client, False, name), request.param(above, server, True, None)

    return sessions


def beside(fn, *args):
    """Start fn in a goroutine: a function that waits for its end and returns or raises what it did."""
    result = Chan(1)

    def run():
        try:
            result.send((fn(*args), None))
        except BaseException as exc:
            result.send((None, exc))

    g = go(run)

    def join():
        value, exc = result.recv(timeout=30)
        g.join()
        if exc is not None:
            raise exc
        return value

    return join


def read_all(session, n=65536):
    data = b""
    while chunk := session.read(n):
        data += chunk
    return data


@pytest.mark.parametrize("seed", range(5))
def test_both_directions_at_once(sessions, seed):
    client, server = sessions(seed, room=1)
    rnd = random.Random(seed)
    there, back = rnd.randbytes(700_000), rnd.randbytes(500_000)

    def write(session, data):
        at = 0
        while at < len(data):
            at += session.write(data[at : at + rnd.choice([1, 10, 5000, 300_000])])
        session.close_write()

    ends = [
        beside(write, client, there),
        beside(write, server, back),
        beside(read_all, server),
        beside(read_all, client, 777),
    ]
    assert [end() for end in ends] == [None, None, there, back]
    client.close()
    server.close()


def test_read_into(sessions):
    client, server = sessions()
    join = beside(client.write, b"0123456789")
    buffer = bytearray(4)
    assert server.read_into(buffer) == 4 and buffer == b"0123"
    assert server.read_into(memoryview(buffer)[1:3]) == 2 and buffer == b"0453"
    assert server.read_into(bytearray()) == 0
    assert server.read(100) == b"6789"
    assert join() == 10
    client.close_write()
    assert server.read_into(buffer) == 0


def test_read_full(sessions):
    client, server = sessions()
    join = beside(client.write, b"0123456789")
    assert [server.read_full(n) for n in (4, 0, 5)] == [b"0123", b"", b"45678"]
    assert join() == 10
    client.close_write()
    with pytest.raises(EOFError, match="the connection ended after 1 of 3 bytes"):
        server.read_full(3)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_half_close(sessions, certificates, version):
    """close_write ends one direction; what the peer had sent before, and sends after, still arrives."""
    context = certificates.context()
    context.maximum_version = context.minimum_version = version
    client, server = sessions(client=context)
    join = beside(client.handshake)
    server.handshake()
    join()
    server.write(b"before")
    client.close_write()
    client.close_write()
    server.write(b" after")
    assert server.read(100) == b""
    assert read_some(client, 12) == b"before after"
    with pytest.raises(BrokenPipeError):
        client.write(b"more")
    server.close()
    assert client.read(100) == b""
    client.close()


def read_some(session, n):
    data = b""
    while len(data) < n:
        data += session.read(n - len(data))
    return data


def test_close_says_goodbye(sessions):
    client, server = sessions()
    join = beside(client.write, b"x")
    assert server.read(1) == b"x"
    join()
    client.close()
    assert server.read(1) == b""
    client.close()


def test_an_end_without_goodbye_is_an_error(sessions):
    client, server = sessions()
    join = beside(client.write, b"x")
    assert server.read(1) == b"x"
    join()
    client._raw.close()
    for _ in range(2):
        with pytest.raises(ssl.SSLEOFError):
            server.read(1)


def test_it_is_none_where_ssl_is_told_so(sessions, certificates):
    context = certificates.context(server_side=True)
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    client, server = sessions(server=context)
    join = beside(client.write, b"x")
    assert server.read(1) == b"x"
    join()
    client._raw.close()
    assert server.read(1) == b""


def test_garbage_is_an_error_of_ssl(sessions):
    client, server = sessions()
    client._raw.write(b"GET / HTTP/1.1\r\n\r\n")
    for _ in range(2):
        with pytest.raises(ssl.SSLError, match="(?i)http.request"):
            server.read(1)
    server.close()


def test_garbage_amid_traffic(sessions):
    client, server = sessions()
    join = beside(client.write, b"x")
    assert server.read(1) == b"x"
    join()
    client._raw.write(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(ssl.SSLError, match="(?i)mac"):
        server.read(1)
    with pytest.raises(ssl.SSLError, match="(?i)alert"):
        client.read(1)


def test_an_end_amid_the_handshake(sessions):
    client, server = sessions()
    client._raw.close()
    with pytest.raises(ssl.SSLEOFError):
        server.handshake()
    with pytest.raises(ssl.SSLEOFError):
        server.write(b"x")


def test_the_name_is_checked(sessions):
    client, server = sessions(name="elsewhere.test")
    join = beside(server.handshake)
    with pytest.raises(ssl.SSLCertVerificationError, match="elsewhere"):
        client.write(b"x")
    with pytest.raises(ssl.SSLError, match="(?i)alert"):
        join()


def test_alpn_sni_and_a_certificate_of_the_client(sessions, certificates):
    client_context = certificates.context(name="client")
    server_context = certificates.context(server_side=True)
    server_context.verify_mode = ssl.CERT_REQUIRED
    client_context.set_alpn_protocols(["h2", "http/1.1"])
    server_context.set_alpn_protocols(["http/1.1"])
    names = []
    server_context.sni_callback = lambda obj, name, context: names.append(name)
    client, server = sessions(client=client_context, server=server_context, name="example.test")
    join = beside(server.handshake)
    client.handshake()
    join()
    assert names == ["example.test"]
    assert client.object.selected_alpn_protocol() == server.object.selected_alpn_protocol() == "http/1.1"
    assert server.object.getpeercert()["subjectAltName"] == (("DNS", "client.test"),)


def test_a_client_without_the_certificate_is_refused(sessions, certificates):
    context = certificates.context(server_side=True)
    context.verify_mode = ssl.CERT_REQUIRED
    client, server = sessions(server=context)
    join = beside(read_all, client)
    with pytest.raises(ssl.SSLError, match="(?i)peer did not return a certificate"):
        server.handshake()
    with pytest.raises(ssl.SSLError, match="(?i)certificate required"):
        join()


def test_a_parked_reader_does_not_hold_up_a_writer_or_close(sessions, until):
    client, server = sessions()
    join = beside(server.handshake)
    client.handshake()
    join()
    reading = beside(client.read, 1)
    gotime.sleep(0.001)
    joins = [beside(client.write, b"x" * 100_000), beside(read_some, server, 100_000)]
    assert [join() for join in joins] == [100_000, b"x" * 100_000]
    server.write(b"y")
    assert reading() == b"y"


def test_several_readers_and_writers(sessions):
    """What each writes stays together; each byte is read once."""
    client, server = sessions()
    blocks = [bytes([65 + i]) * 40_000 for i in range(8)]
    writers = [beside(client.write, block) for block in blocks]
    got = read_some(server, 320_000)
    assert [writer() for writer in writers] == [40_000] * 8
    assert sorted(got[i : i + 40_000] for i in range(0, 320_000, 40_000)) == blocks
    readers = [beside(server.read, 1) for _ in range(5)]
    client.write(b"abcde")
    assert sorted(reader() for reader in readers) == [b"a", b"b", b"c", b"d", b"e"]


def test_a_timeout_in_a_read_loses_nothing_in_a_write_all(sessions):
    client, server = sessions()
    join = beside(server.handshake)
    client.handshake()
    join()
    client._raw.read_deadline = 0.001
    with pytest.raises(TimeoutError):
        client.read(1)
    client._raw.read_deadline = None
    server.write(b"x")
    assert client.read(1) == b"x"
    client._raw.write_deadline = 0.001
    with pytest.raises(TimeoutError):
        while True:
            client.write(bytes(10_000))
    with pytest.raises(BrokenPipeError, match="timed out"):
        client.write(b"x")
    client.close()


def test_a_peer_who_does_not_read_holds_close_up_for_a_while_only(sessions, monkeypatch):
    monkeypatch.setattr(_tls_session, "_GOODBYE", 0.05)
    client, server = sessions(room=3)
    join = beside(server.handshake)
    client.handshake()
    join()
    client._raw.write_deadline = 0.001
    with pytest.raises(TimeoutError):
        while True:
            client._raw.write(b"x")
    started = pytime.monotonic()
    client.close()
    assert pytime.monotonic() - started >= 0.05
    assert client._raw.closed


async def awaited(session, data, done):
    """Write data, and read as much, at once."""

    async def write():
        await session.awrite(data)
        done.close()

    go(write)
    got = b""
    while len(got) < len(data):
        got += await session.aread(65536)
    return got


@pytest.mark.parametrize("other", ["stackful", "async", "task"])
def test_sessions_that_are_awaited(sessions, other):
    client, server = sessions(room=1)
    data, written, results = random.Random(1).randbytes(300_000), Chan(), Chan(1)

    async def talk():
        results.send(await awaited(client, data, written))

    async def echo(session):
        left = len(data)
        while left:
            chunk = await session.aread(10_000)
            left -= len(chunk)
            await session.awrite(chunk)

    go(talk)
    if other == "task":
        asyncio.run(echo(server))
    elif other == "async":
        go(echo, server).join()
    else:
        left = len(data)
        while left:
            chunk = server.read(10_000)
            left -= len(chunk)
            server.write(chunk)
    assert results.recv(timeout=30) == data
    written.recv()


def test_errors_of_sessions_that_are_awaited(sessions):
    client, server = sessions(name="elsewhere.test")
    results = Chan(4)

    async def use(session):
        for _ in range(2):
            try:
                await session.aread(1)
            except OSError as exc:
                results.send(exc)

    goroutines = [go(use, session) for session in (client, server)]
    for g in goroutines:
        g.join()
    errors = [results.recv() for _ in range(4)]
    assert all(isinstance(exc, ssl.SSLError) for exc in errors)
    assert sum(isinstance(exc, ssl.SSLCertVerificationError) for exc in errors) == 2


# Cancellation


class Halting:
    """What a coroutine awaits to be suspended."""

    def __await__(self):
        yield


class Halts:
    """A stream in memory whose every call suspends its coroutine once, before it does anything."""

    def __init__(self, stream):
        self.stream = stream

    async def aread(self, n):
        await Halting()
        return self.stream.read(n)

    async def awrite(self, data):
        await Halting()
        return self.stream.write(data)

    def __getattr__(self, name):
        return getattr(self.stream, name)


def shaken(sessions):
    client, server = sessions()
    join = beside(client.handshake)
    server.handshake()
    join()
    client.write(b"x")
    assert server.read(1) == b"x"
    return client, server


def cancelled_at(coroutine, k, results=None):
    """Run the coroutine and cancel it when it is suspended for the kth time. Whether it was; its result, otherwise,
    goes to the list."""
    for _ in range(k):
        try:
            coroutine.send(None)
        except StopIteration as stop:
            results.append(stop.value)
            return False
    with pytest.raises(asyncio.CancelledError):
        coroutine.throw(asyncio.CancelledError())
    return True


def held(session):
    return [
        lock.locked() for lock in (session._handshaking, session._writing, session._reading, session._engine)
    ]


async def read_into(session):
    buffer = bytearray(4)
    return bytes(buffer[: await session.aread_into(buffer)])


@pytest.mark.parametrize(
    "call",
    [lambda session: session.aread(4), read_into, lambda session: session.aread_full(30_000)],
    ids=["aread", "aread_into", "aread_full"],
)
@pytest.mark.parametrize("k", range(1, 5))
def test_a_reader_cancelled_at_any_await_takes_nothing_and_holds_nothing(sessions, call, k):
    client, server = shaken(sessions)
    data, got = random.Random(1).randbytes(50_000), []
    join = beside(client.write, data)
    server.session._raw = Halts(server._raw)
    for _ in range(10):  # one that is not cancelled at once feeds the engine, and so comes nearer to its end
        if not cancelled_at(call(server), k, got):
            break
        assert held(server) == [False] * 4
    server.session._raw = server._raw.stream
    read = b"".join(got)
    assert read + server.read_full(50_000 - len(read)) == data
    join()


def test_what_a_reader_has_got_is_the_next_ones_if_it_is_cancelled_in_an_answer(sessions):
    client, server = shaken(sessions)
    server.session._raw = Halts(server._raw)
    client.write(b"0123456789")
    server.session._take_in(server._raw.stream.read(65536))
    while server._in.pending < 32:  # its pieces are of any size
        server.session._take_in(server._raw.stream.read(65536))
    for call in (
        lambda: server.aread(4),
        lambda: server.aread_into(bytearray(4)),
        lambda: server.aread_full(4),
    ):
        server._out.write(b"an answer")
        assert cancelled_at(call(), 1)
        assert held(server) == [False] * 4
    server.session._raw = server._raw.stream
    assert server.read_full(10) == b"0123456789"


def test_a_handshake_cancelled_at_any_await_holds_nothing(sessions):
    for k in range(1, 10):
        client, server = sessions()
        server.session._raw = Halts(server._raw)
        join = beside(client.handshake)
        cancelled = cancelled_at(server.ahandshake(), k, [])
        assert held(server) == [False] * 4
        server._raw.stream.close()
        if not cancelled:
            join()
            return
        with contextlib.suppress(OSError):  # by TLS 1.3 the client may have shaken hands before
            join()
    raise AssertionError("no end")


def test_a_close_that_is_cancelled_has_closed(sessions):
    _, server = shaken(sessions)
    server.session._raw = Halts(server._raw)
    assert cancelled_at(server.aclose(), 1)
    assert held(server) == [False] * 4
    assert server._raw.stream.closed
