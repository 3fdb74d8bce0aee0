"""One request and its answer on a connection, and the pool that connections go back to.

    taken from the pool, or dialled -> request written -> head read -> body read to its end -> pool
                                                                       closed early, or failed -> closed

While a context is given, its end closes the connection, whatever waits there: so every stage is given up, and
what was raised for that is turned into what ended the context.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import zlib
from collections.abc import Callable
from typing import IO, Any

from gopy import time
from gopy._core import Chan, Mutex, go
from gopy.context import Context
from gopy.http._dialer import Origin, Parser, begin, dial, raise_for
from gopy.http._header import Header
from gopy.net import Conn
from gopy.net._dial import closing
from gopy.net._lent import Lent

IDLE = 90.0  # seconds that a connection is kept for another request, as in Go
AT_ONCE = 1 << 16  # bytes of a body that go with the head; longer ones are sent while the answer is awaited
CHUNK = 1 << 16


class Pool:
    """Connections between two requests, by origin. Those that have waited too long are closed when somebody
    looks."""

    def __init__(self, most: int) -> None:
        self._most = most  # for an origin
        self._mutex = Mutex()
        self._idle: dict[Origin, list[tuple[Conn, float]]] = {}

    def take(self, origin: Origin) -> Conn | None:
        """A connection that is still open, the one that was used last."""
        while True:
            with self._mutex:
                waiting = self._idle.get(origin)
                if not waiting:
                    return None
                conn, since = waiting.pop()
                if not waiting:
                    del self._idle[origin]
            if time.now() - since < IDLE and is_quiet(conn):
                return conn
            conn.close()

    def put(self, origin: Origin, conn: Conn) -> None:
        late = time.now() - IDLE
        over: list[Conn] = []
        with self._mutex:
            for each, waiting in list(self._idle.items()):
                over += [c for c, since in waiting if since < late]
                waiting[:] = [(c, since) for c, since in waiting if since >= late]
                if not waiting:
                    del self._idle[each]
            waiting = self._idle.setdefault(origin, [])
            waiting.append((conn, time.now()))
            if len(waiting) > self._most:
                over.append(waiting.pop(0)[0])
            if not waiting:
                del self._idle[origin]
        for old in over:
            old.close()

    def close(self) -> None:
        with self._mutex:
            idle, self._idle = self._idle, {}
        for waiting in idle.values():
            for conn, _ in waiting:
                conn.close()


def is_quiet(conn: Conn) -> bool:
    """Whether the peer has neither closed an idle connection nor said anything on it. With TLS it may
    have."""

    def peek(fd: int) -> bytes:
        return Lent(fd).recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)

    try:
        return conn.control(peek) != b"" and hasattr(conn, "ssl_object")
    except BlockingIOError:
        return True
    except OSError:
        return False


class Outgoing:
    """A request: what is written, and how the body's length is told."""

    def __init__(self, method: str, target: str, header: Header, body: bytes | IO[bytes] | None) -> None:
        self.method = method
        self.target = target
        self.header = header
        self.body = body

    @property
    def replayable(self) -> bool:
        return self.body is None or isinstance(self.body, bytes)

    @property
    def idempotent(self) -> bool:
        """Whether it may be sent again when nobody knows if it has arrived, as in Go."""
        return self.replayable and (
            self.method in ("GET", "HEAD", "OPTIONS", "TRACE") or "Idempotency-Key" in self.header
        )

    def head(self) -> tuple[bytes, bool]:
        """The head, and whether the body is chunked."""
        header = self.header.clone()
        chunked = False
        header.delete("Transfer-Encoding")  # what frames the message is not the caller's to say
        if isinstance(self.body, bytes):
            if self.body or self.method in ("POST", "PUT", "PATCH"):
                header.set("Content-Length", str(len(self.body)))
        elif self.body is None:
            header.delete("Content-Length")
            if self.method in ("POST", "PUT", "PATCH"):
                header.set("Content-Length", "0")
        elif "Content-Length" not in header:
            chunked = True
            header.set("Transfer-Encoding", "chunked")
        lines = [f"{self.method} {self.target} HTTP/1.1", f"Host: {header.pop('Host')[0]}"]
        lines += [f"{name}: {value}" for name, values in dict.items(header) for value in values]
        return "\r\n".join([*lines, "", ""]).encode("latin-1"), chunked


