"""The server: what goes over the wire, by clients that write and read raw bytes."""

import pytest

from gopy import Chan, go, http

GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"


def hello(w, r):
    w.write("hello\n")


def echo(w, r):
    w.write(r.body.read())


async def ahello(w, r):
    await w.awrite("hello\n")


async def aecho(w, r):
    await w.awrite(await r.body.aread())


async def aecho_in_pieces(w, r):
    while data := await r.body.aread1():
        await w.awrite(data)


# Answers and connections


@pytest.mark.parametrize("handler", [hello, ahello])
def test_keep_alive(serve, handler):
    served = serve(handler)
    with served.client() as client:
        for _ in range(3):
            client.send(GET % b"/")
            status, header, body = client.answer()
            assert (status, body) == (200, b"hello\n")
            assert header["content-length"] == "6"
            assert header["content-type"] == "text/plain; charset=utf-8"
            assert header["date"].endswith("GMT") and "connection" not in header
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.answer()[1]["connection"] == "close"
        assert client.ended()


def test_pipelined_requests_are_answered_in_order(serve):
    def handler(w, r):
        w.write(r.path + r.body.read().decode())

    requests = [
        GET % b"/1",
        b"POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        b"POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nT: x\r\n\r\n",
        GET % b"/4",
        b"\r\nGET /5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ]
    for step in (1, 7, 1000):
        data = b"".join(requests)
        served = serve(handler)
        with served.client() as client:
            for at in range(0, len(data), step):
                client.send(data[at : at + step])
            assert [client.answer()[2] for _ in requests] == [b"/1", b"/2abc", b"/3abcd", b"/4", b"/5"]
            assert client.ended()


def test_many_pipelined_requests(serve):
    served = serve(hello)
    with served.client() as client:
        sender = go(client.send, (GET % b"/") * 5000)
        for _ in range(5000):
            assert client.answer()[0] == 200
        sender.join()


def test_http_1_0(serve):
    def handler(w, r):
        w.write("a")
        if r.path == "/stream":
            w.flush()
            w.write("b")

    served = serve(handler)
    answer = served.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and b"Connection: close\r\n" in answer
    answer = served.ask(b"GET /stream HTTP/1.0\r\n\r\n")
    assert (
        b"Transfer-Encoding" not in answer
        and b"Content-Length" not in answer
        and answer.endswith(b"\r\n\r\nab")
    )
    with served.client() as client:
        for _ in range(2):
            client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            status, header, body = client.answer()
            assert (status, header["connection"], header["content-length"], body) == (
                200,
                "keep-alive",
                "1",
                b"a",
            )
        client.send(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert client.answer()[1]["connection"] == "close"
        assert client.ended()


def test_chunked_answers(serve):
    def handler(w, r):
        for size in map(int, r.query()["n"]):
            w.write(b"x" * size)
            if "flush" in r.raw_query:
                w.flush()

    served = serve(handler)
    with served.client() as client:
        client.send(GET % b"/?n=10000&n=10000&n=3")
        _, header, body = client.answer()
        assert header["transfer-encoding"] == "chunked" and "content-length" not in header
        assert body == b"x" * 20003
        client.send(GET % b"/?n=0&n=1&n=2&flush=1")
        assert client.read_until(b"\r\n\r\n").count(b"chunked") == 1
        assert client.read_until(b"0\r\n\r\n") == b"1\r\nx\r\n2\r\nxx\r\n0\r\n\r\n"
        client.send(GET % b"/?n=1000000")  # all of it is known: a length
        assert client.answer()[1]["content-length"] == "1000000"
        client.send(GET % b"/?n=0")
        assert client.answer()[1]["content-length"] == "0"


def test_what_is_flushed_arrives_at_once(serve):
    go_on = Chan()

    def handler(w, r):
        w.write("first")
        w.flush()
        go_on.recv()
        w.write("second")

    with serve(handler).client() as client:
        client.send(GET % b"/")
        assert client.read_until(b"first").endswith(b"5\r\nfirst")
        go_on.send(None)
        assert client.read_until(b"0\r\n\r\n") == b"\r\n6\r\nsecond\r\n0\r\n\r\n"


def test_declared_length(serve):
    failure = Chan(1)

    def handler(w, r):
        w.header().set("Content-Length", "5")
        w.write("abc")
        if r.path == "/more":
            try:
                w.write("defg")
            except http.ContentLengthError as exc:
                failure.send(exc)
        if r.path != "/less":
            w.write("de")

    served = serve(handler)
    with served.client() as client:
        for path in b"/", b"/more":
            client.send(GET % path)
            assert client.answer()[2] == b"abcde"
        client.send(GET % b"/less")
        client.read_until(b"abc")
        assert client.ended()  # the client must see that something is missing
    assert isinstance(failure.recv(), ValueError)


def test_head(serve):
    def handler(w, r):
        w.write("x" * 10)
        if r.path == "/flush":
            w.flush()

    with serve(handler).client() as client:
        for path, length in ((b"/", "10"), (b"/flush", None)):
            client.send(b"HEAD %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            status, header, _ = client.answer("HEAD")
            assert (status, header.get("content-length")) == (200, length)
            assert "transfer-encoding" not in header
        client.send(GET % b"/")
        assert client.answer()[2] == b"x" * 10


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(serve, status):
    refused = Chan(1)

    def handler(w, r):
        w.header().set("Content-Length", "3")
        w.write_header(status)
        w.write(b"")
        try:
            w.write("abc")
        except http.BodyNotAllowed as exc:
            refused.send(exc)

    with serve(handler).client() as client:
        client.send((GET % b"/") * 2)
        for _ in range(2):
            got, header, _ = client.answer()
            assert got == status and header.get("content-length") == ("3" if status == 304 else None)
            assert "content-type" not in header and "transfer-encoding" not in header
            assert isinstance(refused.recv(), ValueError)


def test_informational_answers(serve):
    def handler(w, r):
        w.header().set("Link", "</style.css>; rel=preload")
        w.write_header(103)
        w.header().delete("Link")
        w.write_header(200)
        w.write_header(500)  # too late, which is logged
        w.write("done")

    with serve(handler).client() as client:
        client.send(GET % b"/")
        assert (
            client.read_until(b"\r\n\r\n")
            == b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
        )
        status, header, body = client.answer()
        assert (status, body, "link" in header) == (200, b"done", False)
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.read_until(b"\r\n").startswith(b"HTTP/1.1 200")


def test_a_header_changed_too_late_does_not_matter(serve):
    def handler(w, r):
        w.header().add("X-A", "1")
        w.header().add("X-A", "2")
        w.write_header(201)
        w.header().set("X-A", "3")
        w.write("x")

    answer = serve(handler).ask(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 201 Created\r\nX-A: 1\r\nX-A: 2\r\n") and b"3\r\n" not in answer


def test_options_for_the_server(serve):
    status, header, body = serve(hello).get("*", method="OPTIONS")
    assert (status, header["content-length"], body) == (200, "0", b"")


# Bodies


@pytest.mark.parametrize("handler", [echo, aecho, aecho_in_pieces])
def test_bodies(serve, handler):
    big = bytes(range(256)) * 2000
    with serve(handler).client() as client:
        for body in b"", b"x", big:
            client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
            sender = go(client.send, body)
            assert client.answer()[2] == body
            sender.join()
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        sender = go(
            lambda: (
                [client.send(b"%x\r\n%s\r\n" % (len(p), p)) for p in (big, b"y", big)]
                and client.send(b"0\r\n\r\n")
            )
        )
        assert client.answer()[2] == big + b"y" + big
        sender.join()


def test_reading_a_body_in_pieces(serve):
    seen = Chan(1)

    def handler(w, r):
        b = r.body
        into = bytearray(4)
        seen.send(
            [
                r.content_length,
                b.read(2),
                b.readline(),
                b.readline(3),
                b.readinto(into),
                bytes(into),
                b.read1(),
                list(b),
                b.read(),
                b.read(5),
            ]
        )

    served = serve(handler)
    served.get("/", "Content-Length: 30", method="POST", body=b"ab1\nline two\nthree\nfour\nfive\n6")
    got = seen.recv()
    assert got[:6] == [30, b"ab", b"1\n", b"lin", 4, b"e tw"]
    assert b"".join([got[6], *got[7]]) == b"o\nthree\nfour\nfive\n6"
    assert got[8:] == [b"", b""]


def test_awaiting_so_much_of_a_body(serve):
    """As much as is asked for, however it comes."""
    got, come = Chan(1), Chan()

    async def handler(w, r):
        first = await r.body.aread1()
        await come.asend(None)
        got.send([first, *[await r.body.aread(size) for size in (0, 4, 1, None)], await r.body.aread()])

    with serve(handler).client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab")
        come.recv()
        for piece in b"cd", b"efghi", b"j":
            client.send(piece)
        client.answer()
    assert got.recv() == [b"ab", b"", b"cdef", b"g", b"hij", b""]


def test_continue_is_said_when_the_body_is_wanted(serve):
    def handler(w, r):
        if r.path == "/want":
            w.write(r.body.read())
        else:
            w.write_header(403)

    served = serve(handler)
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n"
    with served.client() as client:
        client.send(head % b"/want")
        assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"abc")
        assert client.answer()[2] == b"abc"
        client.send(head % b"/want" + b"xyz")  # who does not wait needs not be told
        status, _, body = client.answer()
        assert (status, body) == (200, b"xyz")
        client.send(head % b"/refuse")
        status, header, _ = client.answer()
        assert (status, header["connection"]) == (403, "close")
        assert client.ended()
    assert served.get("/", "Expect: magic")[0] == 417


def test_a_body_that_nobody_reads_is_drained_or_ends_the_connection(serve):
    with serve(hello).client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000 + GET % b"/")
        assert client.answer()[2] == client.answer()[2] == b"hello\n"
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        assert client.answer()[0] == 200  # before the body has come
        client.send(b"x" * 100000 + GET % b"/")
        assert client.answer()[0] == 200
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert client.answer()[1]["connection"] == "close"
        assert client.ended()
    with serve(hello).client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.answer()[0] == 200
        client.send(b"40000\r\n" + b"x" * 0x40000 + b"\r\n1\r\nx\r\n")
        assert client.ended()


def test_a_body_that_ends_early(serve, caplog):
    seen = Chan(2)

    def handler(w, r):
        try:
            r.body.read()
        except ConnectionError as exc:
            seen.send(exc)
            raise

    served = serve(handler)
    with served.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        client.conn.close_write()
        assert isinstance(seen.recv(), ConnectionError)
        assert client.ended()
    with served.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab")
        client.conn.set_linger(0)
        client.close()  # a reset
        assert isinstance(seen.recv(), ConnectionError)
    assert not [each for each in caplog.records if each.levelname == "ERROR"]  # it is not the handler's fault


def test_a_request_that_is_over_gives_no_more_of_its_body(serve):
    kept = Chan(1)

    def handler(w, r):
        if r.method == "POST":
            kept.send(r)

    with serve(handler).client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"x" * 10)
        assert client.answer()[0] == 200
        with pytest.raises(ValueError):
            kept.recv().body.read()
        client.send(b"x" * 990 + GET % b"/")
        assert client.answer()[0] == 200


def test_a_body_that_another_goroutine_still_reads(serve, until):
    """What it would read is the connection's again: two readers would tear the next request apart."""
    reading, result = Chan(), Chan(1)

    def handler(w, r):
        def read():
            reading.send(None)
            try:
                r.body.read()
            except (OSError, ValueError) as exc:
                result.send(exc)

        reader = go(read)
        reading.recv()
        until(lambda: reader.state == "IO wait")

    with serve(handler).client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert client.answer()[0] == 200
        assert client.ended()
    assert isinstance(result.recv(), OSError)


def test_nothing_is_written_when_the_handler_has_returned(serve):
    writers = Chan(10)

    def handler(w, r):
        writers.send(w)
        w.write(r.path)
        if r.path == "/flushed":
            w.flush()

    with serve(handler).client() as client:
        for path in b"/plain", b"/flushed":
            client.send(GET % path)
            assert client.answer()[2] == path
            w = writers.recv()
            for call in (lambda w=w: w.write("late"), w.flush, w.hijack, lambda w=w: w.write_header(500)):
                with pytest.raises(RuntimeError, match="has returned"):
                    call()


# Faults of handlers


def test_a_handler_that_raises(serve, caplog):
    def handler(w, r):
        if r.path == "/late":
            w.write("begun")
            w.flush()
        raise KeyError("what went wrong")

    served = serve(handler)
    with served.client() as client:
        client.send(GET % b"/early?q=1")
        status, header, body = client.answer()
        assert (status, header["connection"], body) == (500, "close", b"500 Internal Server Error\n")
        assert client.ended()
    record = caplog.records[-1]
    assert record.name == "gopy.http" and "GET /early?q=1 HTTP/1.1" in record.getMessage() and record.exc_info
    with served.client() as client:
        client.send(GET % b"/late")
        client.read_until(b"begun\r\n")
        assert client.ended()  # without the last chunk
    assert served.get("/")[0] == 500

    async def ahandler(w, r):
        raise KeyError("what went wrong")

    assert serve(ahandler).get("/")[0] == 500


def test_a_handler_that_yields_is_refused(serve, caplog):
    """It would have answered with nothing, and said nothing."""

    def handler(w, r):
        w.write("never")
        yield

    assert serve(handler).get("/")[0] == 500
    assert "got a generator function" in caplog.text


@pytest.mark.parametrize("answer", ["text", b"bytes", {"a": "dict"}])
def test_a_handler_that_returns_its_answer_is_refused(serve, caplog, answer):
    """It would have answered with nothing, and said nothing."""

    async def ahandler(w, r):
        return answer

    for handler in (lambda w, r: answer), ahandler, http.timeout_handler(ahandler, 60):
        assert serve(handler).get("/")[0] == 500
        assert f"this one has only returned a {type(answer).__name__}" in caplog.text
        caplog.clear()


def test_what_a_handler_returns_beside_its_answer_is_dropped(serve):
    for handler in (lambda w, r: (w.write("x"), "y")[1]), (lambda w, r: (w.write_header(204), "y")[1]):
        assert serve(handler).get("/")[0] in (200, 204)
    assert serve(lambda w, r: 3).get("/")[0] == 200


def test_a_response_cannot_be_split(serve):
    raised = Chan(10)

    def handler(w, r):
        for name, value in (
            ("X", "a\r\nb"),
            ("X", "a\nb"),
            ("X", "a\0"),
            ("X\r\n", "a"),
            ("X:", "a"),
            ("", "a"),
            ("X", "€"),
        ):
            for put in (w.header().set, w.header().add):
                try:
                    put(name, value)
                except ValueError:
                    continue
                raised.send((name, value))
        w.header()["X"] = ["fine"]
        for behind_its_back in ("a\r\nSet-Cookie: b", "a" * 100 + "\nSet-Cookie: b"):
            w.header()["X"].append(behind_its_back)
            try:
                w.write("x")
            except ValueError:
                w.header()["X"].pop()
        w.write("refused")

    assert serve(handler).get("/")[2] == b"refused"
    assert len(raised) == 0
    with pytest.raises(ValueError):
        http.Header({"A": "b\rc"})
    with pytest.raises(TypeError):
        http.Header()["A"] = "b"


def test_arguments_are_checked():
    with pytest.raises(TypeError, match="`handler`"):
        http.Server(handler=3)
    with pytest.raises(TypeError, match="`addr`"):
        http.Server(8080)
    with pytest.raises(TypeError, match="`read_timeout`"):
        http.Server(read_timeout="1")
    with pytest.raises(ValueError, match="`max_header_bytes`"):
        http.Server(max_header_bytes=0)
    with pytest.raises(TypeError, match="`tls`"):
        http.Server(tls=1)
    with pytest.raises(TypeError, match="`access_log`"):
        http.Server(access_log=3)
    with pytest.raises(TypeError, match="`ln`"):
        http.Server().serve(3)


def test_access_log(serve):
    lines = Chan(10)

    def handler(w, r):
        w.write_header(201)
        w.write("abc")

    served = serve(handler, access_log=lines.send)
    with served.client() as client:
        client.send(
            b'GET /a"b?c=d HTTP/1.1\r\nHost: x\r\nAuthorization: Basic am9lOnB3\r\n\r\n'
            + b"HEAD / HTTP/1.0\r\n\r\n"
        )
        client.answer()
        client.answer("HEAD")
    assert_line = r'127\.0\.0\.1 - joe \[\d\d/[A-Z][a-z]{2}/\d{4} \d\d:\d\d:\d\d [+-]\d{4}\] "GET /a%22b\?c=d HTTP/1\.1" 201 3'
    import re

    assert re.fullmatch(assert_line, lines.recv())
    assert lines.recv().endswith('"HEAD / HTTP/1.0" 201 3')
