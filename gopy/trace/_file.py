"""A trace as a file: Perfetto's packets, and before them the events themselves.

The file is a perfetto.protos.Trace. Its first packet has nothing but a field that Perfetto does not know
and passes over: our own events, compressed, which `python -m gopy trace` reads. So both are in one file,
and agree.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple

from gopy import _core

MAGIC = b"gopytrace 1\n"
OURS = 15000  # the number of our field in TracePacket
EVENT = struct.Struct("<qQQ")
ID_BITS = 44  # TRACE_ID_BITS
NEW, RUN, PARK, READY, END, STEAL, HANDOFF, BEGIN, FINISH, LOG, PSTART, PSTOP, GIL = range(1, 14)
CAUSES = ("", "a timer", "a descriptor", "a thread")  # enum tracecause, which READY has for a site


class TraceError(Exception):
    """What is wrong with a file, for people."""


class Trace(NamedTuple):
    """A trace that has been read. `sites` are (name, place), by number; `names` are by the goroutine's id."""

    events: bytes
    dropped: int
    reasons: list[str]
    sites: list[tuple[str, str]]
    texts: list[str]
    names: dict[int, str]

    def __iter__(self) -> Iterator[Any]:  # (when, kind, goroutine's id, more, site)
        low = (1 << ID_BITS) - 1
        for when, what, more in EVENT.iter_unpack(self.events):
            yield when, what & 255, what >> 8, more & low, more >> ID_BITS


def _line(code: CodeType, unit: int) -> int:
    lines = [line for first, end, line in code.co_lines() if first <= unit * 2 < end and line]
    return lines[0] if lines else code.co_firstlineno


def _site(what: Any, by: CodeType | None, unit: int, made: bool) -> tuple[str, str]:
    name = what.co_qualname if isinstance(what, CodeType) else what.__name__ if what else "?"
    if what is type(None):  # the main goroutine runs no function
        name = "main"
    code = by if made else what
    place = f"{code.co_filename}:{_line(code, unit)}" if isinstance(code, CodeType) else ""
    return name, place


def _encodable(texts: list[str]) -> list[str]:
    """What a file's name has that is no UTF-8, lone surrogates, as escapes."""
    return [text.encode("utf-8", "backslashreplace").decode() for text in texts]


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >= 128:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def encode(
    events: bytes,
    dropped: int,
    sites: list[tuple[Any, CodeType | None, int, bool]],
    texts: list[str],
    names: dict[int, str],
) -> bytes:
    """The whole file."""
    shown = [_site(*site) for site in sites]
    labels = [name if made else place for (name, place), (_, _, _, made) in zip(shown, sites, strict=True)]
    packets = _core.trace_perfetto(events, _encodable(labels), _encodable(texts))
    head = {
        "packets": len(packets),
        "dropped": dropped,
        "reasons": _core.wait_reasons(),
        "sites": shown,
        "texts": texts,
        "names": names,
    }
    ours = MAGIC + _field(1, json.dumps(head).encode()) + _field(2, zlib.compress(events, 1))
    return _field(1, _field(OURS, ours)) + packets


def since(events: bytes, when: int) -> bytes:
    """Those that are not older; they are in the order of time."""
    low, high = 0, len(events) // EVENT.size
    while low < high:
        middle = (low + high) // 2
        if EVENT.unpack_from(events, middle * EVENT.size)[0] < when:
            low = middle + 1
        else:
            high = middle
    return events[low * EVENT.size :]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def varint(self) -> int:
        number = shift = 0
        while True:
            if self.at >= len(self.data):
                raise TraceError("it is cut off")
            byte = self.data[self.at]
            self.at += 1
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
            if shift > 63:
                raise TraceError("it is no trace of gopy's")

    def field(self, number: int) -> bytes:
        if self.varint() != number << 3 | 2:
            raise TraceError("it is no trace of gopy's")
        size = self.varint()
        if self.at + size > len(self.data):
            raise TraceError("it is cut off")
        self.at += size
        return self.data[self.at - size : self.at]


def _check(trace: Trace) -> None:
    """ValueError: it is not made of what a trace is made of. Whether events are whole zlib has checked."""
    for texts in (trace.reasons, trace.texts, *map(list, trace.sites), list(trace.names.values())):
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError("a text is none")
    if trace.dropped < 0:
        raise ValueError("a number is negative")
    if len(trace.events) % EVENT.size:
        raise ValueError("an event is not whole")


def decode(data: bytes) -> Trace:
    """TraceError: it is no trace of gopy's, or not all of one."""
    if not data:
        raise TraceError("it is empty: was the trace stopped?")
    whole = _Reader(data)
    packet = _Reader(whole.field(1)).field(OURS)
    if not packet.startswith(MAGIC):
        raise TraceError("it is no trace of gopy's, or of another version's")
    ours = _Reader(packet[len(MAGIC) :])
    try:
        head = json.loads(ours.field(1))
        events = zlib.decompress(ours.field(2))
        names = {int(number): name for number, name in head["names"].items()}
        sites = [(name, place) for name, place in head["sites"]]
        found = Trace(events, int(head["dropped"]), head["reasons"], sites, head["texts"], names)
        missing = whole.at + head["packets"] != len(data)
        _check(found)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, zlib.error) as exc:
        raise TraceError(f"it is damaged: {exc}") from None
    if missing:
        raise TraceError("it is cut off")
    return found
