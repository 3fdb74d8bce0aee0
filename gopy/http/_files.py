"""file_server(): files of a directory, with ranges and conditions, and nothing outside of it.

A path is refused (404) if a piece of it is "..", or has a NUL or an encoded slash; what it names is then
resolved, and must be inside the root when all symbolic links have been followed. What is opened must be a
file or a directory.
"""

from __future__ import annotations

import errno
import html
import mimetypes
import os
import re
import secrets
import stat
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from gopy.http._handlers import error, not_found
from gopy.http._response import CHUNK, http_date
from gopy.http._sniff import SNIFFED, content_type

if TYPE_CHECKING:
    from gopy.http._request import Request
    from gopy.http._response import ResponseWriter
    from gopy.http._server import Handler

INDEX = "index.html"
MOST_RANGES = 100  # of a request: with more of them, all of the file is sent
LONGEST_DATE = 100  # characters

# Types of files that the standard library does not know everywhere.
TYPES = {".md": "text/markdown", ".js": "text/javascript", ".mjs": "text/javascript", ".webp": "image/webp"}

Range = tuple[int, int]  # where it begins, and its length


def file_server(root: str | os.PathLike[str]) -> Handler:
    """A handler that serves the files of a directory, its subdirectories as lists, or by their index.html.

    GET and HEAD, with Range, If-Modified-Since, ETag and what belongs to those. Symbolic links are followed
    as long as they stay inside. NotADirectoryError: root is none."""
    top = os.path.realpath(os.fspath(root))
    if not os.path.isdir(top):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), top)

    def serve(w: ResponseWriter, r: Request) -> None:
        if r.method not in ("GET", "HEAD"):
            w.header().set("Allow", "GET, HEAD")
            error(w, "405 method not allowed", 405)
            return
        try:
            _serve(w, r, top)
        except (FileNotFoundError, NotADirectoryError, _Outside):
            not_found(w, r)
        except PermissionError:
            error(w, "403 Forbidden", 403)
        except OSError as exc:
            if exc.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
                raise
            not_found(w, r)

    return serve


class _Outside(Exception):
    """The path is none of what may be served."""


def _serve(w: ResponseWriter, r: Request, top: str) -> None:
    path = r.path if r.path.startswith("/") else f"/{r.path}"
    pieces = path.split("/")
    if ".." in pieces or "\0" in path or "%2f" in r.escaped_path.lower():
        raise _Outside
    if pieces[-1] == INDEX:
        _redirect_here(w, r, "./")
        return
    name = _resolve(top, [piece for piece in pieces if piece not in ("", ".")])
    with _open(name) as file:
        info = os.fstat(file.fileno())
        last = next((piece for piece in reversed(pieces) if piece), "")
        if stat.S_ISDIR(info.st_mode):
            if not path.endswith("/"):
                _redirect_here(w, r, f"{_quoted(last)}/")
                return
        elif path.endswith("/"):
            _redirect_here(w, r, f"../{_quoted(last)}")
            return
        else:
            serve_content(w, r, name, file, info)
            return
    try:
        index = _resolve(top, [*pieces[1:-1], INDEX])
        with _open(index) as file:
            info = os.fstat(file.fileno())
            if stat.S_ISREG(info.st_mode):
                serve_content(w, r, index, file, info)
                return
    except (FileNotFoundError, _Outside):
        pass
    _list(w, name)


def _resolve(top: str, pieces: list[str]) -> str:
    name = os.path.realpath(os.path.join(top, *pieces), strict=True)
    if name != top and not name.startswith(top.rstrip("/") + "/"):
        raise _Outside
    return name


def _open(name: str) -> IO[bytes]:
    """A file or a directory; _Outside: it is a pipe, a device or a socket, or has become a link."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as exc:
        if exc.errno in (errno.ENXIO, errno.ELOOP):
            raise _Outside from None
        raise
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        os.close(fd)
        raise _Outside
    return _File(fd)  # type: ignore[return-value]


class _File:
    """A descriptor as a file, which may also be a directory's."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def read(self, size: int) -> bytes:
        return os.read(self._fd, size)

    def seek(self, at: int) -> int:
        return os.lseek(self._fd, at, os.SEEK_SET)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._fd)


def _quoted(piece: str) -> str:
    return quote(piece, errors="surrogateescape")


def _redirect_here(w: ResponseWriter, r: Request, url: str) -> None:
    """A redirect that is relative, so that a prefix which was stripped does not matter."""
    w.header().set("Location", f"{url}?{r.raw_query}" if r.raw_query else url)
    w.write_header(301)


def _list(w: ResponseWriter, name: str) -> None:
    with os.scandir(name) as entries:
        names = sorted(entry.name + "/" * _is_dir(entry) for entry in entries)
    w.header().set("Content-Type", "text/html; charset=utf-8")
    w.write('<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n')
    for each in names:
        text = html.escape(each.encode(errors="surrogateescape").decode(errors="replace"))
        w.write(f'<a href="./{_quoted(each)}">{text}</a>\n')
    w.write("</pre>\n")


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into what may not be read
        return False


# ---- one file ----


def kind_of_file(name: str, file: IO[bytes]) -> str:
    kind = TYPES.get(os.path.splitext(name)[1].lower()) or mimetypes.guess_type(name)[0]
    if kind is None:
        kind = content_type(file.read(SNIFFED))
        file.seek(0)
    elif kind.startswith("text/"):
        kind += "; charset=utf-8"
    return kind


