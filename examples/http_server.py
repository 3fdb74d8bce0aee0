"""An HTTP/1.1 server of files, for curl and browsers. It needs h11: pip install h11

    python examples/http_server.py examples/site                      # on 127.0.0.1:8080
    python examples/http_server.py . -a :8443 --cert c.pem --key k.pem    # with TLS
    curl -i http://127.0.0.1:8080/
    kill -TERM PID      # or Ctrl-C: it finishes what it is sending, and ends

h11 knows the protocol and no network; gopy knows the network: a goroutine for each connection reads bytes,
gives them to h11, and writes what h11 makes of the answer. Files are read in blocking(), since a disk may be
slow. Ranges, keep-alive, HEAD, directories; nothing outside of the directory is served.
"""

import argparse
import email.utils
import html
import mimetypes
import re
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from signal import SIGINT, SIGTERM
from urllib.parse import quote, unquote, urlsplit

import h11

from gopy import Chan, blocking, go, net, recv, select, signal, sync, time

CHUNK = 1 << 18  # bytes of a file in memory for each connection
IDLE = 60.0  # seconds that a connection may be silent
GRACE = 10.0  # seconds that answers have to end after SIGTERM

mimetypes.add_type("text/markdown", ".md")


@dataclass
class Answer:
    status: HTTPStatus
    headers: list[tuple[str, str]]
    body: bytes = b""
    file: Path | None = None  # instead of body: `length` bytes of it from `start` on
    start: int = 0
    length: int = 0


def page(status: HTTPStatus, *headers: tuple[str, str], title: str = "", text: str = "") -> Answer:
    title = html.escape(title or f"{status.value} {status.phrase}")
    body = f"<!doctype html><title>{title}</title><body><h1>{title}</h1>{text}</body>\n".encode()
    return Answer(status, [("Content-Type", "text/html; charset=utf-8"), *headers], body, None, 0, len(body))


def find(root: Path, target: str, wanted_range: str | None) -> Answer:
    """The answer to a GET. Looks into the file system, so it is called in blocking()."""
    name = unquote(urlsplit(target).path)
    try:
        path = (root / name.lstrip("/")).resolve(strict=True)
    except (OSError, ValueError):  # there is none, or no file can have such a name
        return page(HTTPStatus.NOT_FOUND)
    if not path.is_relative_to(root):
        return page(HTTPStatus.NOT_FOUND)
    if path.is_dir():
        if name[-1:] != "/":
            return page(HTTPStatus.MOVED_PERMANENTLY, ("Location", quote(name) + "/"))
        if not (path / "index.html").is_file():
            return page(HTTPStatus.OK, title=name, text=listing(path))
        path /= "index.html"
    elif name[-1:] == "/" or not path.is_file():
        return page(HTTPStatus.NOT_FOUND)
    return file_answer(path, wanted_range)


def listing(path: Path) -> str:
    names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    items = "".join(f'<li><a href="./{quote(n)}">{html.escape(n)}</a></li>' for n in names)
    return f"<ul>{items}</ul>"


def file_answer(path: Path, wanted_range: str | None) -> Answer:
    info = path.stat()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind.startswith("text/"):
        kind += "; charset=utf-8"
    headers = [
        ("Content-Type", kind),
        ("Accept-Ranges", "bytes"),
        ("Last-Modified", email.utils.formatdate(info.st_mtime, usegmt=True)),
    ]
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted_range or "")
    if found is None or not any(found.groups()):  # several ranges, too: all of it is a right answer
        return Answer(HTTPStatus.OK, headers, b"", path, 0, info.st_size)
    first, last = found.groups()
    start = int(first) if first else max(info.st_size - int(last), 0)
    end = min(int(last), info.st_size - 1) if first and last else info.st_size - 1
    if start > end:
        wrong = ("Content-Range", f"bytes */{info.st_size}")
        return page(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, wrong)
    headers.append(("Content-Range", f"bytes {start}-{end}/{info.st_size}"))
    return Answer(HTTPStatus.PARTIAL_CONTENT, headers, b"", path, start, end - start + 1)


def content(answer: Answer) -> Iterator[bytes]:
    if answer.file is None:
        yield answer.body
        return
    with blocking(open, answer.file, "rb", 0) as file:
        file.seek(answer.start)
        left = answer.length
        while left and (data := blocking(file.read, min(left, CHUNK))):
            left -= len(data)
            yield data


