"""WSGI applications: what PEP 3333 promises them."""

import sys
from wsgiref.validate import validator

import pytest

from gopy import Chan, go
from gopy import http as gohttp

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = ("200 OK", [("Content-Type", "text/plain")])


def plain(pieces, status="200 OK", headers=OK[1]):
    def app(environ, start_response):
        start_response(status, list(headers))
        return pieces

    return app


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_wsgiref_validate_passes(serve, method, caplog):
    @validator
    def app(environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.errors"].write("a line\n")
        environ["wsgi.errors"].flush()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"got ", body]

    fields = ["Content-Length: 3", "Cookie: a=1", "Cookie: b=2"] if method == "POST" else []
    status, header, body = serve(gohttp.wsgi(app)).get(
        "/a%20b?c", *fields, method=method, body=b"abc" if fields else b""
    )
    assert (status, body) == (200, {"GET": b"got ", "HEAD": b"", "POST": b"got abc"}[method])
    assert header["content-type"] == "text/plain"
    assert [each.getMessage() for each in caplog.records] == ["a line"]


def test_environ(serve):
    seen = Chan(1)

    def app(environ, start_response):
        start_response(*OK)
        seen.send(environ)
        return []

    served = serve(gohttp.wsgi(app))
    served.get("/%C3%A4%2Fb/c%20d;x?q=%201", "X-Two: 1", "x-two: 2", "Cookie: a=1", "Cookie: b=2", "X_Two: 3",
               "Content-Type: a/b", "Content-Length: 1", "Transfer_Encoding: chunked", method="PUT", body=b"x")  # fmt: skip
    environ = seen.recv()
    assert type(environ) is dict
    want = {
        "REQUEST_METHOD": "PUT", "SCRIPT_NAME": "", "PATH_INFO": "/\xc3\xa4/b/c d;x", "QUERY_STRING": "q=%201",
        "CONTENT_TYPE": "a/b", "CONTENT_LENGTH": "1", "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(served.addr.port), "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "test", "HTTP_X_TWO": "1,2",
        "HTTP_COOKIE": "a=1; b=2", "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.multithread": True,
        "wsgi.multiprocess": True, "wsgi.run_once": False, "RAW_URI": "/%C3%A4%2Fb/c%20d;x?q=%201",
    }  # fmt: skip
    assert {key: environ.get(key) for key in want} == want
    assert not {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"} & environ.keys()


def test_bodies_stream_in(serve):
    """wsgi.input has what has come, while the client sends the rest."""
    seen = Chan()

    def app(environ, start_response):
        body = environ["wsgi.input"]
        seen.send(body.readline())
        seen.send([body.read(3), body.readlines(), body.read()])
        start_response(*OK)
        return [b"done"]

    with serve(gohttp.wsgi(app)).client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\none\nt\r\n")
        assert seen.recv() == b"one\n"
        client.send(b"9\r\nwo\nthree\n\r\n0\r\n\r\n")
        assert seen.recv() == [b"two", [b"\n", b"three\n"], b""]
        assert client.answer()[2] == b"done"


def test_bodies_stream_out(serve):
    go_on = Chan()

    def app(environ, start_response):
        start_response(*OK)
        yield b""
        yield b"first"
        go_on.recv()
        yield b"second"

    with serve(gohttp.wsgi(app)).client() as client:
        client.send(GET)
        assert client.read_until(b"first").endswith(b"\r\n\r\n5\r\nfirst")
        go_on.send(None)
        assert client.read_until(b"0\r\n\r\n") == b"\r\n6\r\nsecond\r\n0\r\n\r\n"


def test_lengths(serve):
    for pieces, length in (
        ([b"abc"], "3"),
        ([b"a", b"", b"bc"], "3"),
        ([], "0"),
        ((b"x" * 100_000,), "100000"),
    ):
        status, header, body = serve(gohttp.wsgi(plain(pieces))).get()
        assert (status, header["content-length"], body) == (200, length, b"".join(pieces))
    app = plain(iter([b"ab", b"c"]), headers=[("Content-Length", "3")])
    status, header, body = serve(gohttp.wsgi(app)).get()
    assert (header["content-length"], body) == ("3", b"abc")


def test_write(serve):
    go_on = Chan()

    def app(environ, start_response):
        write = start_response(*OK)
        write(b"written")
        go_on.recv()
        return [b" and returned"]

    with serve(gohttp.wsgi(app)).client() as client:
        client.send(GET)
        client.read_until(b"written\r\n")
        go_on.send(None)
        assert client.read_until(b"0\r\n\r\n").startswith(b"d\r\n and returned")


def test_start_response_again_with_exc_info(serve, caplog):
    closed = Chan(10)

    class App:
        def __init__(self, environ, start_response):
            self.late = environ["PATH_INFO"] == "/late"
            self.start_response = start_response
            start_response(*OK)

        def __iter__(self):
            if self.late:
                yield b"begun"
            try:
                raise KeyError("why")
            except KeyError:
                self.start_response("500 Oops", [("X", "y")], sys.exc_info())
            yield b"sorry"

        def close(self):
            closed.send(None)

    served = serve(gohttp.wsgi(App))
    status, header, body = served.get("/early")
    assert (status, header["x"], body, "content-type" in header) == (500, "y", b"sorry", True)
    closed.recv()
    with served.client() as client:
        client.send(GET.replace(b"/ ", b"/late "))
        client.read_until(b"begun\r\n")
        assert client.ended()
    closed.recv()
    assert "KeyError" in caplog.text


def wrong_again(environ, start_response):
    start_response(*OK)
    start_response(*OK)
    return []


def never(environ, start_response):
    return [b"x"]


def text(environ, start_response):
    start_response(*OK)
    return ["text"]


def split(environ, start_response):
    start_response("200 OK", [("X", "a\r\nb: c")])
    return [b"x"]


def odd_status(environ, start_response):
    start_response("OK", [])
    return [b"x"]


def fails(environ, start_response):
    raise KeyError("why")


@pytest.mark.parametrize("app", [wrong_again, never, text, split, odd_status, fails])
def test_what_an_application_must_not_do(serve, app, caplog):
    served = serve(gohttp.wsgi(app))
    assert served.get()[0] == 500
    assert served.get()[0] == 500
    assert "the handler failed" in caplog.text


def test_close_is_called_when_the_client_leaves(serve, until):
    closed = Chan(1)

    class Endless:
        def __iter__(self):
            while True:
                yield b"x" * 100_000

        def close(self):
            closed.send(None)

    served = serve(gohttp.wsgi(plain(Endless())))
    with served.client() as client:
        client.send(GET)
        client.read_n(1000)
    closed.recv()
    until(lambda: served.connections() == 0)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_without_a_body(serve, status):
    with serve(gohttp.wsgi(plain([b"ignored"], status))).client() as client:
        client.send(GET * 2)
        assert client.answer()[0] == client.answer()[0] == int(status[:3])


def test_fields_of_the_connection_are_the_servers(serve):
    headers = [
        ("Connection", "close"),
        ("Transfer-Encoding", "chunked"),
        ("Keep-Alive", "x"),
        ("X", "1"),
        ("X", "2"),
    ]
    with serve(gohttp.wsgi(plain([b"x"], headers=headers))).client() as client:
        client.send(GET)
        header = client.answer()[1]
        assert not {"connection", "transfer-encoding", "keep-alive"} & header.keys() and header["x"] == "2"
        client.send(GET)
        client.answer()


@pytest.mark.parametrize(("at", "declared"), [(0, None), (5, None), (5, 10)])
def test_file_wrapper(serve, until, tmp_path, at, declared):
    data = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(data)
    files = Chan(10)

    def app(environ, start_response):
        file = open(tmp_path / "file", "rb")  # noqa: SIM115
        file.read(at)
        files.send(file)
        start_response("200 OK", [("Content-Length", str(declared))] if declared else [])
        return environ["wsgi.file_wrapper"](file, 8192)

    served = serve(gohttp.wsgi(app))
    want = data[at : at + declared if declared else None]
    with served.client() as client:
        for method in "GET", "HEAD", "GET":
            client.send(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            _, header, body = client.answer(method)
            assert header["content-length"] == str(len(want))
            assert body == (b"" if method == "HEAD" else want)
            file = files.recv()
            until(lambda file=file: file.closed)  # the client has it all before close() is called


def test_file_wrapper_of_what_is_no_file(serve):
    import io

    def app(environ, start_response):
        start_response(*OK)
        return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 20_000), 8192)

    assert serve(gohttp.wsgi(app)).get()[2] == b"x" * 20_000


