"""Clients: what they send, what they make of answers, and how they give up."""

import contextlib
import gzip
import io
import os
import socket
import ssl

import pytest
from heads import read_head

from gopy import Chan, context, go, http, net, runtime
from gopy import time as gotime
from gopy.http import httptest
from gopy.http._client import AGENT
from gopy.http._dialer import Parser, proxy_for


@pytest.fixture
def server():
    """server(handler, tls=False) -> httptest.Server"""
    made = []

    def server(handler, tls=False):
        made.append(httptest.Server(handler, tls=tls))
        return made[-1]

    yield server
    for each in made:
        each.close()


def answering(*answers):
    """A connection that answers one request after the other with these bytes, and ends."""

    def serve(conn):
        for answer in answers:
            if not read_head(conn):
                return
            conn.write(answer)

    return serve


def echo(w, r):
    w.header().set("X-Method", r.method)
    w.header().set(
        "X-Fields", repr({k: v for k, v in r.header.items() if k not in ("User-Agent", "Accept-Encoding")})
    )
    w.header().set("X-Length", str(r.content_length))
    w.header().set("X-Target", r.url)
    w.header().set("X-Host", r.host)
    w.write(r.body.read())


# Requests and answers


@pytest.mark.parametrize("tls", [False, True])
def test_get_and_post(server, tls):
    served = server(echo, tls)
    client = served.client()
    with client.get(f"{served.url}/a b?c=ä#d".replace(" ", "%20"), header={"x-y": "z"}) as r:
        assert (r.status, r.reason, r.read(), r.header.get("x-method")) == (200, "OK", b"", "GET")
        assert r.header["X-Target"] == ["/a%20b?c=%C3%A4"] and r.header.get("X-Fields") == "{'X-Y': ['z']}"
        assert r.header.get("X-Host") == served.url.partition("//")[2]
    r = client.post(served.url, "text/x", b"body")
    assert r.header.get("X-Fields") == "{'Content-Type': ['text/x'], 'Content-Length': ['4']}"
    assert r.read() == b"body" and r.content_length == 4 and r.read() == b""
    big = os.urandom(3_000_000)
    assert client.post(served.url, "x/y", big).read() == big
    r = client.post(served.url, "x/y", io.BytesIO(big))
    assert r.read() == big and r.header.get("X-Length") == "-1"
    r = client.post(served.url, "x/y", io.BytesIO(big), header={"Content-Length": str(len(big))})
    assert r.read() == big and r.header.get("X-Length") == str(len(big))
    assert client.do("PUT", served.url).header.get("X-Length") == "0"
    r = client.head(served.url)
    assert r.read() == b"" and r.header.get("X-Method") == "HEAD"
    assert http.get(served.url).read() == b"" if not tls else True
    http._client.default_client.close_idle_connections()


def test_json_and_iteration(server):
    served = server(lambda w, r: w.write('{"a": [1, "\u00e4"]}\n' * (2 if r.path == "/lines" else 1)))
    assert served.client().get(served.url).json() == {"a": [1, "ä"]}
    assert len(list(served.client().get(f"{served.url}/lines").body)) == 2
    with pytest.raises(ValueError):
        served.client().get(f"{served.url}/lines").json()


def test_connections_are_kept(server):
    peers = Chan(100)

    def handler(w, r):
        peers.send(r.remote_addr)
        w.write("x" * 100_000 if r.path == "/big" else "x")

    served = server(handler)
    client = served.client()
    for _ in range(3):
        client.get(served.url).read()
    client.head(f"{served.url}/big")
    assert len({peers.recv() for _ in range(4)}) == 1
    client.get(f"{served.url}/big").close()  # not read: its connection cannot be used again
    first = peers.recv()
    client.get(served.url).read()
    assert peers.recv() != first
    rs = [client.get(served.url) for _ in range(5)]
    for r in rs:
        r.read()
    assert len(client._transport.pool._idle[next(iter(client._transport.pool._idle))]) == 2