class Exchange:
    """One request and its answer on a connection. The answer's body is read from `read()`."""

    def __init__(self, pool: Pool, origin: Origin, conn: Conn, ctx: Context | None) -> None:
        self._pool = pool
        self._origin = origin
        self._conn = conn
        self._ctx = ctx
        self._end: Callable[[], None] | None = None  # called when it is over
        self._stop = closing(ctx, conn)
        self._sent: Chan[BaseException | None] | None = None  # what became of a body that is sent meanwhile
        self.parser: Parser | None = None

    def run(self, request: Outgoing) -> Parser:
        """Write the request and read the answer's head. OSError, and what ended the context."""
        try:
            self._write(request)
            return self._read_head(request.method)
        except BaseException as exc:
            self._over(reuse=False)
            raise_for(self._ctx, exc)
            raise

    def _write(self, request: Outgoing) -> None:
        head, chunked = request.head()
        body = request.body
        if body is None or (isinstance(body, bytes) and len(body) <= AT_ONCE):
            try:
                self._conn.write(head + (body or b""))
            except (BrokenPipeError, ConnectionResetError):
                pass  # it may have answered before it closed the connection
            return
        self._sent = Chan(1)
        go(self._send, head, body, chunked, self._sent)

    def _send(
        self, head: bytes, body: bytes | IO[bytes], chunked: bool, sent: Chan[BaseException | None]
    ) -> None:
        """Write a request whose body may be long, while the answer is awaited."""
        try:
            self._conn.write(head)
            if isinstance(body, bytes):
                self._conn.write(body)
            else:
                while data := body.read(CHUNK):
                    self._conn.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
                if chunked:
                    self._conn.write(b"0\r\n\r\n")
        except OSError as exc:
            sent.send(exc)
            if not isinstance(
                exc, (BrokenPipeError, ConnectionResetError)
            ):  # of the file: nobody will answer
                self._conn.close()
        except BaseException as exc:
            sent.send(exc)
            self._conn.close()
        else:
            sent.send(None)

    def _read_head(self, method: str) -> Parser:
        try:
            parser = Parser(self._conn, method)
            begin(parser)
        except http.client.RemoteDisconnected:
            raise ConnectionResetError("the server has closed the connection without an answer") from None
        except http.client.HTTPException as exc:
            raise ConnectionError(f"malformed answer: {exc!r}") from None
        except OSError as exc:
            failure = self._failure()
            if failure is not None:
                raise failure from exc
            raise
        self.parser = parser
        return parser

    def _failure(self) -> BaseException | None:
        """What the sending of the body has raised."""
        return self._sent.recv() if self._sent is not None and len(self._sent) else None

    def read(self, size: int) -> bytes:
        """Some bytes of the body; b"" at its end, with which the connection is ready for another request."""
        parser = self.parser
        if parser is None:
            return b""
        try:
            data = parser.read1(size)
            if data:
                return data
            if parser.length:  # http.client takes the end of the stream for that of the body
                raise ConnectionResetError(f"the answer has ended {parser.length} bytes early")
        except BaseException as exc:
            self._over(reuse=False)
            raise_for(self._ctx, exc)
            if isinstance(exc, http.client.HTTPException):
                raise ConnectionError(f"malformed answer: {exc!r}") from None
            raise
        self._over(reuse=_is_reusable(parser))
        return b""

    def at_end(self, end: Callable[[], None]) -> None:
        """Have end() called when it is over, which it may be."""
        if self.parser is None:
            end()
        else:
            self._end = end

    def close(self) -> None:
        """Read no more."""
        if self.parser is not None:
            self._over(reuse=self.parser.isclosed() and _is_reusable(self.parser))

    def hand_over(self) -> tuple[Conn, IO[bytes]]:
        """The connection after an Upgrade, and the file that has what was read ahead."""
        parser: Any = self.parser
        fp: IO[bytes] = parser.fp
        parser.fp = None  # or it would be closed with the parser
        self._let_go()
        return self._conn, fp

    def _let_go(self) -> bool:
        self.parser = None
        called_off = self._stop is None or self._stop()
        self._stop = None
        end, self._end = self._end, None
        if end is not None:
            end()
        return called_off

    def _over(self, reuse: bool) -> None:
        parser = self.parser
        if not self._let_go():  # the context has ended: the connection is closed, or about to be
            reuse = False
        if parser is not None:
            parser.close()
        if reuse and self._sent is not None:
            reuse = len(self._sent) == 1 and self._sent.recv() is None
        if reuse:
            self._pool.put(self._origin, self._conn)
        else:
            self._conn.close()