def test_expect_continue(serve):
    def app(environ, start_response):
        body = environ["wsgi.input"].read()
        start_response(*OK)
        return [body]

    with serve(gohttp.wsgi(app)).client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        client.read_until(b"100 Continue\r\n\r\n")
        client.send(b"abc")
        assert client.answer()[2] == b"abc"


def test_flask(serve):
    flask = pytest.importorskip("flask")
    app = flask.Flask("test")

    @app.get("/items/<int:n>")
    def item(n):
        return {"n": n, "agent": flask.request.headers.get("X-A")}

    @app.post("/form")
    def form():
        return flask.request.form["a"]

    served = serve(gohttp.wsgi(app))
    assert served.get("/items/3", "X-A: b")[2] == b'{"agent":"b","n":3}\n'
    kind = "Content-Type: application/x-www-form-urlencoded"
    assert served.get("/form", kind, "Content-Length: 7", method="POST", body=b"a=b%20c")[2] == b"b c"
    assert served.get("/none")[0] == 404


def test_many_requests_at_once(serve, gomaxprocs):
    gomaxprocs(2)
    inside, go_on = Chan(), Chan()

    def app(environ, start_response):
        inside.send(None)
        go_on.recv()
        start_response(*OK)
        return [environ["PATH_INFO"].encode()]

    served = serve(gohttp.wsgi(app))
    answers = Chan(20)
    for i in range(20):
        go(lambda i=i: answers.send((i, served.get(f"/{i}")[2])))
    for _ in range(20):
        inside.recv()
    for _ in range(20):
        go_on.send(None)
    assert sorted(answers.recv() for _ in range(20)) == [(i, b"/%d" % i) for i in range(20)]


