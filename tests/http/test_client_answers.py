"""Clients and answers that are not as they should be: surplus bytes, folded lines, fields that are none."""

import contextlib
import io

import pytest
from heads import read_head

from gopy import Chan

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"


@pytest.fixture
def answering(raw):
    """answering(*answers) -> (a URL, a channel of requests' heads): each connection answers as often as it is asked."""

    def answering(*answers):
        heads = Chan(100)
        left = list(answers)

        def serve(conn):
            with contextlib.suppress(ConnectionError):
                while head := read_head(conn):
                    heads.send((conn.remote_addr, head))
                    conn.write(left.pop(0))

        return raw(serve), heads

    return answering


@pytest.mark.parametrize(
    "first",
    [
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        OK + b"y",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + OK,
    ],
)
def test_what_comes_behind_an_answer_is_not_the_next_one(answering, client, first):
    url, heads = answering(first, OK, OK)
    assert client.get(url).read() == b"x"
    assert client.get(url).read() == b"x"
    assert client.get(url).read() == b"x"
    one, two, three = (heads.recv()[0] for _ in range(3))
    assert one != two == three  # the connection of the first was closed, the other one kept


def test_a_body_where_none_may_be(answering, client):
    url, heads = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", OK)
    assert client.head(url).read() == b""
    assert client.get(url).read() == b"x"
    assert heads.recv()[0] != heads.recv()[0]


def test_folded_lines(answering, client):
    url, _ = answering(b"HTTP/1.1 200 OK\r\nA: b\r\n  c\r\n\td \r\nB:\r\n e\r\nContent-Length: 0\r\n\r\n")
    header = client.get(url).header
    assert header["A"] == ["b c d"] and header["B"] == ["e"]


@pytest.mark.parametrize("line", [b"A(b): c", b"A: b\0c", b"A: b\x01"])
def test_fields_that_are_none(answering, client, line):
    url, _ = answering(b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 0\r\n\r\n", OK)
    with pytest.raises(ConnectionError, match="malformed answer"):
        client.get(url)
    assert client.get(url).read() == b"x"


def test_a_redirect_whose_body_is_broken(answering, client):
    url, _ = answering(
        b"HTTP/1.1 302 Found\r\nLocation: /there\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n", OK
    )
    assert client.get(url).read() == b"x"


def test_a_redirect_in_other_letters(answering, client):
    """Some servers escape neither what is not ASCII nor blanks."""
    where = "/J\u00fcrgen M".encode()
    url, heads = answering(b"HTTP/1.1 302 Found\r\nLocation: " + where + b"\r\nContent-Length: 0\r\n\r\n", OK)
    assert client.get(url).read() == b"x"
    heads.recv()
    assert heads.recv()[1].startswith(b"GET /J%C3%BCrgen%20M HTTP/1.1\r\n")


def test_the_message_is_framed_by_the_client(answering, client):
    url, heads = answering(OK, OK)
    client.post(url, "a/b", b"", header={"Transfer-Encoding": "chunked", "Content-Length": "7"}).read()
    head = heads.recv()[1]
    assert b"Content-Length: 0\r\n" in head and b"Transfer-Encoding" not in head
    header = {"Transfer-Encoding": "chunked", "Content-Length": "0"}
    client.do("PUT", url, body=io.BytesIO(), header=header).read()
    head = heads.recv()[1]
    assert b"Content-Length: 0\r\n" in head and b"Transfer-Encoding" not in head
