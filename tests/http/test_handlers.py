"""Helpers: errors, redirects, prefixes, timeouts, cookies, forms, sniffing, headers, files."""

import io
import os
import re

import pytest

from gopy import Chan, context, go, http
from gopy.http import httptest
from gopy.http._files import etags, parse_range
from gopy.http._sniff import content_type


def ask(handler, method="GET", target="/", body=b"", **header):
    r = httptest.new_request(method, target, body, header={k.replace("_", "-"): v for k, v in header.items()})
    w = httptest.ResponseRecorder(r)
    handler(w, r)
    return w


SNIFFED = [
    (b"", "text/plain; charset=utf-8"),
    (b"\1\2\3", "application/octet-stream"),
    (b"<HtMl><bOdY>blah blah blah</body></html>", "text/html; charset=utf-8"),
    (b"<HTML></HTML>", "text/html; charset=utf-8"),
    (b"   <!DOCTYPE HTML>...", "text/html; charset=utf-8"),
    (b"\r\n<html>...", "text/html; charset=utf-8"),
    ("This is not HTML. It has ☃ though.".encode(), "text/plain; charset=utf-8"),
    (b"\n<?xml!", "text/xml; charset=utf-8"),
    (b"\0\0\1\0", "image/x-icon"),
    (b"\0\0\2\0", "image/x-icon"),
    (b"BM...", "image/bmp"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a...", "image/gif"),
    (b"RIFF\0\0\0\0WEBPVP", "image/webp"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"MThd\0\0\0\6\0\1", "audio/midi"),
    (b"ID3\3\0\0\0\0\x0f", "audio/mpeg"),
    (b"RIFFb\xb8\0\0WAVEfmt \x12\0\0\0\6", "audio/wave"),
    (b"FORM\0\0\0\0AIFFCOMM\0\0\0\x12\0\1\0\0\x57\x55", "audio/aiff"),
    (b"OggS\0\2\0\0\0\0", "application/ogg"),
    (b"owow\0", "application/octet-stream"),
    (b"oggS\0", "application/octet-stream"),
    (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom<\6t\xbfmdat", "video/mp4"),
    (b"RIFF,O\n\0AVI LIST\xc0", "video/avi"),
    (b"\0\1\0\0\0\x17\1\0\0\4\1\x60\x4f", "font/ttf"),
    (b"OTTO\0\x0e\0\x80\0\3\0", "font/otf"),
    (b"wOFF\0\1\0\0", "font/woff"),
    (b"wOF2\0\1\0\0\0", "font/woff2"),
    (b"\0asm\1\0", "application/wasm"),
    (b"Rar!\x1a\7\0", "application/x-rar-compressed"),
    (b"Rar!\x1a\7\1\0", "application/x-rar-compressed"),
    (b"Rar \x1a\7\0", "application/octet-stream"),
    (b"<htmlx>", "text/plain; charset=utf-8"),
    (b"<a href=x>", "text/html; charset=utf-8"),
    (b"x" * 600 + b"\0", "text/plain; charset=utf-8"),
]


@pytest.mark.parametrize(("data", "kind"), SNIFFED)
def test_detect_content_type(data, kind):
    """sniff_test.go, TestDetectContentType"""
    assert content_type(data) == kind
    assert data == b"" or ask(lambda w, r: w.write(data)).sent_header.get("Content-Type") == kind


def test_a_content_type_that_is_set_is_left():
    def handler(w, r):
        w.header().set("Content-Type", "a/b")
        w.write("<html>")

    assert ask(handler).sent_header["Content-Type"] == ["a/b"]


# Headers


def test_header():
    h = http.Header({"content-type": "a", "X-MANY": ["1", "2"]})
    assert list(h) == ["Content-Type", "X-Many"]
    assert h.get("CONTENT-type") == "a" and h.get("none") == "" and h.get("none", "x") == "x"
    assert h.values("x-many") == ["1", "2"] and h.values("none") == []
    h.add("x-many", "3")
    h.set("content-type", "b")
    assert h["x-MANY"] == ["1", "2", "3"] and h["Content-Type"] == ["b"] and "x-many" in h
    h.delete("X-many")
    h.delete("x-many")
    assert h == {"Content-Type": ["b"]}
    other = h.clone()
    other["content-type"].append("c")
    assert h["Content-Type"] == ["b"]
    for bad in "a\rb", "a\nb", "a\0b", "a\x01b", "\u20ac":
        with pytest.raises(ValueError):
            h.set("X", bad)
        with pytest.raises(ValueError):
            h["X"] = [bad]
        with pytest.raises(ValueError):
            h.update(X=bad)
    for bad in "", "a b", "a:", "a\r\n", "\xe4":
        with pytest.raises(ValueError):
            h.add(bad, "x")
    with pytest.raises(TypeError):
        h.set("X", 3)
    h.set("X", "tab\tand \xe4")
    assert list(h) == ["Content-Type", "X"]


# error, redirect, strip_prefix


def test_error():
    def handler(w, r):
        w.header().set("Content-Length", "1")
        w.header().set("Content-Type", "text/html")
        http.error(w, "no", 418)

    w = ask(handler)
    assert (w.code, w.body) == (418, b"no\n")
    assert w.header() == {
        "Content-Type": ["text/plain; charset=utf-8"],
        "X-Content-Type-Options": ["nosniff"],
    }


@pytest.mark.parametrize(
    ("url", "want"),
    [
        ("http://foobar.com/baz", "http://foobar.com/baz"),
        ("https://foobar.com/baz", "https://foobar.com/baz"),
        ("test://foobar.com/baz", "test://foobar.com/baz"),
        ("//foobar.com/baz", "//foobar.com/baz"),
        ("/foobar.com/baz", "/foobar.com/baz"),
        ("foobar.com/baz", "/qux/foobar.com/baz"),
        ("../quux/foobar.com/baz", "/quux/foobar.com/baz"),
        ("///foobar.com/baz", "/foobar.com/baz"),
        ("/foo?next=http://bar.com/", "/foo?next=http://bar.com/"),
        ("http://localhost:8080/_ah/login?continue=http://localhost:8080/",) * 2,
        ("/фубар", "/%d1%84%d1%83%d0%b1%d0%b0%d1%80"),
        ("http://foo.com/фубар", "http://foo.com/%d1%84%d1%83%d0%b1%d0%b0%d1%80"),
    ],
)
def test_redirect(url, want):
    """serve_test.go, TestRedirect"""
    w = ask(lambda w, r: http.redirect(w, r, url, 302), target="http://example.com/qux/")
    assert w.code == 302 and w.header().get("Location").lower() == want.lower()


@pytest.mark.parametrize(
    ("method", "kind", "want_kind", "want"),
    [
        ("GET", None, "text/html; charset=utf-8", b'<a href="/foo">Found</a>.\n\n'),
        ("HEAD", None, "text/html; charset=utf-8", b""),
        ("POST", None, "", b""),
        ("DELETE", None, "", b""),
        ("GET", "application/test", "application/test", b""),
    ],
)
def test_redirect_content_type_and_body(method, kind, want_kind, want):
    """serve_test.go, TestRedirectContentTypeAndBody"""

    def handler(w, r):
        if kind:
            w.header().set("Content-Type", kind)
        http.redirect(w, r, "/foo", 302)

    w = ask(handler, method)
    assert (w.code, w.header().get("Content-Type"), w.body) == (302, want_kind, want)


def test_redirect_escapes_and_refuses():
    w = ask(lambda w, r: http.redirect(w, r, '/"><script>', 302))
    assert b"<script>" not in w.body
    w = ask(lambda w, r: http.redirect(w, r, "qux%2Fbaz", 301), target="/foo%2Fbar/")
    assert w.header().get("Location") == "/foo%2Fbar/qux%2Fbaz"
    for url in "/a\r\nSet-Cookie: b", "/a\0b":
        with pytest.raises(ValueError):
            ask(lambda w, r, url=url: http.redirect(w, r, url, 302))
    with pytest.raises(ValueError):
        ask(lambda w, r: http.redirect(w, r, "/", 200))


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/foo/bar/qux", "/qux"),
        ("/foo/bar%2Fqux", "/qux"),
        ("/foo%2Fbar/qux", None),
        ("/bar", None),
        ("/foo/bar", ""),
    ],
)
def test_strip_prefix(target, path):
    """serve_test.go, TestStripPrefix"""
    seen = []
    handler = http.strip_prefix("/foo/bar", lambda w, r: seen.append(r.path))
    r = httptest.new_request("GET", f"{target}?a=b")
    before = r.path
    w = httptest.ResponseRecorder(r)
    handler(w, r)
    assert r.path == before
    assert (w.code, seen) == ((404, []) if path is None else (200, [path]))


