"""Forms: urlencoded bodies, and multipart ones through python-multipart."""

from __future__ import annotations

import io
import os
import re
import tempfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from gopy._core import Mutex
from gopy.http._body import BadRequest, BodyTooLarge
from gopy.http._header import Header
from gopy.http._request import MAX_FORM_BYTES, parse_values

if TYPE_CHECKING:
    from gopy.http._request import Request

IN_MEMORY = 10 << 20  # bytes of uploaded files, all together; what is more goes to a file on disk
MOST_PARTS = 1000  # of a multipart body, as in Go
LONGEST_HEAD = 1 << 16  # bytes of the fields of a part
CHUNK = 1 << 16

# A parameter of a field, behind its ";". No two pieces of it can take the same characters, so that it takes
# time by the length of the text.
_parameter = re.compile(
    r'[ \t]*([!#$%&\'+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"[^;]*|([^;]*))(?:;|$)', re.DOTALL
).match
_escaped = re.compile(r'\\(["\\])')


@dataclass
class Upload:
    """A file of a form."""

    filename: str
    header: Header
    file: IO[bytes] = field(repr=False)
    store: IO[bytes] = field(repr=False)  # which has the bytes of all files of the form


class _Section(io.RawIOBase):
    """A part of a store, as a file. So a form of a thousand files takes one descriptor."""

    def __init__(self, store: IO[bytes], mutex: Mutex, start: int, size: int) -> None:
        self._store = store
        self._mutex = mutex  # of those who read from the store
        self._start = start
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")[: max(self._size - self._at, 0)]
        with self._mutex:
            self._store.seek(self._start + self._at)
            data = self._store.read(len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError(f"`offset` must not lead before the beginning, got {offset}")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at


def parse_media_type(value: str) -> tuple[str, dict[str, str]]:
    """The type, in lower case, and the parameters of a field such as Content-Type."""
    kind, _, rest = value.partition(";")
    parameters: dict[str, str] = {}
    at = 0
    while at < len(rest):
        found = _parameter(rest, at)
        if found is None:
            at = (rest.find(";", at) + 1) or len(rest)
            continue
        name, quoted, plain = found.groups()
        text = plain.rstrip(" \t") if quoted is None else _escaped.sub(r"\1", quoted)
        parameters.setdefault(name.lower(), text)
        at = found.end()
    return kind.strip(" \t").lower(), parameters


def read_form(r: Request) -> tuple[dict[str, list[str]], dict[str, list[Upload]]]:
    """What form() and files() return."""
    values: dict[str, list[str]] = {}
    uploads: dict[str, list[Upload]] = {}
    if r.method in ("POST", "PUT", "PATCH"):
        kind, params = parse_media_type(r.header.get("Content-Type"))
        if kind == "application/x-www-form-urlencoded":
            values = parse_values(read_limited(r.body, MAX_FORM_BYTES).decode("utf-8", "surrogateescape"))
        elif kind == "multipart/form-data":
            values, uploads = _read_multipart(r.body, params.get("boundary", ""))
    for name, found in r.query().items():
        values.setdefault(name, []).extend(found)
    return values, uploads


def read_limited(body: IO[bytes], most: int) -> bytes:
    data = body.read(most + 1)
    if len(data) > most:
        raise BodyTooLarge(f"a form of more than {most} bytes")
    return data


def _read_multipart(body: IO[bytes], boundary: str) -> tuple[dict[str, list[str]], dict[str, list[Upload]]]:
    if not boundary:
        raise BadRequest(400, "the Content-Type of a multipart body has no boundary")
    try:
        from python_multipart.exceptions import MultipartParseError
        from python_multipart.multipart import MultipartParser
    except ImportError:
        raise ImportError("multipart forms need python-multipart: pip install python-multipart") from None
    parts = _Parts()
    parser = MultipartParser(boundary.encode("latin-1"), parts.callbacks())  # type: ignore[arg-type,unused-ignore]
    try:
        while data := body.read(CHUNK):
            parser.write(data)
        parser.finalize()
        if not parts.ended:
            raise BadRequest(400, "the multipart body ends too early")
    except BaseException as exc:
        parts.close()
        if isinstance(exc, MultipartParseError):
            raise BadRequest(400, f"multipart: {exc}") from None
        raise
    return parts.values, parts.uploads


class _Parts:
    """Takes the parts of a multipart body as the parser finds them."""

    def __init__(self) -> None:
        self.values: dict[str, list[str]] = {}
        self.uploads: dict[str, list[Upload]] = {}
        self.ended = False
        self._count = 0
        self._in_memory = 0  # bytes of values that are no files
        self._name = self._value = b""
        self._header = Header()
        self._head_size = 0  # of the part's fields, so far
        self._store: IO[bytes] | None = None  # the bytes of all files
        self._mutex = Mutex()
        self._is_file = False
        self._start = 0  # of the file in the store
        self._data = bytearray()

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_name,
            "on_header_value": self._on_value,
            "on_header_end": self._on_field,
            "on_headers_finished": self._on_header,
            "on_part_data": self._on_data,
            "on_part_end": self._on_part,
            "on_end": self._on_end,
        }

    def _begin(self) -> None:
        self._count += 1
        if self._count > MOST_PARTS:
            raise BodyTooLarge(f"a form of more than {MOST_PARTS} parts")
        self._header = Header()
        self._head_size = 0
        self._is_file = False
        self._data = bytearray()

    def _take_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > LONGEST_HEAD:
            raise BodyTooLarge(f"a form with a part whose fields have more than {LONGEST_HEAD} bytes")

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._take_head(end - start)
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._take_head(end - start)
        self._value += data[start:end]

    def _on_field(self) -> None:
        # Names of files are sent in UTF-8, which no field of a real header is.
        self._header.setdefault(self._name.decode("latin-1")).append(self._value.decode("utf-8", "replace"))
        self._name = self._value = b""

    def _on_header(self) -> None:
        disposition = self._params()
        self._is_file = "filename" in disposition
        if self._is_file:
            if self._store is None:
                self._store = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
            self._start = self._store.tell()

    def _params(self) -> dict[str, str]:
        return parse_media_type(self._header.get("Content-Disposition"))[1]

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file and self._store is not None:
            self._store.write(data[start:end])
            return
        self._in_memory += end - start
        if self._in_memory > MAX_FORM_BYTES:
            raise BodyTooLarge(f"a form with more than {MAX_FORM_BYTES} bytes of values")
        self._data += data[start:end]

    def _on_part(self) -> None:
        params = self._params()
        name = params.get("name", "")
        if not name:
            return
        if not self._is_file or self._store is None:
            self.values.setdefault(name, []).append(self._data.decode("utf-8", "surrogateescape"))
            return
        size = self._store.tell() - self._start
        file = io.BufferedReader(_Section(self._store, self._mutex, self._start, size))
        filename = params["filename"].replace("\\", "/").rpartition("/")[2]
        self.uploads.setdefault(name, []).append(Upload(filename, self._header, file, self._store))

    def _on_end(self) -> None:
        self.ended = True

    def close(self) -> None:
        """Close the files that have come so far."""
        if self._store is not None:
            self._store.close()
        close_uploads(self.uploads)


def close_uploads(uploads: dict[str, list[Any]]) -> None:
    """Close the files of a form; if they were on disk, they are gone."""
    for each in uploads.values():
        for upload in each:
            upload.file.close()
            upload.store.close()
