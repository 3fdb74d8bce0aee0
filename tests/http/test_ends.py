"""How requests end that do not end well: headers that cannot be sent, clients that leave, handlers that are ended."""

import asyncio

import pytest

from gopy import Chan, context, go, http, runtime
from gopy.http import _handlers, httptest

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
EXPECTS = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n"


# Answers


def test_a_header_that_cannot_be_sent_is_the_handlers_fault(serve, caplog):
    """It was changed behind its back, and nothing has been written: the handler's end takes it."""

    def handler(w, r):
        w.header()["X"] = ["fine"]
        w.header()["X"].append("a\r\nSet-Cookie: b")
        if r.path == "/watched":
            r.context()

    served = serve(handler)
    for path in "/", "/watched":
        status, header, _ = served.get(path)
        assert status == 500 and "set-cookie" not in header and "x" not in header
    assert "the handler failed" in caplog.text


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
def test_no_continue_behind_the_head_of_the_answer(serve, close):
    """The client would take it for a part of the body."""

    def handler(w, r):
        w.write("first ")
        w.flush()
        w.write(r.body.read())

    with serve(handler).client() as client:
        client.send(EXPECTS + close + b"\r\n")
        head = client.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ") and b"Connection: close\r\n" in head
        client.send(b"abc")
        assert client.chunks() == b"first abc"
        assert client.ended()


def test_a_handler_whose_task_is_cancelled_fails_as_any_other(serve, caplog):
    """asyncio.CancelledError is no Exception."""

    async def handler(w, r):
        raise asyncio.CancelledError

    def plain(w, r):
        raise asyncio.CancelledError

    for each in handler, plain, http.timeout_handler(plain, 60), http.timeout_handler(handler, 60):
        served = serve(each)
        assert served.get()[0] == served.get()[0] == 500
    assert "the handler failed" in caplog.text


@pytest.mark.parametrize("fields", [b"", b"Content-Length: 3\r\n"])
def test_a_handler_that_ends_its_goroutine(serve, until, fields):
    """Also while the body is still to come, and nobody watches the connection."""
    contexts = Chan(1)

    def handler(w, r):
        contexts.send(r.context())
        runtime.goexit()

    served = serve(handler)
    with served.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
        assert client.ended()
        contexts.recv().done().recv()
    until(lambda: served.connections() == 0)


# What a request holds


PART = b'--B\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\n0123456789\r\n--B--\r\n'
MULTIPART = (
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(PART), PART)
)


@pytest.mark.parametrize("path", ["/", "/watched"])
def test_uploads_are_closed_when_the_answer_cannot_be_sent(serve, path):
    pytest.importorskip("python_multipart")
    files, gone = Chan(1), Chan()

    def handler(w, r):
        files.send(r.files()["a"][0].file)
        if path == "/watched":
            r.context()
        gone.recv()
        w.write(b"x" * 10_000_000)

    served = serve(handler, write_timeout=0.2)
    with served.client() as client:
        client.send(MULTIPART)
        file = files.recv()
        client.conn.set_linger(0)
    gone.send(None)
    served.server.shutdown()  # when the connection has ended
    assert file.closed


# The context


def test_a_hijacked_connection_is_read_by_nobody_else(serve):
    """The request's context was watched, and its body had not come: what comes is the handler's."""

    def handler(w, r):
        r.context()
        conn, ahead = w.hijack()
        assert ahead == b""
        with conn:
            with pytest.raises(ValueError):
                r.body.read()
            conn.write(b"mine")
            conn.write(conn.read())

    with serve(handler).client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
        client.read_until(b"mine")
        client.send(b"abcdef")
        assert client.read_all() == b"abcdef"


def test_a_response_that_has_begun_is_not_hijacked(serve):
    raised = Chan(1)

    def handler(w, r):
        w.write("begun")
        w.flush()
        try:
            w.hijack()
        except RuntimeError as exc:
            raised.send(exc)

    with serve(handler).client() as client:
        for _ in range(2):
            client.send(GET)
            assert client.answer()[2] == b"begun"
            assert "chunked" in str(raised.recv())