# timeout_handler


def test_timeout_handler(serve):
    ended = Chan(1)

    def slow(w, r):
        try:
            w.write("too late")
            r.context().done().recv()
            w.write("x")
        except http.HandlerTimeout as exc:
            ended.send(exc)

    def fast(w, r):
        w.header().set("X", "y")
        w.write_header(201)
        w.write("in time")

    async def async_fast(w, r):
        await w.awrite("in time")

    def failing(w, r):
        raise KeyError

    assert serve(http.timeout_handler(slow, 0.01, "timed out")).get()[::2] == (503, b"timed out")
    assert isinstance(ended.recv(), TimeoutError)
    status, header, body = serve(http.timeout_handler(fast, 60, "")).get()
    assert (status, header["x"], body) == (201, "y", b"in time")
    assert serve(http.timeout_handler(async_fast, 60, "")).get()[2] == b"in time"
    assert serve(http.timeout_handler(failing, 60, "")).get()[0] == 500


# Requests


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda w: w.write(5), "`data` must be bytes or a str, got int"),
        (lambda w: w.write_header("404"), "`status` must be an int, got str"),
        (lambda w: (n for n in "ab"), "got a generator function"),
    ],
)
def test_misuse_under_a_timeout_handler(call, error):
    with pytest.raises(TypeError, match=error):
        ask(http.timeout_handler(lambda w, r: call(w), 60))