class Server:
    def __init__(self, root: Path) -> None:
        self.root = root.resolve(strict=True)
        self.mutex = sync.Mutex()  # guards the next two
        self.idle: set[net.Conn] = set()  # connections between two requests
        self.stopping = False
        self.connections = sync.WaitGroup()

    def serve(self, listener: net.Listener) -> None:
        for conn in listener:
            self.connections.go(self.handle, conn)

    def handle(self, conn: net.Conn) -> None:
        http = h11.Connection(h11.SERVER)
        try:
            while self.serve_one(conn, http):
                http.start_next_cycle()
        except OSError:
            pass  # the client is gone, or silent for too long, or does not speak TLS
        finally:
            conn.close()

    def serve_one(self, conn: net.Conn, http: h11.Connection) -> bool:
        """Answer one request. False: the connection ends."""
        conn.set_deadline(IDLE)
        try:
            request = self.next_request(conn, http)
        except h11.RemoteProtocolError as exc:
            self.send(conn, http, "GET", page(HTTPStatus(exc.error_status_hint)), close=True)
            return False
        if request is None:
            return False
        method, headers = request.method.decode(), dict(request.headers)
        if method in ("GET", "HEAD"):
            wanted_range = headers.get(b"range", b"").decode("latin-1") if method == "GET" else None
            answer = blocking(find, self.root, request.target.decode("latin-1"), wanted_range)
        else:
            answer = page(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET, HEAD"))
        self.send(conn, http, method, answer, close=self.stopping)
        return http.our_state is h11.DONE and http.their_state is h11.DONE

    def next_request(self, conn: net.Conn, http: h11.Connection) -> h11.Request | None:
        """The next request, whose body is read and forgotten. None: there is none, or no time for it."""
        request = None
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(self.read(conn, between=request is None and not http.trailing_data[0]))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.EndOfMessage):
                return request
            elif isinstance(event, h11.ConnectionClosed):
                return None

    def read(self, conn: net.Conn, between: bool) -> bytes:
        """Between two requests a connection may be closed by stop()."""
        if not between:
            return conn.read()
        with self.mutex:
            if self.stopping:
                return b""
            self.idle.add(conn)
        try:
            return conn.read()
        finally:
            with self.mutex:
                self.idle.discard(conn)

    def send(self, conn: net.Conn, http: h11.Connection, method: str, answer: Answer, close: bool) -> None:
        headers = [
            ("Date", email.utils.formatdate(usegmt=True)),
            ("Content-Length", str(answer.length)),
            *answer.headers,
            *([("Connection", "close")] if close else []),
        ]
        head = h11.Response(status_code=answer.status, headers=headers, reason=answer.status.phrase.encode())
        pending = http.send(head) or b""
        if method != "HEAD":
            for data in content(answer):
                conn.set_deadline(IDLE)
                conn.write(pending + (http.send(h11.Data(data)) or b""))
                pending = b""
        conn.write(pending + (http.send(h11.EndOfMessage()) or b""))

    def stop(self) -> bool:
        """Close idle connections, and wait until the others have ended. False: not all did."""
        with self.mutex:
            self.stopping = True
            idle, self.idle = self.idle, set()
        for conn in idle:
            conn.close()
        ended: Chan[None] = Chan()

        def wait() -> None:
            self.connections.wait()
            ended.close()

        go(wait)
        return select(recv(ended), recv(time.after(GRACE)))[0] == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Serve the files of a directory over HTTP.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("-a", "--address", default="127.0.0.1:8080")
    parser.add_argument("--cert", help="a PEM file, for TLS")
    parser.add_argument("--key")
    args = parser.parse_args()
    if not args.directory.is_dir():
        parser.error(f"{args.directory} is not a directory")
    tls = None
    if args.cert:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(args.cert, args.key)
        tls.set_alpn_protocols(["http/1.1"])

    signals: Chan[int] = Chan(1)
    signal.notify(signals, SIGTERM, SIGINT)
    server = Server(args.directory)
    listener = net.listen("tcp", args.address, tls=tls)
    print(f"serving {server.root} on {'https' if tls else 'http'}://{listener.addr}/", flush=True)
    accepting = go(server.serve, listener)
    signals.recv()
    listener.close()
    accepting.join()
    return 0 if server.stop() else 1


if __name__ == "__main__":
    sys.exit(main())
