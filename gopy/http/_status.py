"""Status codes: their texts, as Go's StatusText has them, and which of them have a body."""

from http import HTTPStatus

_TEXTS = {int(each): each.phrase for each in HTTPStatus} | {
    203: "Non-Authoritative Information",
    413: "Request Entity Too Large",
    414: "Request URI Too Long",
    416: "Requested Range Not Satisfiable",
    418: "I'm a teapot",
    422: "Unprocessable Entity",
}

# The status line of each status, made once.
STATUS_LINES = {code: f"HTTP/1.1 {code} {text}\r\n" for code, text in _TEXTS.items()}


def status_text(code: int) -> str:
    """The text of a status, "" for one that has none."""
    return _TEXTS.get(code, "")


def status_line(code: int) -> str:
    return STATUS_LINES.get(code) or f"HTTP/1.1 {code:03d} status code {code}\r\n"


def body_allowed(code: int) -> bool:
    """Whether a response with this status may have a body: not 1xx, 204 and 304 (RFC 9110, 6.4.1)."""
    return code >= 200 and code != 204 and code != 304