def test_query_cookies_and_basic_auth():
    r = httptest.new_request(
        "GET",
        "http://h:1/a%20b/c?x=1&y=%C3%A4&x=2&z&bad;q=1",
        header={"cookie": 'a=1; b="two"; a=3; c', "Authorization": "basic QWxhZGRpbjpvcGVuOnNlc2FtZQ=="},
    )
    assert (r.method, r.path, r.raw_query, r.host) == ("GET", "/a b/c", "x=1&y=%C3%A4&x=2&z&bad;q=1", "h:1")
    assert r.query() == {"x": ["1", "2"], "y": ["ä"], "z": [""]}
    assert r.cookies() == {"a": "1", "b": "two"}
    assert r.basic_auth() == ("Aladdin", "open:sesame")
    for value in "", "Basic", "Basic !!", "Bearer QTpC", "Basic QUJD":
        assert httptest.new_request("GET", "/", header={"Authorization": value}).basic_auth() is None


def test_set_cookie():
    w = httptest.ResponseRecorder()
    http.set_cookie(
        w, "a", "b c", path="/", max_age=3, http_only=True, secure=True, same_site="Lax", domain="x.org"
    )
    http.set_cookie(w, "b", "")
    assert w.header()["Set-Cookie"] == [
        'a="b c"; Path=/; Domain=x.org; Max-Age=3; HttpOnly; Secure; SameSite=Lax',
        "b=",
    ]
    for bad in ("a;", "b"), ("a", "b;c"), ("a", "b\r\n"), ("", "b"):
        with pytest.raises(ValueError):
            http.set_cookie(w, *bad)
    with pytest.raises(ValueError):
        http.set_cookie(w, "a", "b", path="/;x")


def test_urlencoded_forms(serve):
    def handler(w, r):
        w.write(repr(r.form()))

    body = b"a=1&b=%C3%A4+c&a=2"
    kind = "Content-Type: application/x-www-form-urlencoded; charset=utf-8"
    served = serve(handler)
    got = served.get("/?a=0&q=1", kind, f"Content-Length: {len(body)}", method="POST", body=body)[2]
    assert eval(got) == {"a": ["1", "2", "0"], "b": ["ä c"], "q": ["1"]}
    assert eval(served.get("/?a=0", kind, method="GET")[2]) == {"a": ["0"]}
    too_much = b"a=" + b"x" * (11 << 20)
    got = served.get("/", kind, f"Content-Length: {len(too_much)}", method="POST", body=too_much)
    assert got[0] == 413


MULTIPART = (
    b'--B\r\nContent-Disposition: form-data; name="text"\r\n\r\nvalue\r\n'
    b'--B\r\nContent-Disposition: form-data; name="text"\r\n\r\n\xc3\xa4\r\n'
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="C:\\dir\\n\xc3\xa4me.txt"\r\n'
    b"Content-Type: text/x\r\n\r\n%s\r\n--B--\r\n"
)


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_multipart_forms(serve, until, size):
    pytest.importorskip("python_multipart")
    seen = Chan(1)

    def handler(w, r):
        form, files = r.form(), r.files()
        upload = files["file"][0]
        seen.send((form, upload.filename, upload.header.get("Content-Type"), upload.file.read(), upload.file))

    body = MULTIPART % (b"x" * size)
    served = serve(handler)
    kind = "Content-Type: multipart/form-data; boundary=B"
    assert served.get("/?q=1", kind, f"Content-Length: {len(body)}", method="POST", body=body)[0] == 200
    form, filename, content, data, file = seen.recv()
    assert form == {"text": ["value", "ä"], "q": ["1"]}
    assert (filename.rpartition("\\")[2], content, data) == ("näme.txt", "text/x", b"x" * size)
    until(lambda: file.closed)  # the client may have the answer before
    for broken in body[:-6], b"", b"--B\r\nno header\r\n":
        got = served.get("/", kind, f"Content-Length: {len(broken)}", method="POST", body=broken)
        assert got[0] == 400


