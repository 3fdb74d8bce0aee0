"""What a request's head must look like, beyond what llhttp checks, and what is answered if it does not.

llhttp in its strict mode refuses what is ambiguous within the fields: Content-Length beside
Transfer-Encoding, several Content-Lengths, folded lines, bare LF and CR, NUL, white space before the colon,
odd chunk sizes. What is left to do is here: the request line word for word, the target's form, Host, transfer
codings, the version.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gopy.http._body import BadRequest
from gopy.http._request import CONNECTION, ENCODING, EXPECT, HOST, KINDS, LENGTH, Request, kind_of_field

MOST_FIELDS = 256  # of a request, trailers included

request_line = re.compile(rb"([A-Z][A-Z-]*) (/[!-\"$-~]*|\*) HTTP/1\.([01])\r\n").match
_any_line = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP/(\d)\.(\d)\r\n").match
_host = re.compile(
    rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*(?::\d*)?|\[[0-9A-Fa-f:.]+(?:%25[\w.~-]+)?\](?::\d*)?"
).fullmatch

# Methods as bytes, decoded once.
_METHODS = {
    name: name.decode() for name in (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
}


def why_refused(head: bytes, why: str, fields: Sequence[tuple[bytes, bytes]] = ()) -> BadRequest:
    """The answer to a head that llhttp, or request_line(), does not take. fields: those that llhttp did
    take."""
    for name, value in fields:
        if (
            name.lower() == b"transfer-encoding"
            and b"chunked" not in value.lower()
            and "`Transfer-Encoding`" in why
        ):
            return BadRequest(501, "no transfer coding but chunked")
    line = _any_line(head)
    if line is None:
        return BadRequest(400, why)
    method, target, major, minor = line.groups()
    if (major, minor) not in ((b"1", b"0"), (b"1", b"1")):
        return BadRequest(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    if method == b"CONNECT":
        return BadRequest(501, "no CONNECT")
    if why == "Invalid method encountered" or why.startswith("Invalid method for"):
        return BadRequest(501, "unknown method")
    if target[:1] not in b"/*":
        return BadRequest(400, "the target must be a path: this is no proxy")
    return BadRequest(400, why)


def read_fields(r: Request, fields: list[tuple[bytes, bytes]]) -> int:
    """Look at the fields of a request and set what follows from them.

    -> the length of its body; -1: it is chunked. BadRequest: it is refused.
    """
    host: bytes | None = None
    length = 0
    modern = r.proto == "HTTP/1.1"
    if not modern:
        r.keep_alive = False
    for name, value in fields:
        kind = (KINDS.get(name) or kind_of_field(name))[1]
        if not kind:
            continue
        if kind == HOST:
            if host is not None:
                raise BadRequest(400, "more than one Host")
            host = value
        elif kind == LENGTH:
            length = _length(value)
        elif kind == ENCODING:
            if not modern:
                raise BadRequest(400, "Transfer-Encoding in HTTP/1.0")
            if value.strip(b" \t").lower() != b"chunked":
                raise BadRequest(501, "no transfer coding but chunked")
            length = -1
        elif kind == CONNECTION:
            _read_connection(r, value, modern)
        elif kind == EXPECT and modern:
            if value.strip(b" \t").lower() != b"100-continue":
                raise BadRequest(417, "no expectation but 100-continue")
            r.expects_continue = True
    if host is None:
        if modern:
            raise BadRequest(400, "no Host")
    else:
        r.host = _hosts.get(host) or known_host(host)
    return length


def _length(value: bytes) -> int:
    value = value.strip(b" \t")
    if not value.isdigit() or len(value) > 18:
        raise BadRequest(400, "the Content-Length is no number")
    return int(value)


def _read_connection(r: Request, value: bytes, modern: bool) -> None:
    members = [member.strip(b" \t").lower() for member in value.split(b",")]
    if b"close" in members:
        r.keep_alive = False
    elif not modern and b"keep-alive" in members:
        r.keep_alive = True


_hosts: dict[bytes, str] = {}
_MOST_HOSTS = 256


def known_host(value: bytes) -> str:
    """The value of a Host field. BadRequest: no host is written like that."""
    host = _hosts.get(value)
    if host is None:
        stripped = value.rstrip(b" \t")
        if _host(stripped) is None:
            raise BadRequest(400, "malformed Host")
        host = stripped.decode()
        if len(_hosts) < _MOST_HOSTS:
            _hosts[value] = host
    return host


def method_name(method: bytes) -> str:
    name = _METHODS.get(method)
    if name is None:
        if method == b"CONNECT":
            raise BadRequest(501, "no CONNECT")
        name = method.decode()
    return name
