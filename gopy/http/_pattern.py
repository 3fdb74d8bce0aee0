"""Patterns of a ServeMux, "[METHOD ][HOST]/[PATH]", and how one compares with another. After Go 1.22's.

A path that ends in "/" matches all below: it is kept as a nameless wildcard for the rest. One that ends in
"/{$}" is kept as ending in the literal "/", which is what the end of such a path is taken for when a request
is matched.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from gopy._panic import Panic
from gopy.http._header import is_token


@dataclass(frozen=True)
class Segment:
    """A piece of a path: a literal, or "/" at the end; a wildcard for one piece, or for all that is left."""

    text: str  # the literal, or the wildcard's name
    wild: bool = False
    rest: bool = False


@dataclass(frozen=True)
class Pattern:
    """A pattern, taken apart. str() is how it was written."""

    text: str = field(compare=False)
    method: str
    host: str
    segments: tuple[Segment, ...]

    def __str__(self) -> str:
        return self.text

    @property
    def names(self) -> tuple[str, ...]:
        """Of the wildcards, in their order."""
        return tuple(segment.text for segment in self.segments if segment.wild and segment.text)


def clean_path(path: str) -> str:
    """The path without ".", ".." and empty pieces, beginning with "/"; a "/" at the end stays."""
    pieces: list[str] = []
    for piece in path.split("/"):
        if piece == "..":
            del pieces[-1:]
        elif piece not in ("", "."):
            pieces.append(piece)
    cleaned = "/" + "/".join(pieces)
    return cleaned + "/" if path.endswith("/") and pieces else cleaned


class PatternError(Panic, ValueError):
    """A pattern that cannot be registered: malformed, or in conflict with another. Go panics."""


_parts = re.compile(r"(?:(?P<method>[^ \t]*)[ \t]+)?(?P<host>[^/]*)(?P<path>/.*)?", re.DOTALL).fullmatch


def parse(text: str) -> Pattern:
    """The pattern. PatternError says what is wrong with it, and where."""
    if not text:
        raise PatternError("empty pattern")
    found = _parts(text)
    assert found is not None
    method, host, path = found["method"] or "", found["host"], found["path"]
    if method and not is_token(method):
        raise _wrong(text, 0, f"invalid method {method!r}")
    if path is None:
        raise _wrong(text, found.start("host"), "host/path missing /")
    if "{" in host:
        raise _wrong(text, found.start("host"), "host contains '{' (missing initial '/'?)")
    if method and method != "CONNECT" and path != clean_path(path):
        raise _wrong(text, found.start("path"), "non-CONNECT pattern with unclean path can never match")
    segments: list[Segment] = []
    pieces = path[1:].split("/")
    at = found.start("path") + 1
    for i, piece in enumerate(pieces):
        segment = _segment(piece, i == len(pieces) - 1, text, at)
        if segment.wild and segment.text and segment.text in (each.text for each in segments if each.wild):
            raise _wrong(text, at, f"duplicate wildcard name {segment.text!r}")
        segments.append(segment)
        at += len(piece) + 1
    return Pattern(text, method, host, tuple(segments))


def _wrong(text: str, at: int, why: str) -> PatternError:
    return PatternError(f"parsing {text!r}: at offset {at}: {why}")


def _segment(piece: str, last: bool, text: str, at: int) -> Segment:
    if not piece and last:
        return Segment("", wild=True, rest=True)
    if "{" not in piece:
        return Segment(unescape(piece))
    if not piece.startswith("{"):
        raise _wrong(text, at, "bad wildcard segment (must start with '{')")
    if not piece.endswith("}"):
        raise _wrong(text, at, "bad wildcard segment (must end with '}')")
    name = piece[1:-1]
    if name == "$":
        if not last:
            raise _wrong(text, at, "{$} not at end")
        return Segment("/")
    rest = name.endswith("...")
    if rest:
        name = name[:-3]
        if not last:
            raise _wrong(text, at, "{...} wildcard not at end")
    if not name:
        raise _wrong(text, at, "empty wildcard")
    if not name.isidentifier():
        raise _wrong(text, at, f"bad wildcard name {name!r}")
    return Segment(name, wild=True, rest=rest)


def unescape(text: str) -> str:
    return unquote(text, errors="surrogateescape") if "%" in text else text


# ---- comparing two patterns by what they match ----


class Relation(enum.Enum):
    """What the requests that one pattern matches are to those that another matches."""

    EQUIVALENT = "the same"
    MORE_GENERAL = "more"
    MORE_SPECIFIC = "fewer"
    DISJOINT = "others"
    OVERLAPS = "some of them, and others"


_INVERSE = {Relation.MORE_GENERAL: Relation.MORE_SPECIFIC, Relation.MORE_SPECIFIC: Relation.MORE_GENERAL}


def _combine(a: Relation, b: Relation) -> Relation:
    """The relation of two things that each have two parts, from the relations of the parts."""
    if Relation.DISJOINT in (a, b):
        return Relation.DISJOINT
    if a is Relation.EQUIVALENT:
        return b
    if b is Relation.EQUIVALENT or a is b:
        return a
    return Relation.OVERLAPS


def compare_methods(a: Pattern, b: Pattern) -> Relation:
    if a.method == b.method:
        return Relation.EQUIVALENT
    if not a.method or (a.method, b.method) == ("GET", "HEAD"):  # GET matches HEAD as well
        return Relation.MORE_GENERAL
    if not b.method or (a.method, b.method) == ("HEAD", "GET"):
        return Relation.MORE_SPECIFIC
    return Relation.DISJOINT


def _compare_segments(a: Segment, b: Segment) -> Relation:
    if (a.wild, a.rest) == (b.wild, b.rest):
        return Relation.EQUIVALENT if a.wild or a.text == b.text else Relation.DISJOINT
    if a.rest or (a.wild and not b.rest):  # a matches more, but one piece is no "/" at the end
        return Relation.DISJOINT if not a.rest and b.text == "/" and not b.wild else Relation.MORE_GENERAL
    return _INVERSE.get(other := _compare_segments(b, a), other)


def compare_paths(a: Pattern, b: Pattern) -> Relation:
    short = min(len(a.segments), len(b.segments))
    longer = len(a.segments) - len(b.segments)
    if longer and not a.segments[-1].rest and not b.segments[-1].rest:
        return Relation.DISJOINT
    relation = Relation.EQUIVALENT
    for one, other in zip(a.segments, b.segments, strict=False):
        relation = _combine(relation, _compare_segments(one, other))
    if not longer or relation is Relation.DISJOINT:
        return relation
    if longer < 0 and a.segments[short - 1].rest:
        return _combine(relation, Relation.MORE_GENERAL)
    if longer > 0 and b.segments[short - 1].rest:
        return _combine(relation, Relation.MORE_SPECIFIC)
    return Relation.DISJOINT


def compare(a: Pattern, b: Pattern) -> Relation:
    """By methods and paths; hosts are not looked at."""
    return _combine(compare_methods(a, b), compare_paths(a, b))


def conflict(a: Pattern, b: Pattern) -> bool:
    """Whether some requests match both, and neither is the more specific one."""
    if a.host != b.host:  # one with a host is more specific than one without; other hosts are other requests
        return False
    return compare(a, b) in (Relation.EQUIVALENT, Relation.OVERLAPS)


def describe_conflict(a: Pattern, b: Pattern) -> str:
    """Why they conflict, as Go says it."""
    methods, paths = compare_methods(a, b), compare_paths(a, b)
    if methods is paths is Relation.EQUIVALENT:
        return f"{a} matches the same requests as {b}"
    if paths is Relation.OVERLAPS:
        return (
            f"{a} and {b} both match some paths, like {_quoted(common_path(a, b))}.\n"
            "But neither is more specific than the other.\n"
            f"{a} matches {_quoted(difference_path(a, b))}, but {b} doesn't.\n"
            f"{b} matches {_quoted(difference_path(b, a))}, but {a} doesn't."
        )
    if methods is Relation.MORE_GENERAL:
        return f"{a} matches more methods than {b}, but has a more specific path pattern"
    return f"{a} matches fewer methods than {b}, but has a more general path pattern"


def _quoted(path: str) -> str:
    return f'"{path}"'


def _sample(segment: Segment) -> str:
    """What matches a segment: for a wildcard, its name."""
    return "/" if segment.rest or segment.text == "/" else f"/{segment.text}"


def _longer(a: Pattern, b: Pattern) -> str:
    """What matches the segments that only the longer of both has."""
    short = min(len(a.segments), len(b.segments))
    return "".join(map(_sample, (a.segments if len(a.segments) > short else b.segments)[short:]))


def common_path(a: Pattern, b: Pattern) -> str:
    """A path that both match; there must be one."""
    pairs = zip(a.segments, b.segments, strict=False)
    return "".join(_sample(other if one.wild else one) for one, other in pairs) + _longer(a, b)


def difference_path(a: Pattern, b: Pattern) -> str:
    """A path that a matches and b does not; there must be one."""
    path = ""
    for one, other in zip(a.segments, b.segments, strict=False):
        if one.rest:  # a "/" more tells them apart, or any piece if b wants just that "/"
            takes_slash = not other.rest and other.text == "/"
            return path + "/" + ((one.text or "x") if takes_slash else "")
        same = one.wild and not other.wild and one.text == other.text
        path += f"/{other.text}x" if same else _sample(one)
    return path + _longer(a, b)