def test_the_default_mux(serve):
    @http.handle("GET /of/the/default/mux")
    def handler(w, r):
        w.write(r.pattern)

    assert serve(None).get("/of/the/default/mux")[2] == b"GET /of/the/default/mux"


def test_a_wrapper_that_forgets_to_return_its_handler():
    def forgetful(handler):
        lambda w, r: handler(w, r)

    mux = http.ServeMux()
    with pytest.raises(TypeError, match="`handler` must be callable, got NoneType"):
        mux.handle("/", forgetful(lambda w, r: None))


# Files


@pytest.fixture
def site(tmp_path):
    root = tmp_path / "root"
    (root / "sub" / "with space").mkdir(parents=True)
    (root / "index" / "deep").mkdir(parents=True)
    (root / "index" / "index.html").write_text("<p>front page")
    (root / "sub" / "ünï & <odd>.txt").write_text("odd")
    (root / "sub" / "with space" / "page.md").write_text("# Page")
    (root / "data.bin").write_bytes(bytes(range(256)) * 4000)
    (root / "ten").write_bytes(b"0123456789")
    (root / "style.css").write_text("p { color: red }")
    (root / "empty").write_bytes(b"")
    (root / "page").write_text("<html>")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "rootlike").mkdir()
    (tmp_path / "rootlike" / "x").write_text("secret")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "outdir").symlink_to(tmp_path)
    (root / "alike").symlink_to(tmp_path / "rootlike")
    (root / "in").symlink_to(root / "ten")
    (root / "loop").symlink_to(root / "loop")
    (root / "dangling").symlink_to(root / "nothing")
    os.mkfifo(root / "fifo")
    return root


@pytest.mark.parametrize(
    "target",
    ["/missing", "/../secret", "/sub/../../secret", "/%2e%2e/secret", "/..%2fsecret", "/out", "/outdir/secret", "/alike/x",
     "/outdir/", "//etc/passwd", "/%00", "/ten%00.html", "/" + "x" * 5000, "/sub%2Fwith%20space/page.md", "/loop", "/dangling",
     "/fifo", "/ten/x", "/..", "/sub/..%5c..%5csecret"],
)  # fmt: skip
def test_what_is_not_served(site, target):
    w = ask(http.file_server(site), target=target)
    assert w.code == 404 and b"secret" not in w.body


def test_files_and_directories(site):
    serve = http.file_server(str(site))
    kinds = {"/style.css": "text/css; charset=utf-8", "/sub/with%20space/page.md": "text/markdown; charset=utf-8",
             "/empty": "text/plain; charset=utf-8", "/page": "text/html; charset=utf-8", "/in": "text/plain; charset=utf-8"}  # fmt: skip
    for target, kind in kinds.items():
        w = ask(serve, target=target)
        assert (w.code, w.header().get("Content-Type")) == (200, kind), target
    assert ask(serve, target="/index/").body == b"<p>front page"
    assert ask(serve, target="/index/?a=b").body == b"<p>front page"
    for target, location in (
        ("/index", "index/"),
        ("/index/index.html", "./"),
        ("/ten/", "../ten"),
        ("/sub?a", "sub/?a"),
    ):
        w = ask(serve, target=target)
        assert (w.code, w.header().get("Location")) == (301, location)
    w = ask(serve, target="/sub/")
    assert "ünï &amp; &lt;odd&gt;.txt" in w.body.decode() and w.header().get("Content-Type").startswith(
        "text/html"
    )
    links = re.findall(r'href="\./([^"]*)"', w.body.decode())
    assert links == ["with%20space/", "%C3%BCn%C3%AF%20%26%20%3Codd%3E.txt"]
    assert ask(serve, target=f"/sub/{links[1]}").body == b"odd"
    w = ask(serve, "POST", "/ten")
    assert (w.code, w.header().get("Allow")) == (405, "GET, HEAD")
    head = ask(serve, "HEAD", "/ten")
    assert (head.code, head.header().get("Content-Length"), head.body) == (200, "10", b"")
    with pytest.raises(NotADirectoryError):
        http.file_server(site / "ten")


