"""What is no request, or could be two: refused with the status of RFC 9112, and the connection closed."""

import re

import pytest

from gopy import Chan, http
from gopy.http import _connection

HEAD = b"HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST / " + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


def status_of(answer):
    found = re.match(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n", answer)
    assert found, answer
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head
    length = int(re.search(rb"Content-Length: (\d+)", head)[1])
    assert len(rest) == length, "something follows the refusal"
    return int(found[1])


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """However late a client goes on with what is refused already, it gets the answer."""
    monkeypatch.setattr(_connection, "LINGER", 50.0)


@pytest.fixture
def served(serve):
    seen = Chan(100)

    def handler(w, r):
        seen.send(r.url)
        w.write(r.body.read())

    served = serve(handler)
    served.seen = seen
    return served


REFUSED = {
    # Two lengths
    b"POST / " + HEAD + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG": 400,
    b"POST / " + HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG": 400,
    b"POST / " + HEAD + b"Content-Length: 6\r\nContent-Length: 5\r\n\r\nabcdef": 400,
    b"POST / " + HEAD + b"Content-Length: 6\r\nContent-Length: 6\r\n\r\nabcdef": 400,
    b"POST / " + HEAD + b"Content-Length: 6, 6\r\n\r\nabcdef": 400,
    # A length that is none
    b"POST / " + HEAD + b"Content-Length: +6\r\n\r\nabcdef": 400,
    b"POST / " + HEAD + b"Content-Length: -6\r\n\r\nabcdef": 400,
    b"POST / " + HEAD + b"Content-Length: 0x6\r\n\r\nabcdef": 400,
    b"POST / " + HEAD + b"Content-Length: 6 6\r\n\r\nabcdef": 400,
    b"POST / " + HEAD + b"Content-Length: 6_0\r\n\r\nabcdef": 400,
    b"POST / " + HEAD + b"Content-Length: \r\n\r\nabcdef": 400,
    b"POST / " + HEAD + b"Content-Length: \xb2\r\n\r\nab": 400,
    b"POST / " + HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nab": 400,
    # Transfer codings
    b"POST / " + HEAD + b"Transfer-Encoding: gzip\r\n\r\n": 501,
    b"POST / " + HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n": 501,
    b"POST / " + HEAD + b"Transfer-Encoding: identity\r\n\r\n": 501,
    b"POST / " + HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n": 400,
    b"POST / " + HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 400,
    b"POST / " + HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n": 400,
    b"POST / " + HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n": 400,
    b"POST / " + HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n": 400,
    b"POST / " + HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n": 400,
    b"POST / " + HEAD + b"Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n": 400,
    b"POST / " + HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n": 400,
    b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 400,
    # Lines
    b"GET / " + HEAD + b"A: b\r\n c\r\n\r\n": 400,
    b"GET / " + HEAD + b"A: b\r\n\tc\r\n\r\n": 400,
    b"GET / " + HEAD + b"A:\r\n b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\n Host: x\r\n\r\n": 400,
    b"GET / HTTP/1.1\nHost: x\n\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\r\n\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\nContent-Length: 3\r\n\r\nabc": 400,
    b"GET / HTTP/1.1\rHost: x\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n": 400,
    b"\nGET / " + HEAD + b"\r\n": 400,
    b"\r\r\nGET / " + HEAD + b"\r\n": 400,
    # Fields
    b"GET / " + HEAD + b"A : b\r\n\r\n": 400,
    b"GET / " + HEAD + b"A\t: b\r\n\r\n": 400,
    b"GET / " + HEAD + b"A\r\n\r\n": 400,
    b"GET / " + HEAD + b": b\r\n\r\n": 400,
    b"GET / " + HEAD + b"A B: b\r\n\r\n": 400,
    b"GET / " + HEAD + b"A(: b\r\n\r\n": 400,
    b"GET / " + HEAD + b"\xc3: b\r\n\r\n": 400,
    b"GET / " + HEAD + b"A: b\0c\r\n\r\n": 400,
    b"GET / " + HEAD + b"A\0: b\r\n\r\n": 400,
    b"GET / " + HEAD + b"A: b\x01c\r\n\r\n": 400,
    b"GET / " + HEAD + b"A: b\x7fc\r\n\r\n": 400,
    b"GET / " + HEAD + b"A: b\rc\r\n\r\n": 400,
    b"GET / " + HEAD + b"Expect: 200-ok\r\n\r\n": 417,
    # Host
    b"GET / HTTP/1.1\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: x\r\nhOST: y\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n": 400,
    b"GET / HTTP/1.1\r\nHost: a?b\r\n\r\n": 400,
    b"GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n": 400,
    # The request line
    b"GET http://example.org/ " + HEAD + b"\r\n": 400,
    b"GET https://x/ " + HEAD + b"\r\n": 400,
    b"GET HTTP://x " + HEAD + b"\r\n": 400,
    b"GET example.org:80 " + HEAD + b"\r\n": 400,
    b"CONNECT example.org:80 " + HEAD + b"\r\n": 501,
    b"CONNECT / " + HEAD + b"\r\n": 501,
    b"GET * " + HEAD + b"\r\n": 400,
    b"GET path " + HEAD + b"\r\n": 400,
    b"GET ?a=b " + HEAD + b"\r\n": 400,
    b"GET  / " + HEAD + b"\r\n": 400,
    b"GET /  " + HEAD + b"\r\n": 400,
    b"GET\t/ " + HEAD + b"\r\n": 400,
    b" GET / " + HEAD + b"\r\n": 400,
    b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n": 400,
    b"GET /a b " + HEAD + b"\r\n": 400,
    b"GET /a\tb " + HEAD + b"\r\n": 400,
    b"GET /a\0b " + HEAD + b"\r\n": 400,
    b"GET /a\x7fb " + HEAD + b"\r\n": 400,
    b"GET /\xc3\xa4 " + HEAD + b"\r\n": 400,
    b"GET /a#b " + HEAD + b"\r\n": 400,
    b"GET /\r\n\r\n": 400,
    b"GET\r\n\r\n": 400,
    b"GET / HTTP/0.9\r\n\r\n": 505,
    b"GET / HTTP/2.0\r\nHost: x\r\n\r\n": 505,
    b"GET / HTTP/1.2\r\nHost: x\r\n\r\n": 505,
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n": 505,
    b"GET / HTTP/1.10\r\nHost: x\r\n\r\n": 400,
    b"GET / HTTP/01.1\r\nHost: x\r\n\r\n": 400,
    b"GET / http/1.1\r\nHost: x\r\n\r\n": 400,
    b"GET / RTSP/1.0\r\nHost: x\r\n\r\n": 400,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": 505,
    b"BREW / " + HEAD + b"\r\n": 501,
    b"get / " + HEAD + b"\r\n": 501,
    b"DESCRIBE / " + HEAD + b"\r\n": 501,
    b"G{T / " + HEAD + b"\r\n": 400,
    b"G\xc3T / " + HEAD + b"\r\n": 400,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n": 400,
    # Chunks
    CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n": 400,
    CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n": 400,
    CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n": 400,
    CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n": 400,
    CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n": 400,
    CHUNKED + b"5_0\r\nhello\r\n0\r\n\r\n": 400,
    CHUNKED + b"g\r\nhello\r\n0\r\n\r\n": 400,
    CHUNKED + b"\r\nhello\r\n0\r\n\r\n": 400,
    CHUNKED + b"5\nhello\n0\n\n": 400,
    CHUNKED + b"5\r\nhello\n0\r\n\r\n": 400,
    CHUNKED + b"5\r\nhello0\r\n\r\n": 400,
    CHUNKED + b"5\r\nhelloX\r\n0\r\n\r\n": 400,
    CHUNKED + b"5\r\r\nhello\r\n0\r\n\r\n": 400,
    CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n": 400,
    CHUNKED + b"5;a\rb\r\nhello\r\n0\r\n\r\n": 400,
    CHUNKED + b"5;\0\r\nhello\r\n0\r\n\r\n": 400,
    CHUNKED + b"ffffffffffffffff1\r\nhello\r\n0\r\n\r\n": 400,
    CHUNKED + b"5;" + b"a" * 10000 + b"\r\nhello\r\n0\r\n\r\n": 400,
    CHUNKED + b"0\r\nA: b\n\r\n": 400,
    CHUNKED + b"0\r\nA : b\r\n\r\n": 400,
    CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n": 400,
    CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n": 400,
    CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
    CHUNKED + b"0\r\n" + b"A: b\r\n" * 1000 + b"\r\n": 431,
}  # fmt: skip


@pytest.mark.parametrize(("request_", "status"), REFUSED.items(), ids=lambda value: repr(value)[:100])
def test_refused(served, request_, status):
    assert status_of(served.ask(request_ + SMUGGLED)) == status
    seen = [served.seen.recv() for _ in range(len(served.seen))]
    assert "/smuggled" not in seen
    if not request_.startswith(CHUNKED):
        assert seen == []


@pytest.mark.parametrize(
    "request_", [each for each in REFUSED if len(each) < 200], ids=lambda value: repr(value)[:100]
)
def test_refused_byte_by_byte(served, request_):
    """Whatever comes first: each byte is parsed as it comes, so some are refused before their end."""
    with served.client() as client:
        try:
            for byte in request_:
                client.send(bytes([byte]))
        except OSError:  # refused before its end
            pass
        if not request_.endswith(b"\n\n") and request_.count(b"\r\n\r\n") == 0:
            client.conn.close_write()
        status = status_of(client.read_all())
    assert status in (REFUSED[request_], 400)
    assert not any(served.seen.recv() == "/smuggled" for _ in range(len(served.seen)))


def test_refused_behind_a_good_request(served):
    answer = served.ask(b"GET /good " + HEAD + b"\r\n" + b"GET / " + HEAD + b"Host: y\r\n\r\n" + SMUGGLED)
    good, _, refusal = answer.partition(b"\r\n\r\n")
    assert good.startswith(b"HTTP/1.1 200 ")
    assert status_of(refusal) == 400
    assert served.seen.recv() == "/good" and len(served.seen) == 0


TAKEN = {
    b"GET / " + HEAD + b"A:b\r\n\r\n": b"",
    b"GET / " + HEAD + b"A: \xff\xfe\r\n\r\n": b"",
    b"GET / " + HEAD + b"A:\t b \t\r\n\r\n": b"",
    b"GET / " + HEAD + b"A:\r\n\r\n": b"",
    b"GET / HTTP/1.1\r\nHost:\r\n\r\n": b"",
    b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n": b"",
    b"GET / HTTP/1.1\r\nHost: xn--mnchen-3ya.example:8080 \r\n\r\n": b"",
    b"GET / HTTP/1.0\r\n\r\n": b"",
    b"\r\n\r\nGET / " + HEAD + b"\r\n": b"",
    b"GET /%00 " + HEAD + b"\r\n": b"",
    b"GET //a/../b?c=d?e " + HEAD + b"\r\n": b"",
    b"POST / " + HEAD + b"Content-Length: 003\r\n\r\nabc": b"abc",
    b"POST / " + HEAD + b"Content-Length:3 \r\n\r\nabc": b"abc",
    b"POST / " + HEAD + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n": b"abc",
    CHUNKED + b"3;a=\"b\";c\r\nabc\r\n0\r\nTrailer: x\r\n\r\n": b"abc",
    CHUNKED + b"00A\r\n0123456789\r\n000\r\n\r\n": b"0123456789",
    b"PROPFIND / " + HEAD + b"Content-Length: 1\r\n\r\nx": b"x",
}  # fmt: skip


@pytest.mark.parametrize(("request_", "body"), TAKEN.items(), ids=lambda value: repr(value)[:100])
def test_taken(served, request_, body):
    with served.client() as client:
        client.send(request_)
        assert client.answer()[::2] == (200, body)
        if b"HTTP/1.0" not in request_:
            client.send(SMUGGLED)  # that is the next one, and no more has been taken for the body
            assert client.answer()[0] == 200


# Limits


def test_the_header_is_limited(serve):
    served = serve(lambda w, r: w.write("x"), max_header_bytes=1000)
    long = b"a" * 1000
    for end in b" " + HEAD + b"\r\n", b"":  # with an end, and without one
        assert status_of(served.ask(b"GET /" + long + end)) == 414
    for end in b"\r\n\r\n", b"":
        assert status_of(served.ask(b"GET / " + HEAD + b"A: " + long + end)) == 431
        assert status_of(served.ask(b"GET / " + HEAD + b"A: b\r\n" * 200 + end)) == 431
    head = b"GET / " + HEAD + b"A: " + b"a" * (1000 - len(b"GET / " + HEAD + b"A: \r\n\r\n")) + b"\r\n\r\n"
    for data, status in (head, 200), (head.replace(b"A: a", b"A: aa"), 431):
        with served.client() as client:
            client.send(data)
            assert client.answer()[0] == status
    default = serve(lambda w, r: w.write("x"))
    assert status_of(default.ask(b"GET /" + b"a" * (2 << 20))) == 414
    with default.client() as client:
        client.send(b"GET /" + b"a" * 500_000 + b" " + HEAD + b"\r\n")
        assert client.answer()[0] == 200


def test_the_number_of_fields_is_limited(serve):
    served = serve(lambda w, r: w.write(str(len(r.header))))
    assert status_of(served.ask(b"GET / " + HEAD + b"A: b\r\n" * 1000 + b"\r\n")) == 431
    assert served.get("/", *[f"A{i}: b" for i in range(200)])[2] == b"201"


def test_the_body_is_limited(serve):
    raised = Chan(10)

    def handler(w, r):
        try:
            w.write(r.body.read())
        except http.BodyTooLarge as exc:
            raised.send(exc)
            if r.path == "/own":
                w.write_header(400)
                w.write("mine")
            else:
                raise

    served = serve(handler, max_body_bytes=10)
    length = b"POST %s " + HEAD + b"Content-Length: %d\r\n\r\n"
    with served.client() as client:
        client.send(length % (b"/", 10) + b"x" * 10)
        assert client.answer()[2] == b"x" * 10
        client.send(length % (b"/", 11))
        assert client.answer()[0] == 413  # before it has come
        assert client.ended()
    assert len(raised) == 0
    for path, status in (b"/", 413), (b"/own", 400):
        with served.client() as client:
            client.send(
                b"POST %s " % path + HEAD + b"Transfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n3\r\nabc\r\n"
            )
            assert client.answer()[0] == status
            assert client.ended()
        raised.recv()
