"""Answers that many handlers give, and handlers around handlers."""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterable
from types import CoroutineType, GeneratorType
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from gopy import context
from gopy._core import Chan, Mutex, go, recv, select
from gopy.http._response import CHUNK, check_status, to_bytes
from gopy.http._status import body_allowed, status_text

if TYPE_CHECKING:
    from gopy.context import Context
    from gopy.http._request import Request
    from gopy.http._response import ResponseWriter
    from gopy.http._server import Handler


ENDS = (
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
)  # the goroutine, or the program: not for a server to catch


async def end_of(result: object) -> object:
    """What a handler has returned, at its end if that is a coroutine. TypeError: its body would never run."""
    if isinstance(result, CoroutineType):
        return await result
    if isinstance(result, GeneratorType):
        raise TypeError("a handler must be a plain function or an async def, got a generator function")
    return result


def answer_nothing(w: ResponseWriter | _Answer, result: object) -> None:
    """The answer of a handler that has written nothing. TypeError: it has returned what it meant to write, as
    handlers do elsewhere.
    """
    if isinstance(result, (str, bytes, dict)):
        raise TypeError(
            f"a handler answers by w.write(), and this one has only returned a {type(result).__name__}"
        )
    w.write_header(200)


def error(w: ResponseWriter, message: str, status: int) -> None:
    """Answer with a message in plain text. The handler should then return."""
    header = w.header()
    header.delete("Content-Length")
    header.set("Content-Type", "text/plain; charset=utf-8")
    header.set("X-Content-Type-Options", "nosniff")
    w.write_header(status)
    w.write(message + "\n")


def not_found(w: ResponseWriter, r: Request) -> None:
    """Answer 404. A handler."""
    error(w, "404 page not found", 404)


def redirect(w: ResponseWriter, r: Request, url: str, status: int) -> None:
    """Send the client elsewhere: to a URL, or a path that is relative to the request's. ValueError: CR or
    LF."""
    if not 300 <= status <= 399 and status != 201:
        raise ValueError(f"`status` must be one of a redirect, 3xx or 201, got {status}")
    if not _is_absolute(url):
        url = _resolve(url, r.escaped_path or "/")
    location = quote(url, safe=_SAFE)
    header = w.header()
    plain = "Content-Type" not in header
    header.set("Location", location)
    if plain and r.method in ("GET", "HEAD"):
        header.set("Content-Type", "text/html; charset=utf-8")
    w.write_header(status)
    if plain and r.method == "GET":
        w.write(f'<a href="{html.escape(url)}">{status_text(status)}</a>.\n\n')


_SAFE = "".join(chr(c) for c in range(128))  # what is not ASCII is escaped, all else is the caller's


def _is_absolute(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    return bool(parts.scheme or parts.netloc)


def _resolve(url: str, base: str) -> str:
    if not url.startswith("/"):
        url = base[: base.rfind("/") + 1] + url
    path, question, query = url.partition("?")
    cleaned = re.sub("^//+", "/", posixpath.normpath(path))
    if path.endswith("/") and not cleaned.endswith("/"):
        cleaned += "/"
    return cleaned + question + query


def strip_prefix(prefix: str, h: Handler) -> Handler:
    """A handler that calls h with a request whose path lacks the prefix; 404 for paths that do not begin with
    it."""
    if not prefix:
        return h

    def stripped(w: ResponseWriter, r: Request) -> object:
        if not (r.path.startswith(prefix) and r.escaped_path.startswith(prefix)):
            not_found(w, r)
            return None
        other = r.copy()
        other.url = r.url[len(prefix) :]
        other.path = r.path[len(prefix) :]
        return h(w, other)

    return stripped


class HandlerTimeout(TimeoutError):
    """The time of a timeout_handler() has passed: what the handler writes is no more sent."""


def timeout_handler(h: Handler, seconds: float, message: str = "") -> Handler:
    """A handler that runs h in a goroutine of its own, for so long: then it answers 503 with the message.

    h's answer is kept back until it returns. The request's context ends when the time is over; writing then
    raises HandlerTimeout in h, which nobody stops otherwise."""
    text = message or "<html><head><title>Timeout</title></head><body><h1>Timeout</h1></body></html>"

    def limited(w: ResponseWriter, r: Request) -> None:
        ctx, cancel = context.with_timeout(r.context(), seconds)
        answer = _Answer(w, ctx)
        done: Chan[BaseException | None] = Chan(1)

        async def run() -> None:
            """Call h. What it has made of it counts if the context is still there: when that has ended, h has
            returned for this reason, or might have, and its answer may lack what it wanted to write."""
            try:
                result = await end_of(h(answer, r.with_context(ctx)))  # type: ignore[arg-type]
                if not answer.status:
                    answer_nothing(answer, result)
            except ENDS:
                raise
            except BaseException as exc:
                if ctx.err() is None:
                    done.send(exc)
            else:
                if ctx.err() is None:
                    done.send(None)

        try:
            go(run())
            which, failure, _ = select(recv(done), recv(ctx.done()))
            if which == 0:
                if failure is not None:
                    raise failure
                answer.send()
            else:
                w.write_header(503)
                if isinstance(ctx.err(), context.DeadlineExceeded):
                    w.write(text)
        finally:
            cancel()
            failure = None

    return limited


class _Answer:
    """A ResponseWriter that keeps all back, until the handler has returned. Once its context has ended it
    takes nothing. It has what wsgi() needs of one, too."""

    def __init__(self, w: ResponseWriter, ctx: Context) -> None:
        self._w = w
        self._ctx = ctx
        self._header = type(w.header())()
        self._mutex = Mutex()  # guards the rest
        self._data = bytearray()
        self.status = 0

    def header(self) -> Any:
        return self._header

    @property
    def sent(self) -> bool:
        return self.status != 0

    @property
    def takes_body(self) -> bool:
        return body_allowed(self.status)

    def left(self, size: int) -> int:
        return size

    def write_header(self, status: int) -> None:
        status = check_status(status)
        with self._mutex:
            if not self.status and (status >= 200 or status == 101):
                self.status = status

    def write_fields(self, status: int, fields: Iterable[tuple[str, str]]) -> None:
        for name, value in fields:
            self._header.add(name, value)
        self.write_header(status)

    def send_file(self, file: IO[bytes], count: int) -> None:
        while count > 0 and (data := file.read(min(count, CHUNK))):
            count -= self.write(data)

    def write(self, data: bytes | str) -> int:
        data = to_bytes(data)
        with self._mutex:
            if self._ctx.err() is not None:
                raise HandlerTimeout("the handler has timed out")
            self.status = self.status or 200
            self._data += data
        return len(data)

    async def awrite(self, data: bytes | str) -> int:
        return self.write(data)

    def flush(self) -> None:
        """There is nothing that could be sent yet."""

    async def aflush(self) -> None:
        pass

    def send(self) -> None:
        header = self._w.header()
        for name, values in self._header.items():
            header[name] = values
        self._w.write_header(self.status or 200)
        self._w.write(bytes(self._data))