RANGES = [
    ("", 0, None), ("", 1000, None), ("foo", 0, None), ("bytes=", 0, None), ("bytes=7", 10, None), ("bytes= 7 ", 10, None),
    ("bytes=1-", 0, None), ("bytes=5-4", 10, None), ("bytes=0-2,5-4", 10, None), ("bytes=2-5,4-3", 10, None),
    ("bytes=--5,4--3", 10, None), ("bytes=A-", 10, None), ("bytes=A-Z", 10, None), ("bytes= -Z", 10, None),
    ("bytes=5-Z", 10, None), ("bytes=Ran-dom, garbage", 10, None), ("bytes=0x01-0x02", 10, None), ("bytes=         ", 10, None),
    ("bytes= , , ,   ", 10, None), ("bytes=0-9", 10, [(0, 10)]), ("bytes=0-", 10, [(0, 10)]), ("bytes=5-", 10, [(5, 5)]),
    ("bytes=0-20", 10, [(0, 10)]), ("bytes=15-,0-5", 10, [(0, 6)]), ("bytes=1-2,5-", 10, [(1, 2), (5, 5)]),
    ("bytes=-2 , 7-", 11, [(9, 2), (7, 4)]), ("bytes=0-0 ,2-2, 7-", 11, [(0, 1), (2, 1), (7, 4)]), ("bytes=-5", 10, [(5, 5)]),
    ("bytes=-15", 10, [(0, 10)]), ("bytes=0-499", 10000, [(0, 500)]), ("bytes=-500", 10000, [(9500, 500)]),
    ("bytes=9500-", 10000, [(9500, 500)]), ("bytes=0-0,-1", 10000, [(0, 1), (9999, 1)]),
    ("bytes=500-700,601-999", 10000, [(500, 201), (601, 399)]),
    ("bytes=   1 -2   ,  4- 5, 7 - 8 , ,,", 11, [(1, 2), (4, 2), (7, 2)]),
    ("bytes=" + ",".join(["0-0"] * 101), 10000, None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "size", "want"), RANGES)
def test_parse_range(text, size, want):
    """range_test.go, TestParseRange"""
    assert (parse_range(text, size) or None) == want


@pytest.mark.parametrize(
    ("text", "status", "parts"),
    [
        ("bytes=0-4", 206, [(0, 5)]),
        ("bytes=2-", 206, [(2, 10)]),
        ("bytes=-5", 206, [(5, 10)]),
        ("bytes=0-0,-2", 206, [(0, 1), (8, 10)]),
        ("bytes=0-1,5-8", 206, [(0, 2), (5, 9)]),
        ("bytes=5-1000", 206, [(5, 10)]),
        ("bytes=0-,1-,2-,3-,4-", 200, [(0, 10)]),
        ("bytes=10-", 416, []),
        ("bytes=100-1000", 416, []),
        ("bytes=5-4", 416, []),
        ("bytes=--2", 416, []),
    ],
)
def test_ranges_of_a_file(site, text, status, parts):
    """fs_test.go, TestServeFile"""
    w = ask(http.file_server(site), target="/ten", Range=text)
    data = b"0123456789"
    assert w.code == status
    if status == 416:
        assert w.header().get("Content-Range") == "bytes */10"
    elif len(parts) == 1:
        start, end = parts[0]
        assert w.body == data[start:end]
        if status == 206:
            assert w.header().get("Content-Range") == f"bytes {start}-{end - 1}/10"
    else:
        boundary = w.header().get("Content-Type").removeprefix("multipart/byteranges; boundary=").encode()
        assert len(w.body) == int(w.header().get("Content-Length"))
        got = [part.split(b"\r\n\r\n", 1) for part in w.body.split(b"--" + boundary)[1:-1]]
        assert [part[1].removesuffix(b"\r\n") for part in got] == [data[s:e] for s, e in parts]
        assert all(
            b"Content-Range: bytes %d-%d/10" % (s, e - 1) in part[0]
            for part, (s, e) in zip(got, parts, strict=True)
        )


def test_an_empty_file_and_ranges(site):
    assert ask(http.file_server(site), target="/empty", Range="bytes=0-5").code == 200


