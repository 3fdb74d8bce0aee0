"""Connection: one client, from its first request to its last, and what goes out to it.

A connection is a stackless goroutine. While it waits for a request it costs a heap frame and no stack, and
any thread may go on with it; handlers that are plain functions run within its step, and may block there like
anywhere. Requests are served one after the other, so pipelined ones are answered in order.

Who may read from the connection: its goroutine, also within the handler, for bodies; and, between the first
`context()` of a request whose body is complete and the end of its handler, the watcher: a goroutine that
waits for the client to go away, and keeps what comes instead. `_lock` guards who that is.

`_state` says who may end the connection, and how a request ends:

    ACTIVE    a request is served; only the connection's goroutine ends it (or close(), which asks nobody)
    WATCHED   the same, and somebody has asked for the request's context: its end goes by `_lock`
    ENDED     the request is over, which nobody watched: that is most of them, and costs no lock
    IDLE      waiting for the next one: whoever changes that to CLOSED closes it, which shutdown() does
    HIJACKED  it is the handler's, to use and to close
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gopy import context
from gopy._core import Goroutine, Int32, Mutex, go
from gopy.context import Context
from gopy.http._body import BadRequest
from gopy.http._handlers import ENDS, answer_nothing, end_of
from gopy.http._reader import Reader
from gopy.http._request import Request
from gopy.http._response import Hijacked, ResponseWriter, date_line
from gopy.http._status import status_line, status_text
from gopy.net import Conn

if TYPE_CHECKING:
    import ssl

    from gopy.http._server import Server

log = logging.getLogger("gopy.http")

ACTIVE, WATCHED, ENDED, IDLE, CLOSED, HIJACKED = range(6)

DRAINED = 256 << 10  # bytes of a body that nobody has read, which are read to keep the connection, as in Go
DRAIN_SECONDS = 5.0
AHEAD = 1 << 16  # bytes that a watcher keeps
JOINED = 1 << 16  # bytes up to which pieces are copied together, to be one write
SENDFILE = 1 << 20  # bytes of a file that the kernel is asked to send at once
LINGER = 0.5  # seconds that a client has to take an answer before the connection is closed
LINGER_BYTES = 1 << 20


class Connection(Reader):
    """A client's connection and the request that is being served."""

    __slots__ = ("_cancel", "_lock", "_state", "_undrained", "_unsent", "_watcher", "environ")

    def __init__(self, server: Server, conn: Conn) -> None:
        super().__init__(server, conn)
        self._state = Int32(IDLE)
        self._lock = Mutex()
        self._watcher: Goroutine | None = None
        self.environ: dict[str, Any] | None = None  # of wsgi()
        self._cancel: Callable[[], None] | None = None  # ends the request's context
        self._unsent: OSError | None = None  # why nothing more can be written
        self._undrained = False  # too much of the body is left to be read for another request to follow

    @property
    def remote_addr(self) -> Any:
        return self.conn.remote_addr

    @property
    def tls(self) -> ssl.SSLObject | None:
        return getattr(self.conn, "ssl_object", None)

    # ---- the goroutine ----

    async def run(self) -> None:
        """Serve requests until one side ends the connection."""
        try:
            await self._serve()
        except OSError as exc:  # the client is gone, or does not speak TLS
            log.debug("%s: %s", self.remote_addr, exc)
        except Exception:  # a fault of ours is no reason to end the program
            log.exception("the connection of %s failed", self.remote_addr)
        finally:
            if self._cancel is not None:  # the handler has ended its goroutine, and nobody has come to that
                self._cancel()
            if self._state.load() != HIJACKED:
                if self.tls is None:
                    self.conn.close()
                else:
                    await self.conn.aclose()  # which may have to wait for a client that does not read
                self.server._forget(self)
            self._parser = self._framing = self._failure = self._unsent = None  # which refer to this object

    async def _serve(self) -> None:
        """run(), without its end."""
        server, conn, state = self.server, self.conn, self._state
        stopping, handler, write_timeout = server._stopping.load, server.handler, server.write_timeout
        logs = server.access_log is not None
        timeout = server._header_timeout()
        while True:
            data = self._rest
            if data:
                self._rest = b""
                state.store(ACTIVE)
            else:
                conn.set_read_deadline(timeout)
                state.store(IDLE)
                if stopping():
                    return
                try:
                    data = await conn.aread()
                except TimeoutError:
                    return
                if not data or not state.compare_and_swap(IDLE, ACTIVE):
                    return
            timeout = server.idle_timeout
            try:
                r = self._fast_request(data) or await self._slow_request(data)
            except BadRequest as exc:
                await self._refuse(exc)
                return
            if r is None:
                return
            if write_timeout is not None:
                conn.set_write_deadline(write_timeout)
            w = ResponseWriter(self, r)
            try:
                result = (handler if r.url != "*" else _answer_options)(w, r)
                if result is not None:
                    result = await end_of(result)
                if (
                    not w.status and not w.hijacked
                ):  # here, as a header that cannot be sent is the handler's fault
                    answer_nothing(w, result)
            except ENDS:
                raise
            except BaseException as exc:  # asyncio's CancelledError is no Exception
                await self._failed(w, r, exc)
                return
            if w.hijacked:
                await self._over(w, r)
                return
            plain = r._context is None and self._body is None and self._failure is None and not logs
            r.over = True
            if plain and state.compare_and_swap(ACTIVE, ENDED):
                if not self._end_at_once(w, r):
                    return
            elif not await self._end(w, r):
                return

    def _end_at_once(self, w: ResponseWriter, r: Request) -> bool:
        """_end(), of most requests: nobody watches, and there is no body left."""
        try:
            out = w.finish_at_once()
            if out and self._unsent is None:
                self.conn.write(out)
            elif not out and (rest := w.finish()):
                self.send(*rest)
        finally:
            if r._form is not None:
                r.end()
        return self._unsent is None and not w.ends_connection

    async def _end(self, w: ResponseWriter, r: Request) -> bool:
        """Send what is left of the response. -> whether another request may follow."""
        body = self._body
        if body is not None:
            self._undrained = self._undrained or r.content_length - body.received > DRAINED
            body.abandon()  # before the answer is out, which tells others that the request is over
        try:
            out = w.finish()
            if out and self._unsent is None:
                self.send(*out)
        finally:
            await self._over(w, r)
        if body is not None:
            self._undrained = self._undrained or body.reading  # a goroutine that the handler has left behind
        goes_on = self._failure is self._unsent is None and not w.ends_connection and not self._undrained
        if goes_on and (body is None or await self._drain()):
            return True
        if (self._body is not None or self._rest) and not (body and body.reading):
            await self._linger()
        return False

    async def _over(self, w: ResponseWriter, r: Request) -> None:
        """The handler has returned: nobody reads for it any more."""
        with self._lock:
            r.over = True
            watcher, self._watcher = self._watcher, None
            cancel, self._cancel = self._cancel, None
        if watcher is not None:
            with suppress(OSError):  # closed already, which ends the watcher as well
                self.conn.set_read_deadline(0)
            await watcher.ajoin()
        if cancel is not None:
            cancel()
        r.end()
        if self.server.access_log is not None and not w.hijacked:
            self.server._log_access(r, w.status, w.written)

    async def _failed(self, w: ResponseWriter, r: Request, exc: BaseException) -> None:
        """The handler has raised: say so, to the log and to the client, as far as it can still be told."""
        ours = exc is self._failure or exc is self._unsent or isinstance(exc, BadRequest)
        refusal: BadRequest | None = None
        if isinstance(exc, BadRequest):
            refusal = exc
        elif not ours:
            log.error(
                "%s %s %s from %s: the handler failed",
                r.method,
                r.url,
                r.proto,
                self.remote_addr,
                exc_info=exc,
            )
            refusal = BadRequest(500, "")
        elif isinstance(exc, TimeoutError):  # raised by a read: a write would have been preceded by the head
            refusal = BadRequest(408, "the body of the request took too long")
        if not w.hijacked and not w.sent and refusal is not None:
            w.status = refusal.status
            await self._over(w, r)
            await self._refuse(refusal)
        else:
            await self._over(w, r)

    async def _refuse(self, exc: BadRequest) -> None:
        """Answer with a status, and end the connection."""
        text = f"{exc.status} {status_text(exc.status)}" + (f": {exc.why}" if exc.why else "") + "\n"
        head = (
            f"{status_line(exc.status)}{date_line()}Content-Length: {len(text)}\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        )
        self.conn.set_write_deadline(
            LINGER if self.server.write_timeout is None else self.server.write_timeout
        )
        await self.conn.awrite((head + text).encode("latin-1"))
        await self._linger()

    async def _linger(self) -> None:
        """Let the client read the answer. A close while unread bytes are here would be a reset, which may
        take the answer away from it; so it gets the end of the stream, and a little time to end its own."""
        self.conn.set_deadline(LINGER)
        try:
            await self.conn.aclose_write()
            left = LINGER_BYTES
            while left > 0 and (data := await self.conn.aread()):
                left -= len(data)
        except OSError:
            pass

    async def _drain(self) -> bool:
        """Read what the handler has left of the body. False: it is too much, or too slow."""
        self.conn.set_read_deadline(DRAIN_SECONDS)
        before = 0 if self._body is None else self._body.received
        try:
            while (body := self._body) is not None:
                if body.received - before > DRAINED:
                    return False
                await self.amore_body()
                body.forget()
        except (OSError, BadRequest):
            return False
        return True

    # ---- what goes out, for ResponseWriter ----

    def send(self, *pieces: bytes) -> None:
        """Write, parking while the client does not read. Its failure ends the request's context."""
        if self._unsent is not None:
            raise self._unsent
        try:
            for data in _joined(pieces):
                self.conn.write(data)
        except OSError as exc:
            self._not_sent(exc)
            raise

    async def asend(self, *pieces: bytes) -> None:
        """send() for those who await."""
        if self._unsent is not None:
            raise self._unsent
        try:
            for data in _joined(pieces):
                await self.conn.awrite(data)
        except OSError as exc:
            self._not_sent(exc)
            raise

    def send_file(self, fd: int, at: int, count: int) -> None:
        """Send so many bytes of a file, in the kernel. EOFError: it is shorter."""
        while count > 0:
            try:
                sent = self.conn.retry(
                    self.conn.control, True, lambda out: os.sendfile(out, fd, at, min(count, SENDFILE))
                )
            except OSError as exc:
                self._not_sent(exc)
                raise
            if sent == 0:
                raise EOFError(f"the file has ended {count} bytes early")
            at += sent
            count -= sent

    def _not_read(self, exc: Exception) -> None:
        super()._not_read(exc)
        if self._cancel is not None and isinstance(exc, ConnectionError):
            self._cancel()

    def _not_sent(self, exc: OSError) -> None:
        self._unsent = exc
        if self._cancel is not None:
            self._cancel()

    def must_close(self) -> bool:
        """Whether a head that is sent now must say that the connection ends."""
        r = self._receiving
        if r is not None and r.expects_continue:
            # The client gets an answer in place of "100 Continue", and may send the body or not: nobody can
            # tell whether what comes is that or the next request.
            r.expects_continue = False
            self._undrained = True
        return self._undrained or self.server._stopping.load()

    # ---- the client's leaving ----

    def watch(self, r: Request) -> Context:
        """A context for the request, which ends with the client."""
        with self._lock:
            if r._context is None:
                ctx, cancel = context.with_cancel(self.server.context)
                r._context = ctx
                if self._unsent is None and self._is_active(r):
                    self._cancel = cancel
                    self._watch_if_free()
                else:
                    cancel()
            return r._context

    def _is_active(self, r: Request) -> bool:
        """Whether the handler of r is running; then _end_at_once() is not for it, as somebody watches."""
        if not self._state.compare_and_swap(ACTIVE, WATCHED):
            return False
        if r.over:  # what is active is a request after it
            self._state.store(ACTIVE)
            return False
        return True

    def _body_is_complete(self) -> None:
        with self._lock:
            self._watch_if_free()

    def _watch_if_free(self) -> None:
        if self._cancel is not None and self._body is None and self._watcher is None:
            try:
                self.conn.set_read_deadline(None)
            except OSError:  # closed already
                self._cancel()
            else:
                self._watcher = go(self._watch(self._cancel))

    async def _watch(self, cancel: Callable[[], None]) -> None:
        try:
            while len(self._rest) < AHEAD:
                data = await self.conn.aread()
                if not data:
                    break
                self._rest += data
            else:
                return
        except TimeoutError:  # set to end this
            return
        except OSError:
            pass
        cancel()

    def hijack(self, r: Request) -> tuple[Conn, bytes]:
        """Let go of the connection."""
        with self._lock:
            watcher, self._watcher = self._watcher, None
            r.over = True
        if watcher is not None:
            with suppress(OSError):
                self.conn.set_read_deadline(0)
            watcher.join()
        if self.conn.closed:
            raise Hijacked("the connection is closed")
        self.conn.set_deadline(None)
        ahead, self._rest = self._rest, b""
        if self._body is not None:  # what it would read is no more ours
            self._body.abandon()
        self._state.store(HIJACKED)
        self.server._forget(self)
        return self.conn, ahead

    def close_idle(self) -> None:
        """Close it if it waits for a request, and have it end after this one if not."""
        if self._state.compare_and_swap(IDLE, CLOSED):
            self.close()

    def close(self) -> None:
        """Close it, without waiting for a client that does not read what TLS has to say last."""
        if self.tls is None:
            self.conn.close()
        else:
            go(self.conn.aclose())


def _answer_options(w: ResponseWriter, r: Request) -> None:
    """OPTIONS *, which asks about the server as a whole: no handler's concern, as in Go."""


def _joined(pieces: tuple[bytes, ...]) -> list[bytes]:
    """The same bytes in as few writes as are worth copying them for."""
    if len(pieces) == 1:
        return list(pieces)
    if sum(map(len, pieces)) <= JOINED:
        return [b"".join(pieces)]
    out: list[bytes] = []
    small: list[bytes] = []
    for piece in pieces:
        if len(piece) <= JOINED // 4:
            small.append(piece)
            continue
        out += [b"".join(small), piece] if small else [piece]
        small = []
    return [*out, b"".join(small)] if small else out