def test_a_kept_connection_that_the_server_closes(raw, client):
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    closed = Chan(10)

    def serve(conn):
        answering(ok)(conn)
        conn.close()  # after each answer, without having said so
        closed.send(None)

    url = raw(serve)
    for _ in range(3):
        assert client.get(url).read() == b"x"
        closed.recv()
    assert client.post(url, "a/b", b"x").read() == b"x"


def test_a_kept_connection_that_fails_late(raw, client):
    """The server takes the second request on a connection and closes it: safe to do again only for some."""
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    url = raw(lambda conn: (answering(ok)(conn), read_head(conn)))
    assert client.get(url).read() == b"x"
    assert client.get(url).read() == b"x"
    with pytest.raises(ConnectionError):
        client.post(url, "a/b", b"x")
    assert client.get(url).read() == b"x"
    assert client.post(url, "a/b", b"x", header={"Idempotency-Key": "1"}).read() == b"x"


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n1\r\nd\r\n0\r\nT: x\r\n\r\n",
            b"abcd",
        ),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            b"x",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x"),
    ],
)
def test_answers(raw, client, answer, want):
    assert client.get(raw(answering(answer))).read() == want


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 1000, mtime=0)[:-9],
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
    ],
)
def test_answers_that_are_broken(raw, client, answer):
    with pytest.raises(OSError):
        client.get(raw(answering(answer))).read()


def test_an_answer_before_the_request_is_sent(raw, client):
    """The server refuses a large body, and reads no more of it."""

    def refuse(conn):
        read_head(conn)
        conn.write(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
        while conn.read():
            pass

    r = client.post(raw(refuse), "x/y", io.BytesIO(b"x" * 50_000_000))
    assert (r.status, r.read()) == (413, b"no")


def test_a_body_that_cannot_be_read(server, client):
    class Broken:
        def read(self, size):
            raise KeyError("no disk")

    with pytest.raises(KeyError):
        client.post(server(echo).url, "x/y", Broken())


def test_decompression(server):
    data = b"compressed " * 100_000

    def handler(w, r):
        asked = r.header.get("Accept-Encoding")
        w.header().set("X-Asked", asked)
        if "gzip" in asked:
            w.header().set("Content-Encoding", "gzip")
            w.write(gzip.compress(data) + gzip.compress(b"and more", mtime=0))
        else:
            w.write(data)

    served = server(handler)
    client = served.client()
    r = client.get(served.url)
    assert "Content-Encoding" not in r.header and "Content-Length" not in r.header and r.content_length == -1
    assert r.body.read(11) == b"compressed " and r.read() == data[11:] + b"and more"
    r = client.get(served.url, header={"Accept-Encoding": "gzip"})  # who asks gets what is sent
    assert gzip.decompress(r.read()) == data + b"and more" and r.header.get("Content-Encoding") == "gzip"
    assert client.get(served.url, header={"Accept-Encoding": "identity"}).read() == data
    assert client.head(served.url).header.get("X-Asked") == ""


def test_user_info_and_agent(server, client):
    served = server(lambda w, r: w.write(f"{r.basic_auth()} {r.header.get('User-Agent')}"))
    url = served.url.replace("//", "//joe:p%40ss@")
    assert client.get(url).read().decode() == f"('joe', 'p@ss') {AGENT}"
    assert client.get(url, header={"User-Agent": "mine"}).read().endswith(b" mine")


def test_arguments(client):
    for url in (
        "/path",
        "ftp://x/",
        "http://",
        "http:///x",
        "http://a b/",
        "http://x/\r\n",
        "",
        "http://x:99999/",
    ):
        with pytest.raises(ValueError):
            client.get(url)
    with pytest.raises(TypeError):
        client.get(3)
    with pytest.raises(ValueError):
        client.do("GE T", "http://x/")
    with pytest.raises(ValueError):
        client.get("http://x/", header={"A": "b\r\nc"})
    with pytest.raises(TypeError, match="`body`"):
        client.do("POST", "http://x/", body="text")
    with pytest.raises(TypeError, match="`ctx` must be a Context, got int"):
        client.get("http://x/", ctx=5)
    with pytest.raises(TypeError, match="`fields` must be a mapping, or pairs, got str"):
        client.get("http://x/", header="A: b")
    for bad in {"timeout": "1"}, {"tls": 1}, {"max_idle_per_host": 1.5}, {"follow_redirects": True}:
        with pytest.raises(TypeError):
            http.Client(**bad)
    with pytest.raises(ValueError):
        http.Client(follow_redirects=-1)


def test_an_upgrade(server, client):
    def handler(w, r):
        conn, ahead = w.hijack()
        with conn:
            conn.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nahead " + ahead
            )
            conn.write(conn.read())

    r = client.get(server(handler).url, header={"Connection": "Upgrade", "Upgrade": "x"})
    assert r.status == 101
    conn, file = r.hijack()
    with conn:
        conn.write(b"and back")
        assert file.read() == b"ahead and back"
        file.close()


