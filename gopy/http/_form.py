"""Forms: urlencoded bodies, and multipart ones through python-multipart."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from email.message import Message
from typing import IO, TYPE_CHECKING, Any

from gopy.http._body import BadRequest, BodyTooLarge
from gopy.http._header import Header
from gopy.http._request import MAX_FORM_BYTES, parse_values

if TYPE_CHECKING:
    from gopy.http._request import Request

IN_MEMORY = 1 << 20  # bytes of an uploaded file; what is more goes to a file on disk
MOST_PARTS = 1000  # of a multipart body, as in Go
CHUNK = 1 << 16


@dataclass
class Upload:
    """A file of a form."""

    filename: str
    header: Header
    file: IO[bytes] = field(repr=False)


def parse_media_type(value: str) -> tuple[str, dict[str, str]]:
    """The type, in lower case, and the parameters of a field such as Content-Type."""
    message = Message()
    message["content-type"] = value
    first, *rest = message.get_params(failobj=[("", "")])
    return first[0].lower(), {name.lower(): text for name, text in rest if isinstance(text, str)}


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
        raise ImportError("multipart forms need python-multipart: pip install 'gopy[http]'") from None
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
        self._file: IO[bytes] | None = None
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
        self._file = None
        self._data = bytearray()

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_field(self) -> None:
        # Names of files are sent in UTF-8, which no field of a real header is.
        self._header.setdefault(self._name.decode("latin-1")).append(self._value.decode("utf-8", "replace"))
        self._name = self._value = b""

    def _on_header(self) -> None:
        disposition = self._params()
        if "filename" in disposition:
            self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115

    def _params(self) -> dict[str, str]:
        return parse_media_type(self._header.get("Content-Disposition"))[1]

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
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
        if self._file is None:
            self.values.setdefault(name, []).append(self._data.decode("utf-8", "surrogateescape"))
            return
        self._file.seek(0)
        filename = params["filename"].replace("\\", "/").rpartition("/")[2]
        self.uploads.setdefault(name, []).append(Upload(filename, self._header, self._file))
        self._file = None

    def _on_end(self) -> None:
        self.ended = True

    def close(self) -> None:
        """Close the files that have come so far."""
        if self._file is not None:
            self._file.close()
        close_uploads(self.uploads)


def close_uploads(uploads: dict[str, list[Any]]) -> None:
    """Close the files of a form, with which those on disk are gone."""
    for each in uploads.values():
        for upload in each:
            upload.file.close()
