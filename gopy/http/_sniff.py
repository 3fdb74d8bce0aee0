"""What kind of content some bytes are, after Go's DetectContentType and
https://mimesniff.spec.whatwg.org/."""

import re

SNIFFED = 512  # bytes at most that are looked at

_TAGS = (
    b"!DOCTYPE HTML", b"HTML", b"HEAD", b"SCRIPT", b"IFRAME", b"H1", b"DIV", b"FONT", b"TABLE", b"A",
    b"STYLE", b"TITLE", b"B", b"BODY", b"BR", b"P", b"!--",
)  # fmt: skip

# What content may begin with, possibly after white space, and what it then is.
_AFTER_SPACE = [
    (rb"(?i:<(?:" + b"|".join(map(re.escape, _TAGS)) + rb"))[ >]", "text/html; charset=utf-8"),
    (rb"<\?xml", "text/xml; charset=utf-8"),
]
_SPACE = rb"[\t\n\x0c\r ]*"

# The same without white space before it.
_AT_START = [
    (rb"%PDF-", "application/pdf"),
    (rb"%!PS-Adobe-", "application/postscript"),
    (rb"\xfe\xff..", "text/plain; charset=utf-16be"),
    (rb"\xff\xfe..", "text/plain; charset=utf-16le"),
    (rb"\xef\xbb\xbf.", "text/plain; charset=utf-8"),
    (rb"\0\0[\x01\x02]\0", "image/x-icon"),
    (rb"BM", "image/bmp"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"RIFF....WEBPVP", "image/webp"),
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"FORM....AIFF", "audio/aiff"),
    (rb"ID3", "audio/mpeg"),
    (rb"OggS\0", "application/ogg"),
    (rb"MThd\0\0\0\x06", "audio/midi"),
    (rb"RIFF....AVI ", "video/avi"),
    (rb"RIFF....WAVE", "audio/wave"),
    (rb"\x1a\x45\xdf\xa3", "video/webm"),
    (rb".{34}LP", "application/vnd.ms-fontobject"),
    (rb"\0\x01\0\0", "font/ttf"),
    (rb"OTTO", "font/otf"),
    (rb"ttcf", "font/collection"),
    (rb"wOFF", "font/woff"),
    (rb"wOF2", "font/woff2"),
    (rb"\x1f\x8b\x08", "application/x-gzip"),
    (rb"PK\x03\x04", "application/zip"),
    (rb"Rar!\x1a\x07\0", "application/x-rar-compressed"),
    (rb"Rar!\x1a\x07\x01\0", "application/x-rar-compressed"),
    (rb"\0asm", "application/wasm"),
]

_KINDS = [kind for _, kind in _AFTER_SPACE + _AT_START]
_signature = re.compile(
    b"|".join(
        [_SPACE + b"(" + pattern + b")" for pattern, _ in _AFTER_SPACE]
        + [b"(" + pattern + b")" for pattern, _ in _AT_START]
    ),
    re.DOTALL,
).match
# For translate(): 1 for a byte that no text has, else 0.
_NO_TEXT = bytes(c < 32 and c not in b"\t\n\f\r\x1b" for c in range(256))
# The first bytes of what has a signature, or white space: most text is told by its first byte not to have
# one.
_FIRST = frozenset(b"<%\xfe\xff\xef\0BGR\x89FIOM\x1atw\x1fP\t\n\f\r ")

TEXT = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"


def content_type(data: bytes) -> str:
    """The media type of what begins with data; "application/octet-stream" if it cannot be told."""
    if len(data) > SNIFFED:
        data = data[:SNIFFED]
    if (data and data[0] in _FIRST) or data[34:36] == b"LP":
        found = _signature(data)
        if found is not None:
            return _KINDS[(found.lastindex or 1) - 1]
    if data[4:8] == b"ftyp" and _is_mp4(data):
        return "video/mp4"
    return BINARY if 1 in data.translate(_NO_TEXT) else TEXT


def _is_mp4(data: bytes) -> bool:
    if len(data) < 12:
        return False
    size = int.from_bytes(data[:4], "big")
    if size % 4 or len(data) < size:
        return False
    return any(data[at : at + 3] == b"mp4" for at in range(8, size, 4) if at != 12)