def test_an_answer_without_a_body_frees_its_connection_at_once(server):
    served = server(lambda w, r: w.write_header(204))
    client = served.client()
    client.get(served.url)
    client.head(served.url)
    assert [len(waiting) for waiting in client._transport.pool._idle.values()] == [1]


# Redirects


def test_redirects(server):
    seen = Chan(100)

    def handler(w, r):
        seen.send(
            (r.method, r.url, r.body.read(), r.header.get("Authorization"), r.header.get("Content-Type"))
        )
        if r.path == "/loop":
            http.redirect(w, r, "/loop", 302)
        elif r.path.startswith("/3"):
            http.redirect(w, r, "/end?a=b", int(r.path[1:4]))
        else:
            w.write("end")

    served = server(handler)
    client = served.client()
    for status in 301, 302, 303, 307, 308:
        for method in "GET", "HEAD", "POST", "DELETE":
            body = b"data" if method == "POST" else None
            r = client.do(
                method,
                f"{served.url}/{status}",
                body=body,
                header={"Authorization": "me", "Content-Type": "x/y"},
            )
            assert (r.status, r.read(), r.url) == (
                200,
                b"" if method == "HEAD" else b"end",
                f"{served.url}/end?a=b",
            )
            seen.recv()
            kept = status in (307, 308) or method in ("GET", "HEAD")
            want = (
                (method, "/end?a=b", body or b"", "me", "x/y") if kept else ("GET", "/end?a=b", b"", "me", "")
            )
            assert seen.recv() == want
    with pytest.raises(http.TooManyRedirects):
        client.get(f"{served.url}/loop")
    assert [seen.recv() for _ in range(len(seen))] == [("GET", "/loop", b"", "", "")] * 11
    r = http.Client(follow_redirects=0).get(f"{served.url}/302")
    assert r.status == 302 and r.header.get("Location") == "/end?a=b"
    r.close()


def test_redirects_to_another_site_take_no_secrets_along(server, client):
    seen = Chan(10)
    other = server(lambda w, r: seen.send(dict(r.header)))
    url = other.url.replace("127.0.0.1", "localhost")
    served = server(lambda w, r: http.redirect(w, r, url, 302))
    secrets = {"Authorization": "a", "Cookie": "b", "X": "c"}
    client.get(served.url, header=secrets).read()
    got = seen.recv()
    assert "Authorization" not in got and "Cookie" not in got and got["X"] == ["c"]


# Giving up


STAGES = ["connect", "head", "body"]


@contextlib.contextmanager
def stuck(stage, raw):
    """A URL whose answer never gets beyond a stage."""
    if stage == "connect":
        with socket.socket() as full:  # nobody accepts, and the backlog is full
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            with contextlib.ExitStack() as stack:
                while True:
                    sock = stack.enter_context(socket.socket())
                    sock.settimeout(0.2)
                    try:
                        sock.connect(("127.0.0.1", port))
                    except TimeoutError:
                        break
                yield f"http://127.0.0.1:{port}"
        return

    def serve(conn):
        read_head(conn)
        if stage == "body":
            conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        conn.read()

    yield raw(serve)