def test_timeout_handler_answers_who_only_stops_to_send(serve):
    """A half-closed connection may be one of a client that waits for the answer: it must not get an empty 200."""

    def handler(w, r):
        r.context().done().recv()

    with serve(http.timeout_handler(handler, 60)).client() as client:
        client.send(GET)
        client.conn.close_write()
        assert client.answer()[0] == 503


@pytest.mark.parametrize("fails", [False, True])
def test_what_returns_when_the_time_is_over_is_no_answer(serve, monkeypatch, fails):
    """Whether it has returned is looked at late: then both are true."""

    def handler(w, r):
        w.write("half of it")
        r.context().done().recv()
        if fails:
            raise KeyError

    def go_to_its_end(coroutine):
        go(coroutine).join()

    monkeypatch.setattr(_handlers, "go", go_to_its_end)
    served = serve(http.timeout_handler(handler, 0.01, "timed out"))
    for _ in range(20):
        assert served.get()[::2] == (503, b"timed out")


def test_timeout_handler_around_wsgi(serve):
    def app(environ, start_response):
        write = start_response("201 Created", [("X", "y"), ("Set-Cookie", "a"), ("Set-Cookie", "b")])
        write(b"a")
        return [b"b", b"c"]

    def with_a_file(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](open("/proc/self/comm", "rb"))

    def empty(environ, start_response):
        start_response("204 No Content", [])
        return [b"ignored"]

    status, header, body = serve(http.timeout_handler(http.wsgi(app), 60)).get()
    assert (status, header["x"], header["set-cookie"], body) == (201, "y", "b", b"abc")
    assert serve(http.timeout_handler(http.wsgi(with_a_file), 60)).get()[0] == 200
    assert serve(http.timeout_handler(http.wsgi(empty), 60)).get()[0] == 204


def test_timeout_handler_and_informational_answers(serve):
    def handler(w, r):
        w.write_header(103)
        w.write_header(201)
        w.write("x")

    assert serve(http.timeout_handler(handler, 60)).get()[::2] == (201, b"x")


def test_a_recorder_of_a_wsgi_application():
    def app(environ, start_response):
        start_response("201 Created", [("x-a", "b")])
        return [b"body"]

    r = httptest.new_request("GET", "/")
    w = httptest.ResponseRecorder(r)
    http.wsgi(app)(w, r)
    assert (w.code, w.body, w.sent_header) == (
        201,
        b"body",
        {"X-A": ["b"], "Content-Type": ["text/plain; charset=utf-8"]},
    )


# Shutdown


def test_serve_ends_with_shutdown_though_it_waits_for_a_place(serve, until):
    entered, go_on = Chan(), Chan()

    def handler(w, r):
        entered.send(None)
        go_on.recv()

    served = serve(handler, max_connections=1)
    with served.client() as client:
        client.send(GET)
        entered.recv()
        ctx, cancel = context.with_cancel(context.background())
        cancel()
        with pytest.raises(context.Canceled):
            served.server.shutdown(ctx)
        assert isinstance(served.result.recv(), http.ServerClosed)
        go_on.send(None)
        assert client.answer()[0] == 200
    until(lambda: served.connections() == 0)


def test_redirects_from_a_path_without_a_slash():
    handler = http.strip_prefix("/static", lambda w, r: http.redirect(w, r, "there", 302))
    r = httptest.new_request("GET", "/staticx")
    w = httptest.ResponseRecorder(r)
    handler(w, r)
    assert (w.code, w.header().get("Location")) == (302, "there")


def test_goroutines_are_left_to_nobody(serve, until):
    """What a request has started ends with it, however that ends."""
    before = len(runtime.goroutines())

    def handler(w, r):
        r.context()
        if r.path == "/fails":
            raise KeyError
        if r.path == "/hijacked":
            w.hijack()[0].close()
        elif r.path == "/ended":
            runtime.goexit()

    served = serve(handler)
    for path in b"/", b"/fails", b"/hijacked", b"/ended":
        with served.client() as client:
            client.send(GET.replace(b"/ ", path + b" "))
            client.conn.close_write()
            client.read_all()
    until(lambda: len(runtime.goroutines()) <= before + 1)  # serve() is one
