"""Request: what a client asks for."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from gopy import context
from gopy.context import Context
from gopy.http._body import BadRequest, body_of
from gopy.http._header import Header, header_of

if TYPE_CHECKING:
    import ssl

    from gopy.http._body import RequestBody
    from gopy.http._form import Upload

MAX_FORM_BYTES = 10 << 20  # of an urlencoded body, as in Go
MOST_VALUES = (
    10_000  # of a query or an urlencoded body, as in Go: each takes far more memory than it has bytes
)


class Request:
    """What a client asks for. A handler gets one; httptest.new_request() makes one without a network.

    method     "GET"; as the client sent it
    path       decoded: "/a b" of "/a%20b?x=1"
    raw_query  "x=1"
    url        the target as it was sent
    proto      "HTTP/1.1"
    host       of the Host field
    content_length    -1: unknown
    body       an IO[bytes], read while the client sends; who awaits has aread() and aread1() as well
    """

    # What few ask for belongs to the class; all else to the instance, where it is found sooner.
    body: RequestBody = body_of(b"")
    content_length = 0
    host = ""
    pattern = ""  # of the ServeMux that chose the handler
    expects_continue = False  # it sends its body only when told to
    over = False  # its handler has returned
    _path: str | None = None
    _raw_query: str | None = None
    _header: Header | None = None
    _uploads: dict[str, list[Upload]]
    _names: tuple[str, ...] = ()  # of the pattern's wildcards
    _values: tuple[str, ...] = ()
    _remote_addr: Any = None
    _fields: list[tuple[bytes, bytes]]

    def __init__(self, connection: Any, method: str, url: str, proto: str) -> None:
        self._connection = connection
        self.method = method
        self.url = url
        self.proto = proto
        self.keep_alive = True  # the client would have the connection stay
        self._context: Context | None = None
        self._form: dict[str, list[str]] | None = None

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url} {self.proto}>"

    @property
    def raw_query(self) -> str:
        """What stands behind the "?" of the target."""
        query = self._raw_query
        return self.url.partition("?")[2] if query is None else query

    @raw_query.setter
    def raw_query(self, query: str) -> None:
        self._raw_query = query

    @property
    def path(self) -> str:
        """The target's path, decoded."""
        path = self._path
        if path is None:
            path = self.escaped_path
            if "%" in path:
                path = unquote(path, errors="surrogateescape")
            self._path = path
        return path

    @path.setter
    def path(self, path: str) -> None:
        self._path = path

    @property
    def escaped_path(self) -> str:
        """The target's path as it was sent."""
        url = self.url
        return url[: url.index("?")] if "?" in url else url

    @property
    def header(self) -> Header:
        """The fields, but not Host."""
        header = self._header
        if header is None:
            header = self._header = parse_fields(self._fields)
        return header

    @header.setter
    def header(self, header: Header) -> None:
        self._header = header

    def fields(self) -> list[tuple[bytes, bytes]]:
        """The fields as they were sent, Host included."""
        if self._header is None:
            return self._fields
        return [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, values in dict.items(self._header)
            for value in values
        ]

    @property
    def local_addr(self) -> Any:
        """The server's address, in the same form; None for a request that was made by hand."""
        return None if self._connection is None else self._connection.conn.local_addr

    @property
    def remote_addr(self) -> Any:
        """The client's address: a gopy.net.Addr (host, port), or the path of a unix socket."""
        if self._connection is not None:
            return self._connection.remote_addr
        return self._remote_addr

    @remote_addr.setter
    def remote_addr(self, address: Any) -> None:
        self._remote_addr = address

    @property
    def tls(self) -> ssl.SSLObject | None:
        """What the ssl module knows of the connection; None without TLS."""
        return None if self._connection is None else self._connection.tls

    def context(self) -> Context:
        """Ends when the client goes away, and when the handler has returned.

        A client that closes its writing half counts as gone, as in Go. Who never asks pays nothing: from the
        first call on, a goroutine reads ahead on the connection while the handler runs.
        """
        if self._context is not None:
            return self._context
        if self._connection is None:
            return context.background()
        ctx: Context = self._connection.watch(self)
        return ctx

    def with_context(self, ctx: Context) -> Request:
        """A shallow copy with another context, as Go's Request.WithContext."""
        other = self.copy()
        other._context = ctx
        return other

    def copy(self) -> Request:
        """A shallow copy: header, body and connection are the same."""
        other = Request.__new__(Request)
        other.__dict__.update(self.__dict__)
        return other

    def end(self) -> None:
        """The handler has returned: its body and its files can be used no longer. The connection's."""
        if self._form is not None:
            from gopy.http._form import close_uploads

            close_uploads(self._uploads)

    def path_value(self, name: str) -> str:
        """What the wildcard of the ServeMux's pattern stands for; "" if there is no such wildcard."""
        return self._values[self._names.index(name)] if name in self._names else ""

    def query(self) -> dict[str, list[str]]:
        """The values of the query. What cannot be parsed is left out. ValueError, which answers 400: there
        are more than 10,000."""
        return parse_values(self.raw_query)

    def form(self) -> dict[str, list[str]]:
        """The values of the body, if it is urlencoded or multipart, then those of the query.

        The body is read by the first call. Uploaded files are what files() has. BodyTooLarge beyond 10 MB;
        ValueError, which answers 400: the body is no such form, or has more than 10,000 values.
        """
        if self._form is None:
            from gopy.http._form import read_form

            self._form, self._uploads = read_form(self)
        return self._form

    def files(self) -> dict[str, list[Upload]]:
        """The files of a multipart body: each with `filename`, `header` and `file`. All together they are in
        memory up to 10 MB, else on disk."""
        self.form()
        return self._uploads

    def cookies(self) -> dict[str, str]:
        """The cookies that the client sent, by name; of several with one name the first."""
        found: dict[str, str] = {}
        for line in self.header.values_of("Cookie"):
            for each in line.split(";"):
                name, equals, value = each.strip(" \t").partition("=")
                if name and equals:
                    if value[:1] == value[-1:] == '"' and len(value) > 1:
                        value = value[1:-1]
                    found.setdefault(name, value)
        return found

    def basic_auth(self) -> tuple[str, str] | None:
        """The user and the password of an Authorization field with Basic; None if there is none."""
        scheme, _, encoded = self.header.get("Authorization").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (user, password) if colon else None