@pytest.mark.parametrize("stage", STAGES)
def test_timeouts(raw, stage):
    with stuck(stage, raw) as url:
        with pytest.raises(TimeoutError):
            http.Client(timeout=0.1).get(url).read()


@pytest.mark.parametrize("stage", STAGES)
def test_cancellation(raw, client, until, stage):
    before = len(runtime.goroutines())
    with stuck(stage, raw) as url:
        ctx, cancel = context.with_cancel(context.background())
        result = Chan(1)

        def ask():
            try:
                client.get(url, ctx=ctx).read()
            except context.Canceled as exc:
                result.send(exc)

        asking = go(ask)
        until(lambda: asking.state != "runnable" and asking.state != "running")
        cancel()
        assert isinstance(result.recv(), context.Canceled)
        with pytest.raises(context.Canceled):
            client.get(url, ctx=ctx)
        until(lambda: len(runtime.goroutines()) <= before + 1 + (stage != "connect"))


def test_cancellation_while_a_name_is_looked_up(client, monkeypatch, until):
    begun, go_on = Chan(), Chan()

    def slowly(*args, **kwargs):
        begun.send(None)
        go_on.recv()
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    ctx, cancel = context.with_cancel(context.background())
    result = Chan(1)

    def ask():
        try:
            client.get("http://some.name.invalid/", ctx=ctx)
        except context.Canceled as exc:
            result.send(exc)

    go(ask)
    begun.recv()
    cancel()
    result.recv()
    go_on.send(None)


def test_cancellation_while_an_address_does_not_answer_tries_no_other(raw, client, monkeypatch, until):
    with stuck("connect", raw) as url, socket.create_server(("127.0.0.1", 0)) as other:
        addresses = ("127.0.0.1", int(url.rpartition(":")[2])), other.getsockname()
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
        ctx, cancel = context.with_cancel(context.background())

        def ask():
            with pytest.raises(context.Canceled):
                client.get("http://some.name.invalid/", ctx=ctx)

        asking = go(ask)
        until(lambda: asking.state == "IO wait")
        cancel()
        asking.join()
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()


def test_a_connection_that_is_closed_before_its_answer_is_parsed():
    with net.listen("tcp", "127.0.0.1:0") as listener, net.dial("tcp", str(listener.addr)) as conn:
        conn.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            Parser(conn, "GET")


def test_a_timeout_is_over_with_the_body(server):
    served = server(lambda w, r: w.write("x"))
    client = http.Client(timeout=60)
    for _ in range(2):
        r = client.get(served.url)
        assert r.read() == b"x"
        assert r._exchange._stop is None
    client.close_idle_connections()


def test_nobody_there(client):
    with net.listen("tcp", "127.0.0.1:0") as listener:
        url = f"http://{listener.addr}/"
    with pytest.raises(ConnectionRefusedError, match="dial tcp 127.0.0.1:"):
        client.get(url)
    with pytest.raises(OSError, match="invalid"):
        client.get("http://no-such-name.invalid/")


# TLS and proxies