def _is_reusable(parser: Parser) -> bool:
    """Whether the connection of an answer that was read to its end may be used again. What a server sends
    beyond it would be taken for the next answer."""
    return not parser.will_close and not parser.has_surplus()


class Transport:
    """Does single requests over pooled connections."""

    def __init__(self, tls: ssl.SSLContext | None, most_idle: int) -> None:
        self._tls = tls
        self.pool = Pool(most_idle)

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            tls = ssl.create_default_context()
            tls.set_alpn_protocols(["http/1.1"])
            self._tls = tls
        return self._tls

    def exchange(self, origin: Origin, request: Outgoing, ctx: Context | None) -> Exchange:
        """Do a request. One that finds its kept connection closed is done again on a new one, if that is
        safe."""
        conn = self.pool.take(origin)
        if conn is not None:
            exchange = Exchange(self.pool, origin, conn, ctx)
            try:
                exchange.run(request)
            except (ConnectionResetError, BrokenPipeError):
                if not request.idempotent:
                    raise
            else:
                return exchange
        if ctx is not None:
            ctx.raise_if_done()
        exchange = Exchange(self.pool, origin, dial(origin, ctx, self._tls_context()), ctx)
        exchange.run(request)
        return exchange


class AnswerBody(io.BufferedIOBase):
    """The body of an answer, decompressed if `gzipped`. Closing it early closes the connection."""

    def __init__(self, exchange: Exchange, gzipped: bool) -> None:
        self._exchange = exchange
        self._unzip: Any = zlib.decompressobj(zlib.MAX_WBITS | 16) if gzipped else None
        self._begun = False  # a member of a gzip file
        self._left = b""  # of what was compressed

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1) -> bytes:
        """Some bytes, as soon as there are any; b"" at the end."""
        if self.closed:
            raise ValueError("read of a closed body")
        if size == 0:
            return b""
        size = CHUNK if size is None or size < 0 else size
        return self._exchange.read(size) if self._unzip is None else self._read_unzipped(size)

    def _read_unzipped(self, size: int) -> bytes:
        while True:
            if self._unzip.eof:  # there may be another member behind
                self._left = self._unzip.unused_data
                self._unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
                self._begun = False
            data = self._left or self._exchange.read(CHUNK)
            self._left = b""
            if not data:
                if self._begun:
                    raise ConnectionResetError("the compressed answer has ended early")
                return b""
            self._begun = True
            try:
                out: bytes = self._unzip.decompress(data, size)
            except zlib.error as exc:
                raise ConnectionError(f"malformed answer: {exc}") from None
            self._left = self._unzip.unconsumed_tail
            if out:
                return out

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes, fewer only at the end; without a size, all."""
        if size is None or size < 0:
            return b"".join(iter(self.read1, b""))
        pieces: list[bytes] = []
        while size > 0 and (data := self.read1(size)):
            pieces.append(data)
            size -= len(data)
        return b"".join(pieces)

    def close(self) -> None:
        if not self.closed:
            self._exchange.close()
        super().close()