def parse_fields(fields: list[tuple[bytes, bytes]]) -> Header:
    found: dict[str, list[str]] = {}
    for name, value in fields:
        key, kind = KINDS.get(name) or kind_of_field(name)
        if kind is not HOST:
            found.setdefault(key, []).append(value.decode("latin-1").rstrip(" \t"))
    return header_of(found)


def parse_values(text: str) -> dict[str, list[str]]:
    """The values of a query or an urlencoded body."""
    if not text:
        return {}
    if text.count("&") >= MOST_VALUES:
        raise BadRequest(400, f"more than {MOST_VALUES} values")
    text = "&".join(each for each in text.split("&") if ";" not in each)  # as Go: no separator of ours
    return parse_qs(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=None)


# The fields that the server itself looks at.
HOST, LENGTH, ENCODING, CONNECTION, EXPECT = range(1, 6)
_OURS = {
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": ENCODING,
    b"connection": CONNECTION,
    b"expect": EXPECT,
}

# A field's name as clients write it: (its canonical form, which of ours it is or 0). It fills up to a bound.
KINDS: dict[bytes, tuple[str, int]] = {}
_MOST_KINDS = 1024


def kind_of_field(name: bytes) -> tuple[str, int]:
    from gopy.http._header import canonical

    kind = canonical(name.decode("latin-1")), _OURS.get(name.lower(), 0)
    if len(KINDS) < _MOST_KINDS:
        KINDS[name] = kind
    return kind