def test_certificates_are_verified(server, client):
    served = server(echo, tls=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        client.get(served.url)
    r = served.client().get(served.url.replace("127.0.0.1", "localhost"))
    assert r.status == 200
    r.read()


@pytest.mark.parametrize("tls", [False, True])
def test_proxies(raw, server, monkeypatch, tls):
    served = server(echo, tls)
    port = int(served.url.rpartition(":")[2])
    seen = Chan(10)

    def proxy(conn):
        head = read_head(conn)
        seen.send(head)
        with net.dial("tcp", f"127.0.0.1:{port}") as upstream:
            if head.startswith(b"CONNECT "):
                conn.write(b"HTTP/1.1 200 Established\r\nX: y\r\n\r\n")
            else:
                upstream.write(b"GET /through" + head[head.index(b" HTTP/1.1") :])

            def back():
                try:
                    while data := upstream.read():
                        conn.write(data)
                except OSError:
                    pass

            going = go(back)
            try:
                while data := conn.read():
                    upstream.write(data)
            except OSError:
                pass
            upstream.close()
            going.join()

    address = raw(proxy).replace("//", "//user:pw@")
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
        "https_proxy",
        "NO_PROXY",
        "no_proxy",
        "REQUEST_METHOD",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy" if tls else "http_proxy", address)
    client = served.client()
    url = f"{'https' if tls else 'http'}://example.com:1234/a?b"
    r = client.get(url)
    assert r.status == 200 and r.header.get("X-Target") == ("/a?b" if tls else "/through")
    r.read()
    head = seen.recv()
    assert head.startswith(
        b"CONNECT example.com:1234 HTTP/1.1\r\n" if tls else b"GET http://example.com:1234/a?b HTTP/1.1\r\n"
    )
    assert b"\r\nProxy-Authorization: Basic dXNlcjpwdw==\r\n" in head
    assert client.get(served.url).read() == b""  # this machine itself is never asked for through a proxy
    monkeypatch.setenv("no_proxy", "example.com")
    assert proxy_for("http", "example.com") == proxy_for("https", "www.example.com") == ""
    assert len(seen) == 0
    client.close_idle_connections()


def test_a_proxy_that_refuses(raw, client, monkeypatch):
    monkeypatch.setenv("https_proxy", raw(answering(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")))
    with pytest.raises(ConnectionError, match="407"):
        client.get("https://example.com/")


# Many at once, and what is left


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_many_goroutines_share_a_client(server, gomaxprocs, procs, until):
    gomaxprocs(procs)
    served = server(echo)
    client = served.client()
    done = Chan()

    def work(n):
        for i in range(10):
            body = f"{n} {i}".encode() * 50
            assert client.post(served.url, "x/y", body).read() == body
        done.send(None)

    for n in range(20):
        go(work, n)
    for _ in range(20):
        done.recv()
    client.close_idle_connections()
    until(lambda: not served.config._connections)


# httptest


def test_httptest_server_waits_for_requests(server):
    entered, go_on = Chan(), Chan()

    def handler(w, r):
        entered.send(None)
        go_on.recv()
        w.write("done")

    served = httptest.Server(handler)
    result = Chan(1)
    go(lambda: result.send(served.client().get(served.url).read()))
    entered.recv()
    closing = go(served.close)
    go_on.send(None)
    assert result.recv() == b"done"
    closing.join()
    served.client().close_idle_connections()
    with httptest.Server(handler) as served:
        pass


def test_recorder():
    def handler(w, r):
        w.header().set("A", "1")
        w.write_header(201)
        w.header().set("A", "2")
        w.write("<html>")
        w.flush()
        with pytest.raises(RuntimeError):
            w.hijack()

    w = httptest.ResponseRecorder()
    assert (w.status, w.code, w.body, w.flushed) == (0, 200, b"", False)
    handler(w, httptest.new_request("POST", "https://h/x", io.BytesIO(b"abc")))
    assert (w.status, w.code, w.body, w.flushed) == (201, 201, b"<html>", True)
    assert w.sent_header == {"A": ["1"], "Content-Type": ["text/html; charset=utf-8"]}
    assert isinstance(w, http.ResponseWriter)
    r = httptest.new_request("POST", "https://h/x", io.BytesIO(b"abc"), header={"a": "b"})
    assert (r.host, r.path, r.content_length, r.body.read(), r.header["A"]) == ("h", "/x", -1, b"abc", ["b"])
    assert r.remote_addr.host == "192.0.2.1" and r.tls is None
    gotime.sleep(0)
