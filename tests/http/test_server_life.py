"""Servers over time: deadlines, limits, the client's leaving, shutdown, hijacking, and clients that behave badly."""

import errno
import os
import resource
import socket

import pytest

from gopy import Chan, context, go, http, net, recv, runtime, select
from gopy import time as gotime

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def hello(w, r):
    w.write("hello\n")


# Deadlines


def test_a_silent_client_is_left(serve):
    with serve(hello, read_header_timeout=0.05).client() as client:
        assert client.ended()
    with serve(hello, idle_timeout=0.05).client() as client:
        client.send(GET)
        client.answer()
        assert client.ended()


def test_a_head_that_takes_too_long(serve):
    served = serve(hello)
    with served.client() as client:
        client.send(GET)
        client.answer()
        served.server.read_header_timeout = 0.05  # of this head, whose time begins with its first byte
        client.send(b"GET / HTTP/1.1\r\nHos")
        assert client.read_all().startswith(b"HTTP/1.1 408 ")


def test_a_head_that_never_ends_is_no_reason_to_go_on(serve, until):
    """Each byte comes before the deadline of a read, but the head as a whole must end."""
    served = serve(hello, read_header_timeout=0.3)
    with served.client() as client:
        try:
            while True:
                client.send(b"G")
                gotime.sleep(0.01)
        except OSError:
            pass
        until(lambda: served.connections() == 0)


def test_a_body_that_takes_too_long(serve):
    failure = Chan(1)

    def handler(w, r):
        try:
            r.body.read()
        except TimeoutError as exc:
            failure.send(exc)
            raise

    with serve(handler, read_timeout=0.05).client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
        assert client.read_all().startswith(b"HTTP/1.1 408 ")
    failure.recv()


def test_a_client_that_does_not_read_is_left(serve, until, caplog):
    failure = Chan(1)

    def handler(w, r):
        try:
            while True:
                w.write(b"x" * 100_000)
        except TimeoutError as exc:
            failure.send(exc)
            raise

    served = serve(handler, write_timeout=0.05)
    with served.client() as client:
        client.send(GET)
        failure.recv()
        until(lambda: served.connections() == 0)
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


# Limits


def test_no_more_connections_than_allowed(serve, until):
    served = serve(hello, max_connections=2)
    clients = [served.client() for _ in range(3)]
    for client in clients[:2]:
        client.send(GET)
        client.answer()
    clients[2].send(GET)
    clients[2].conn.set_read_deadline(0.05)
    with pytest.raises(TimeoutError):
        clients[2].conn.read()
    assert served.connections() == 2
    clients[0].close()
    clients[2].conn.set_read_deadline(10)
    assert clients[2].answer()[0] == 200
    for client in clients:
        client.close()
    until(lambda: served.connections() == 0)
    with served.client() as client:
        client.send(GET)
        assert client.answer()[0] == 200


def test_out_of_descriptors(serve, until):
    served = serve(hello)
    with served.client() as before:
        before.send(GET)
        before.answer()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        clients = [socket.socket() for _ in range(3)]
        highest = max(map(int, os.listdir("/proc/self/fd"))) + 1
        fillers = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
            with pytest.raises(OSError) as caught:
                while True:
                    fillers.append(os.dup(0))
            assert caught.value.errno == errno.EMFILE
            for client in clients:
                client.connect(tuple(served.addr))
            before.send(GET)
            assert before.answer()[0] == 200  # who is there is served
        finally:
            for fd in fillers:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        until(lambda: served.connections() == 4)  # and so are the others when there is room
        for client in clients:
            client.close()
    assert served.get()[0] == 200


# The client's leaving


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_the_context_ends_when_the_client_goes(serve, how):
    asked, ended = Chan(), Chan(1)

    def handler(w, r):
        ctx = r.context()
        assert ctx.err() is None
        assert r.context() is ctx
        asked.send(None)
        ctx.done().recv()
        ended.send(ctx.err())

    with serve(handler).client() as client:
        client.send(GET)
        asked.recv()
        if how == "half":
            client.conn.close_write()
        else:
            if how == "reset":
                client.conn.set_linger(0)
            client.close()
        assert isinstance(ended.recv(), context.Canceled)


def test_the_context_ends_when_a_write_fails(serve):
    ended = Chan(1)

    def handler(w, r):
        ctx = r.context()
        with pytest.raises(OSError):
            while True:
                w.write(b"x" * 100_000)
        ctx.done().recv()
        ended.send(None)

    with serve(handler, write_timeout=0.1).client() as client:
        client.send(GET)
        ended.recv()


def test_the_context_ends_with_the_handler(serve):
    kept = Chan(10)

    def handler(w, r):
        kept.send((r, r.context()))
        w.write(r.body.read())
        assert r.context().err() is None

    with serve(handler).client() as client:
        for _ in range(3):  # what is read ahead meanwhile is not lost
            client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
            r, ctx = kept.recv()
            client.send(b"a" + GET)
            assert client.answer()[2] == b"a"
            ctx.done().recv()
            assert r.context() is ctx
            kept.recv()
            assert client.answer()[0] == 200
        client.send(GET * 3000)
        for _ in range(3000):
            assert client.answer()[0] == 200
            kept.recv()