def serve_content(w: ResponseWriter, r: Request, name: str, file: IO[bytes], info: os.stat_result) -> None:
    """Answer with an open file: all of it, parts of it, or that the client has it already."""
    header = w.header()
    etag = f'"{info.st_mtime_ns:x}-{info.st_size:x}"'
    header.set("Last-Modified", http_date(info.st_mtime))
    header.set("Etag", etag)
    header.set("Accept-Ranges", "bytes")
    status = check_conditions(r, int(info.st_mtime), etag)
    if status:
        w.write_header(status)
        return
    size = info.st_size
    header.set("Content-Type", kind_of_file(name, file))
    ranges: list[Range] = []
    if r.header.get("Range") and _range_holds(r, int(info.st_mtime), etag):
        found = parse_range(r.header.get("Range"), size)
        if found is None and size:
            header.set("Content-Range", f"bytes */{size}")
            for each in ("Last-Modified", "Etag"):
                header.delete(each)
            error(w, "invalid range", 416)
            return
        ranges = found or []
    if sum(length for _, length in ranges) > size:  # an attack, or a silly client
        ranges = []
    if len(ranges) > 1:
        _send_ranges(w, file, ranges, size)
        return
    start, length = ranges[0] if ranges else (0, size)
    if ranges:
        header.set("Content-Range", _content_range(start, length, size))
    header.set("Content-Length", str(length))
    w.write_header(206 if ranges else 200)
    file.seek(start)
    w.send_file(file, length)


def _content_range(start: int, length: int, size: int) -> str:
    return f"bytes {start}-{start + length - 1}/{size}"


def _send_ranges(w: ResponseWriter, file: IO[bytes], ranges: list[Range], size: int) -> None:
    """Several parts, as a multipart answer."""
    header = w.header()
    boundary = secrets.token_hex(16)
    kind = header.get("Content-Type")
    heads = [
        f"\r\n--{boundary}\r\nContent-Range: {_content_range(*each, size)}\r\n"
        f"Content-Type: {kind}\r\n\r\n".encode()
        for each in ranges
    ]
    heads[0] = heads[0][2:]
    end = f"\r\n--{boundary}--\r\n".encode()
    header.set("Content-Type", f"multipart/byteranges; boundary={boundary}")
    total = sum(map(len, heads)) + sum(length for _, length in ranges) + len(end)
    header.set("Content-Length", str(total))
    w.write_header(206)
    for head, (start, length) in zip(heads, ranges, strict=True):
        w.write(head)
        file.seek(start)
        while length and (data := file.read(min(length, CHUNK))):
            w.write(data)
            length -= len(data)
    w.write(end)


# Of a part without blanks around it. No two of its pieces can take the same characters, which would take
# time by the square of their number; and what has more digits is no offset.
_one_range = re.compile(r"(\d{0,18})[ \t]*-[ \t]*(\d{0,18})", re.ASCII).fullmatch


def parse_range(text: str, size: int) -> list[Range] | None:
    """The ranges of a Range field within a file of this size. None: malformed, or all are outside of it.

    [] for none, and for too many: the client gets all of the file."""
    if not text:
        return []
    if not text.startswith("bytes="):
        return None
    parts = [part for each in text[6:].split(",") if (part := each.strip(" \t"))]
    if len(parts) > MOST_RANGES:
        return []
    ranges: list[Range] = []
    for part in parts:
        found = _one_range(part)
        if found is None or not any(found.groups()):
            return None
        first, last = found.groups()
        if not first:
            start, end = max(size - int(last), 0), size
        else:
            start, end = int(first), min(int(last) + 1, size) if last else size
            if last and int(last) < start:
                return None
        if start < end:
            ranges.append((start, end - start))
    return ranges or None


# ---- conditions: RFC 9110, 13 ----


def check_conditions(r: Request, modified: int, etag: str) -> int:
    """304 or 412 if the conditions of the request do not hold; 0 if they do, or there are none."""
    header = r.header
    if "If-Match" in header:
        if not _any_etag(header.values_of("If-Match"), etag, strong=True):
            return 412
    elif (since := _date(header.get("If-Unmodified-Since"))) is not None and modified > since:
        return 412
    if "If-None-Match" in header:
        if _any_etag(header.values_of("If-None-Match"), etag, strong=False):
            return 304
    elif (since := _date(header.get("If-Modified-Since"))) is not None and modified <= since:
        return 304
    return 0


def _range_holds(r: Request, modified: int, etag: str) -> bool:
    """Whether the ranges are of the file that the client means: If-Range."""
    condition = r.header.get("If-Range")
    if not condition:
        return True
    if condition.startswith(('"', "W/")):
        return condition == etag and not etag.startswith("W/")
    return _date(condition) == modified


_etag = re.compile(r'[ \t,]*((?:W/)?"[!\x23-\x7e\x80-\xff]*")').match


def etags(text: str) -> list[str]:
    """The entity tags of a field, up to the first thing that is none."""
    found: list[str] = []
    at = 0
    while match := _etag(text, at):
        found.append(match[1])
        at = match.end()
    return found


def _any_etag(values: list[str], etag: str, strong: bool) -> bool:
    text = ",".join(values)
    if text.strip(" \t") == "*":
        return True
    return any(each == etag if strong else each.removeprefix("W/") == etag for each in etags(text))


def _date(text: str) -> int | None:
    try:
        when = parsedate_to_datetime(text[:LONGEST_DATE])
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return (
        int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
        if isinstance(when, datetime)
        else None
    )