def test_arguments():
    with pytest.raises(TypeError, match="`app`"):
        gohttp.wsgi(3)


def bottle_app():
    bottle = pytest.importorskip("bottle")
    app = bottle.Bottle()

    @app.post("/echo/<name>")
    def echo(name):
        return f"{name} {bottle.request.forms.get('a')}"

    return app


def falcon_app():
    falcon = pytest.importorskip("falcon")

    class Echo:
        def on_post(self, request, response, name):
            response.text = f"{name} {request.get_media()['a']}"

    app = falcon.App()
    app.add_route("/echo/{name}", Echo())
    return app


def django_app():
    django = pytest.importorskip("django")
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import path

    def echo(request, name):
        return HttpResponse(f"{name} {request.POST['a']}", content_type="text/plain")

    if not settings.configured:
        settings.configure(ROOT_URLCONF=(path("echo/<name>", echo),), ALLOWED_HOSTS=["*"], SECRET_KEY="x")
        django.setup()
    return WSGIHandler()


@pytest.mark.parametrize("make", [bottle_app, falcon_app, django_app])
def test_frameworks(serve, make):
    served = serve(gohttp.wsgi(make()))
    kind = "Content-Type: application/x-www-form-urlencoded"
    for _ in range(2):
        got = served.get("/echo/x", kind, "Content-Length: 7", method="POST", body=b"a=b%20c")
        assert got[::2] == (200, b"x b c")
    assert served.get("/none")[0] == 404