def test_the_context_of_an_async_handler(serve):
    ended = Chan(1)

    async def handler(w, r):
        await r.context().done().arecv()
        ended.send(None)

    with serve(handler).client() as client:
        client.send(GET)
        client.conn.close_write()
        ended.recv()


# Ends


def test_shutdown_waits_for_requests_and_closes_idle_connections(serve):
    entered, go_on = Chan(), Chan()

    def handler(w, r):
        if r.path == "/busy":
            entered.send(None)
            go_on.recv()
        w.write("done")

    served = serve(handler)
    idle, fresh, busy = served.client(), served.client(), served.client()
    idle.send(GET)
    idle.answer()
    busy.send(GET.replace(b"/ ", b"/busy "))
    entered.recv()
    down = Chan(1)
    go(lambda: down.send(served.server.shutdown()))
    assert idle.ended() and fresh.ended()
    assert isinstance(served.result.recv(), http.ServerClosed)
    with pytest.raises(OSError):
        served.client()
    assert len(down) == 0
    go_on.send(None)
    status, header, body = busy.answer()
    assert (status, header["connection"], body) == (200, "close", b"done")
    down.recv()
    assert busy.ended() and served.connections() == 0
    for client in idle, fresh, busy:
        client.close()
    with pytest.raises(http.ServerClosed):
        served.server.listen_and_serve()
    served.server.shutdown()  # a second time, at once


def test_shutdown_takes_a_context_only(serve):
    served = serve(lambda w, r: w.write("still there"))
    with pytest.raises(TypeError, match="`ctx` must be a Context, got int"):
        served.server.shutdown(5)
    assert served.get("/")[2] == b"still there"


def test_shutdown_gives_up_with_its_context(serve):
    entered, go_on = Chan(), Chan()

    def handler(w, r):
        entered.send(None)
        go_on.recv()

    served = serve(handler)
    with served.client() as client:
        client.send(GET)
        entered.recv()
        ctx, cancel = context.with_timeout(context.background(), 0.02)
        with pytest.raises(context.DeadlineExceeded):
            served.server.shutdown(ctx)
        cancel()
        assert served.connections() == 1
        go_on.send(None)
        assert client.answer()[0] == 200


def test_close_ends_everything(serve, until):
    entered, ended = Chan(), Chan(1)

    def handler(w, r):
        entered.send(None)
        r.context().done().recv()
        ended.send(None)

    served = serve(handler)
    with served.client() as client:
        client.send(GET)
        entered.recv()
        served.server.close()
        ended.recv()
        assert client.ended()
    assert isinstance(served.result.recv(), http.ServerClosed)


def test_the_context_of_a_request_whose_connection_is_closed_already(serve):
    entered, go_on, seen = Chan(), Chan(), Chan(1)

    def handler(w, r):
        entered.send(None)
        go_on.recv()
        ctx = r.context()
        ctx.done().recv()
        seen.send(ctx.err())

    served = serve(handler)
    with served.client() as client:
        client.send(GET)
        entered.recv()
        served.server.close()
        go_on.send(None)
        assert isinstance(seen.recv(), context.Canceled)


def test_a_listener_that_somebody_else_closes(serve):
    served = serve(hello)
    served.listener.close()
    assert isinstance(served.result.recv(), OSError)


def test_listen_and_serve(tmp_path, until):
    path = tmp_path / "sock"
    for addr in f"unix:{path}", "127.0.0.1:0":
        server = http.Server(addr, hello, reuse_port=not addr.startswith("unix"))
        result = Chan(1)

        def run(server=server, result=result):
            try:
                server.listen_and_serve()
            except http.ServerClosed as exc:
                result.send(exc)

        go(run)
        until(lambda server=server: server.addrs)
        where = server.addrs[0]
        with net.dial("unix" if addr.startswith("unix") else "tcp", str(where)) as conn:
            conn.write(GET)
            assert conn.read().startswith(b"HTTP/1.1 200 OK")
            if not addr.startswith("unix"):
                with net.listen("tcp", str(where), reuse_port=True):
                    pass
        server.shutdown()
        result.recv()
    with net.listen("tcp", "127.0.0.1:0") as taken, pytest.raises(OSError):
        http.Server(str(taken.addr), hello).listen_and_serve()


# Hijacking


