"""Servers whose connections are encrypted, and clients who do not read how they end."""

import ssl

import pytest

from gopy import Chan, context, http, net, runtime

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def hello(w, r):
    w.write("hello\n")


def test_tls(serve, certificates, caplog):
    def handler(w, r):
        w.write(f"{r.tls.version()} {r.tls.selected_alpn_protocol()}")

    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificates.folder / "server.pem", certificates.folder / "server.key")
    probe = http.Server("unused", handler, tls=server)
    served = serve(handler, tls=probe._tls_context())
    context = ssl.create_default_context(cafile=str(certificates.authority))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with net.dial("tcp", f"localhost:{served.addr.port}", tls=context) as conn:
        for _ in range(2):
            conn.write(GET)
            assert conn.read().endswith(b"TLSv1.3 http/1.1")
    with served.client() as client:  # one who does not speak TLS
        client.send(GET)
        client.read_all()
    with served.client() as client:
        client.send(b"\x16\x03\x01")
        client.conn.set_linger(0)
    with net.dial("tcp", f"localhost:{served.addr.port}", tls=context) as conn:
        conn.write(GET)
        assert conn.read().endswith(b"http/1.1")
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


def test_a_server_with_tls_serves_no_listener_in_plain(serve, certificates):
    served = serve(hello, server_tls=certificates.context(server_side=True))
    with served.client(tls=certificates.context()) as client:
        client.send(GET)
        assert client.answer()[2] == b"hello\n"
    assert b"hello" not in served.ask(GET)


class Unread:
    """A stream that takes nothing more, as its peer does not read, until the peer leaves."""

    def __init__(self, raw, gone):
        self._raw = raw
        self._gone = gone

    def __getattr__(self, name):
        return getattr(self._raw, name)

    async def awrite(self, data):
        await self._gone.arecv()
        raise BrokenPipeError


@pytest.fixture
def unread(serve, certificates):
    """A server, and its clients over TLS, that have got an answer and read nothing more, not even how the stream ends."""
    served = serve(hello, tls=certificates.context(server_side=True))
    clients = [served.client(tls=certificates.context()) for _ in range(3)]
    gone = Chan()
    for client in clients:
        client.send(GET)
        client.answer()
    for connection in served.server._connections:
        connection.conn._session._raw = Unread(connection.conn._raw, gone)
    yield served, clients
    gone.close()
    for client in clients:
        client.close()


def test_shutdown_gives_up_on_who_does_not_read_the_end(unread):
    served, _ = unread
    ctx, cancel = context.with_timeout(context.background(), 0.02)
    with pytest.raises(context.DeadlineExceeded):
        served.server.shutdown(ctx)
    cancel()


def test_close_waits_for_nobody_to_read_the_end(unread):
    served, _ = unread
    served.server.close()
    assert isinstance(served.result.recv(), http.ServerClosed)


def test_who_does_not_read_the_end_takes_no_stack(unread, until):
    served, clients = unread
    for client in clients:
        client.conn.close_write()

    def ending():
        stacks = [g.stack() for g in runtime.goroutines() if g.name == "Connection.run"]
        return [each for each in stacks if "in aclose\n" in each]

    until(lambda: len(ending()) == 3)
    assert not [each for each in ending() if "block_on(" in each]
    assert served.connections() == 3
