"""wsgi(): PEP 3333 applications as handlers, each request in its connection's goroutine.

    start_response() called -> head kept -> first piece that is not empty: head sent -> ... -> close()

The head goes with the first piece that is not empty, so that an application may still change its mind
(exc_info) before it. A body of one piece, or one that is an iterable of length 1, has a Content-Length;
others are chunked.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from gopy.http._header import check_name
from gopy.http._request import HOST, KINDS, LENGTH, kind_of_field
from gopy.http._response import CHUNK

if TYPE_CHECKING:
    from gopy.http._request import Request
    from gopy.http._response import ResponseWriter
    from gopy.http._server import Handler

log = logging.getLogger("gopy.http")

Application = Callable[..., Iterable[bytes]]

# Fields of the connection, which are not the application's to send (PEP 3333); the server frames and ends
# responses.
_HOP_BY_HOP = frozenset(
    ["Connection", "Keep-Alive", "Proxy-Authenticate", "Te", "Trailers", "Transfer-Encoding", "Upgrade"]
)

# A field's name as clients write it: its key in the environ, "" for one that there is none for. It fills up
# to a bound.
_KEYS: dict[bytes, str] = {}
_MOST_KEYS = 1024


class FileWrapper:
    """wsgi.file_wrapper: an iterable of a file, which the server sends by sendfile(2) if it can."""

    def __init__(self, file: IO[bytes], block_size: int = CHUNK) -> None:
        self.file = file
        self.block_size = block_size

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.file.read(self.block_size), b"")

    def close(self) -> None:
        if hasattr(self.file, "close"):
            self.file.close()


class ErrorStream:
    """wsgi.errors: whole lines go to the logger "gopy.http"."""

    def __init__(self) -> None:
        self._line = ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            log.error("%s", line)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        line, self._line = self._line, ""
        if line:
            log.error("%s", line)


def wsgi(app: Application) -> Handler:
    """A handler that answers with a WSGI application. It runs in a goroutine: it may block, and so may any
    other.

    What is called there that blocks in C keeps a thread, as anywhere in gopy. Names with "_" in a request's
    header are left out, as they would pass for others."""
    if not callable(app):
        raise TypeError(f"`app` must be callable, got {type(app).__name__}")

    def handler(w: ResponseWriter, r: Request) -> None:
        answer = _Answer(w)
        result = app(environ_of(r), answer.start_response)
        try:
            answer.send(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    return handler


# What is the same in every environ.
_BASE: dict[str, Any] = {
    "SCRIPT_NAME": "",
    "SERVER_SOFTWARE": "gopy",
    "wsgi.version": (1, 0),
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    "wsgi.input_terminated": True,
    "wsgi.file_wrapper": FileWrapper,
}


def environ_of(r: Request) -> dict[str, Any]:
    """The environ of a request."""
    connection = r._connection
    environ: dict[str, Any] = (getattr(connection, "environ", None) or environ_of_connection(r)).copy()
    path = r.escaped_path
    environ["REQUEST_METHOD"] = r.method
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path
    environ["RAW_URI"] = environ["REQUEST_URI"] = r.url
    environ["QUERY_STRING"] = r.raw_query
    environ["SERVER_PROTOCOL"] = r.proto
    environ["wsgi.input"] = r.body
    environ["gopy.request"] = r
    if r.host:
        environ["HTTP_HOST"] = r.host
    for name, value in r.fields():
        key = _KEYS.get(name)
        if key is None:
            key = _key_of(name)
        if not key:
            continue
        text = value.decode("latin-1").rstrip(" \t")
        if key in environ:
            text = environ[key] + ("; " if key == "HTTP_COOKIE" else ",") + text
        environ[key] = text
    return environ


def environ_of_connection(r: Request) -> dict[str, Any]:
    """What is the same in the environs of all requests of a connection, which keeps it."""
    local, remote = r.local_addr, r.remote_addr
    environ = _BASE | {
        "SERVER_NAME": str(getattr(local, "host", "") or r.host or "localhost"),
        "SERVER_PORT": str(getattr(local, "port", "") or 80),
        "REMOTE_ADDR": str(getattr(remote, "host", "")),
        "REMOTE_PORT": str(getattr(remote, "port", "")),
        "wsgi.url_scheme": "http" if r.tls is None else "https",
        "wsgi.errors": ErrorStream(),
    }
    if r._connection is not None:
        r._connection.environ = environ
    return environ


def _key_of(name: bytes) -> str:
    """The key of a field in the environ."""
    canonical, kind = KINDS.get(name) or kind_of_field(name)
    if kind == HOST or "_" in canonical:
        key = ""
    elif kind == LENGTH:
        key = "CONTENT_LENGTH"
    elif canonical == "Content-Type":
        key = "CONTENT_TYPE"
    else:
        key = "HTTP_" + canonical.upper().replace("-", "_")
    if len(_KEYS) < _MOST_KEYS:
        _KEYS[name] = key
    return key


class _Answer:
    """What an application has said of its answer so far."""

    def __init__(self, w: ResponseWriter) -> None:
        self._w = w
        self._status = 0  # 0: start_response() has not been called
        self._fields: list[tuple[str, str]] = []

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """What the application calls. -> write()"""
        try:
            if exc_info is not None:
                if self._w.sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            elif self._status:
                raise AssertionError("start_response() was called before, and without exc_info")
        finally:
            exc_info = None
        if not isinstance(status, str):
            raise TypeError(f"`status` must be a str, got {type(status).__name__}")
        code = status[:3]
        if not (code.isascii() and code.isdigit() and status[3:4] in ("", " ") and code >= "200"):
            raise ValueError(f"`status` must be like '200 OK', got {status!r}")
        self._status = int(code)
        self._fields = headers
        return self._write

    def _begin(self) -> None:
        """Give the head to the ResponseWriter."""
        if not self._status:
            raise AssertionError("start_response() was not called before the first piece of the body")
        fields = [field for field in self._fields if check_name(field[0]) not in _HOP_BY_HOP]
        self._w.write_fields(self._status, fields)

    def _write(self, data: bytes) -> None:
        """What start_response() returned: the data is sent at once."""
        if self._put(data):
            self._w.flush()

    def _put(self, data: bytes) -> bool:
        """Add a piece of the body. -> whether anything of it is sent."""
        if not isinstance(data, bytes):
            raise TypeError(f"a WSGI application must give bytes, got {type(data).__name__}")
        if not data:
            return False
        if not self._w.status:
            self._begin()
        if not self._w.takes_body:  # HEAD is left to the ResponseWriter, but 204 and 304 have none
            return False
        self._w.write(data)
        return True

    def send(self, result: Iterable[bytes]) -> None:
        """Send what the application has returned."""
        if isinstance(result, FileWrapper) and self._send_file(result):
            return
        whole = isinstance(result, (list, tuple))  # nothing is to be waited for between the pieces
        for data in result:
            if self._put(data) and not whole:
                self._w.flush()
        if not self._w.status:
            self._begin()

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Whether the wrapper's file is one that the kernel can send, and has been sent."""
        try:
            fd = wrapper.file.fileno()
            at, size = wrapper.file.tell(), os.fstat(fd).st_size
            os.lseek(fd, at, os.SEEK_SET)
        except (AttributeError, OSError, ValueError):
            return False
        if not self._w.status:
            self._begin()
        if self._w.takes_body:
            self._w.send_file(wrapper.file, self._w.left(max(size - at, 0)))
        return True


def import_application(name: str) -> Application:
    """The application that "module:attribute" stands for; "app" or "application" if there is no attribute."""
    import importlib

    module_name, _, attributes = name.partition(":")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    found: Any = importlib.import_module(module_name)
    if attributes:
        for attribute in attributes.split("."):
            found = getattr(found, attribute)
    else:
        found = getattr(found, "application", None) or found.app
    if not callable(found):
        raise TypeError(f"{name} is no WSGI application: {type(found).__name__} is not callable")
    application: Application = found
    return application