def test_hijack(serve, until):
    def handler(w, r):
        if r.path == "/watched":
            r.context()
        w.write("never sent")
        conn, ahead = w.hijack()
        for call in (lambda: w.write("x"), w.flush, w.hijack):
            with pytest.raises(http.Hijacked):
                call()

        def take_over():
            with conn:
                conn.write(b"mine: " + ahead)
                conn.write(conn.read())

        go(take_over)

    served = serve(handler)
    for path in b"/", b"/watched":
        with served.client() as client:
            client.send(
                b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: mine\r\n\r\nahead" % path
            )
            assert client.read_until(b"ahead") == b"mine: ahead"
            until(lambda: served.connections() == 0)
            client.send(b"more")
            assert client.read_all() == b"more"
        with served.client() as client:  # without an Upgrade as well
            client.send(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\nGET no more of HTTP" % path)
            client.read_until(b"mine: GET no more of HTTP")
            client.send(b"more")
            assert client.read_all() == b"more"


def test_an_upgrade_that_nobody_makes(serve):
    """Among them what curl and Java's client send with every request: an upgrade to h2c, also with a body."""

    def echo(w, r):
        w.write(r.header.get("Upgrade") + r.body.read().decode())

    upgrade = (
        b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    )
    with serve(echo).client() as client:
        client.send(b"GET / HTTP/1.1\r\n" + upgrade + b"\r\n")
        client.send(
            b"POST / HTTP/1.1\r\n" + upgrade + b"Content-Length: 26\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"
        )
        client.send(
            b"POST / HTTP/1.1\r\n"
            + upgrade
            + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            + GET
        )
        assert client.answer()[2] == b"h2c"
        assert client.answer()[2] == b"h2cGET /smuggled HTTP/1.1\r\n\r\n"
        assert client.answer()[2] == b"h2cabc"
        assert client.answer()[2] == b""


# Clients that behave badly, beside others


def test_resets_in_the_middle(serve, until, caplog):
    def handler(w, r):
        r.body.read()
        w.write(b"x" * 1_000_000)

    served = serve(handler)
    pieces = [
        b"",
        b"GE",
        GET[:-2],
        GET,
        GET * 50,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab",
    ]
    for _ in range(5):
        for piece in pieces:
            with served.client() as client:
                client.send(piece)
                client.conn.set_linger(0)
    until(lambda: served.connections() == 0)
    assert served.get()[0] == 200
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


def test_slow_readers_and_slow_writers_hold_nobody_up(serve, until):
    def handler(w, r):
        w.write(b"x" * (10_000_000 if r.path == "/big" else 1))

    served = serve(handler, read_header_timeout=None)
    slow = [served.client() for _ in range(100)]
    for i, client in enumerate(slow):
        client.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" if i % 2 else b"GET / HTT")
    for _ in range(50):
        assert served.get()[0] == 200
    for i, client in enumerate(slow):
        if i % 2 == 0:
            client.send(b"P/1.1\r\nHost: x\r\n\r\n")
            assert client.answer()[2] == b"x"
    assert len(slow[1].answer()[2]) == 10_000_000
    for client in slow:
        client.close()
    until(lambda: served.connections() == 0)


def test_an_idle_connection_costs_little_and_no_stack(serve):
    served = serve(hello)
    clients = [served.client() for _ in range(50)]
    for client in clients:
        client.send(GET)
        client.answer()
    mine = [g for g in runtime.goroutines() if g.name == "Connection.run"]
    assert len(mine) == 50 and all(g.stackless for g in mine)
    for client in clients:
        client.close()


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_many_clients_at_once(serve, gomaxprocs, procs):
    gomaxprocs(procs)

    def handler(w, r):
        gotime.sleep(0)
        w.write(r.body.read())

    served = serve(handler)
    done = Chan()

    def client(n):
        body = b"%d" % n * 100
        with served.client() as client:
            for _ in range(20):
                client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                assert client.answer()[2] == body
        done.send(None)

    for n in range(30):
        go(client, n)
    for _ in range(30):
        done.recv()
    assert select(recv(done), recv(gotime.after(0)))[0] == 1


@pytest.mark.soak
def test_a_thousand_clients_that_send_a_byte_at_a_time(serve, until):
    """Others are served meanwhile; those are left when their head has taken too long, and nothing stays of them."""
    served = serve(hello, read_header_timeout=5)
    before = len(runtime.goroutines())
    clients = [served.client() for _ in range(1000)]
    until(lambda: served.connections() == 1000, 60)
    for byte in b"GET /":
        for client in clients:
            try:
                client.send(bytes([byte]))
            except OSError:  # left already
                pass
        assert served.get()[0] == 200
    assert sum(not g.stackless for g in runtime.goroutines()) <= before
    until(lambda: served.connections() == 0, 60)
    assert len(runtime.goroutines()) <= before
    for client in clients:
        client.close()


def test_a_client_that_asks_and_never_reads_is_not_read_either(serve, until):
    """However much it pipelines, no more is kept than the answers that the kernel does not take."""
    served = serve(lambda w, r: w.write(b"x" * 1000))
    with served.client() as client:
        until(lambda: served.connections() == 1)
        client.conn.set_write_deadline(0.5)
        with pytest.raises(TimeoutError):
            while True:
                client.send(GET * 1000)
        connection = next(iter(served.server._connections))
        assert len(connection._rest) <= 1 << 17
        assert served.get()[0] == 200
    until(lambda: served.connections() == 0)