def test_conditional_requests(site):
    serve = http.file_server(site)
    os.utime(site / "ten", (1_000_000_000, 1_000_000_000))
    first = ask(serve, target="/ten").header()
    etag, modified = first.get("Etag"), first.get("Last-Modified")
    assert modified == "Sun, 09 Sep 2001 01:46:40 GMT"
    before, after = "Sun, 09 Sep 2001 01:46:39 GMT", "Sunday, 09-Sep-01 01:46:41 GMT"
    for header, status in [
        ({"If_None_Match": etag}, 304),
        ({"If_None_Match": f'"x", W/{etag}'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"x"'}, 200),
        ({"If_None_Match": '"x"', "If_Modified_Since": modified}, 200),
        ({"If_Modified_Since": modified}, 304),
        ({"If_Modified_Since": after}, 304),
        ({"If_Modified_Since": before}, 200),
        ({"If_Modified_Since": "garbage"}, 200),
        ({"If_Match": etag}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": f"W/{etag}"}, 412),
        ({"If_Match": '"x"'}, 412),
        ({"If_Unmodified_Since": before}, 412),
        ({"If_Unmodified_Since": modified}, 200),
        ({"Range": "bytes=0-1", "If_Range": etag}, 206),
        ({"Range": "bytes=0-1", "If_Range": '"x"'}, 200),
        ({"Range": "bytes=0-1", "If_Range": modified}, 206),
        ({"Range": "bytes=0-1", "If_Range": before}, 200),
    ]:
        w = ask(serve, target="/ten", **header)
        assert w.code == status, header
        assert w.header().get("Etag") == etag
        assert (w.body == b"") == (status in (304, 412))


@pytest.mark.parametrize(
    ("text", "want"),
    [('W/"e-1"', ['W/"e-1"']), ('"e-2"', ['"e-2"']), ('"1", "2"', ['"1"', '"2"']), ("", []), ("W/", []), ('W/"truc', []),
     ('w/"case-sensitive"', []), ('"spaced etag"', [])],
)  # fmt: skip
def test_scan_etag(text, want):
    """fs_test.go, TestScanETag"""
    assert etags(text) == want


def test_files_over_the_wire(serve, site, until):
    data = (site / "data.bin").read_bytes()
    served = serve(http.strip_prefix("/files", http.file_server(site)))
    assert served.get("/files/data.bin")[2] == data
    with served.client() as client:
        for method, fields, want in [
            ("GET", b"", data),
            ("GET", b"Range: bytes=5-9\r\n", data[5:10]),
            ("HEAD", b"", b""),
            ("GET", b"", data),
        ]:
            client.send(f"{method} /files/data.bin HTTP/1.1\r\nHost: x\r\n".encode() + fields + b"\r\n")
            assert client.answer(method)[2] == want
    with served.client() as client:  # one who leaves in the middle
        (site / "big").write_bytes(b"x" * 20_000_000)
        client.send(b"GET /files/big HTTP/1.1\r\nHost: x\r\n\r\n")
        client.read_until(b"\r\n\r\n")
    until(lambda: served.connections() == 0)


def test_a_file_that_shrinks_ends_the_connection(serve, site, caplog):
    def handler(w, r):
        with open(site / "ten", "rb") as file:
            w.send_file(file, 20)

    with serve(handler).client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.read_until(b"0123456789")
        assert client.ended()
    assert "EOFError" in caplog.text


def test_send_file_of_what_is_no_file_and_of_http_1_0(serve, site):
    def handler(w, r):
        with io.BytesIO(b"abcdef") if r.path == "/mem" else open(site / "ten", "rb") as file:
            w.send_file(file, 5)

    served = serve(handler)
    assert served.get("/mem")[2] == b"abcde"
    assert served.ask(b"GET / HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n01234")


def test_the_context_of_a_request_made_by_hand():
    r = httptest.new_request("GET", "/")
    ctx, cancel = context.with_cancel(r.context())
    assert r.with_context(ctx).context() is ctx and r.context() is context.background()
    cancel()
    go(lambda: None).join()


def test_a_body_made_by_hand_can_be_awaited():
    async def handler(w, r):
        await w.awrite(await r.body.aread(2) + b" " + await r.body.aread())

    for body, want in ((b"hello", b"he llo"), ("hello", b"he llo"), (b"", b" ")):
        w = httptest.ResponseRecorder()
        go(handler(w, httptest.new_request("POST", "/", body))).join()
        assert w.body == want
    r = httptest.new_request("POST", "/", b"one\ntwo")
    assert (r.body.readline(), r.body.read()) == (b"one\n", b"two")
