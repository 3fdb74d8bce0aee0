"""Header, the fields of a request or a response, and what may stand in a field.

Names are kept in Go's canonical form ("content-type" is "Content-Type"), values as str of latin-1, which is
what bytes on the wire are to WSGI and http.client as well. No name or value that could end its line gets into
a Header, and response heads check once more what lists were changed to behind its back: a response cannot be
split.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

SHORT = 64  # characters of a value whose line is kept

_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_control = re.compile(r"[\0-\x08\n-\x1f\x7f]").search


def is_token(text: str) -> bool:
    """Whether text is a token of RFC 9110, as names of fields and methods are."""
    return _token(text) is not None


@lru_cache(1024)
def canonical(name: str) -> str:
    """The form in which a Header keeps a name; names that no field can have stay as they are."""
    if not is_token(name):
        return name
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


@lru_cache(1024)
def check_name(name: object) -> str:
    """The canonical form of a field's name. TypeError, ValueError unless it is one."""
    if not isinstance(name, str):
        raise TypeError(f"`name` must be a str, got {type(name).__name__}")
    if not is_token(name):
        raise ValueError(f"`name` must be the name of a field, got {name!r}")
    return canonical(name)


def check_value(value: object) -> str:
    """A field's value. TypeError, ValueError unless it fits on one line, in latin-1."""
    if not isinstance(value, str):
        raise TypeError(f"`value` must be a str, got {type(value).__name__}")
    if value.isascii() and value.isprintable():
        return value
    if _control(value):
        raise ValueError(f"`value` must have no CR, LF, NUL or other control character, got {value!r}")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"`value` must be latin-1, got {value!r}") from None
    return value


@lru_cache(512)
def known_line(name: str, value: str) -> str:
    """field_line(), of short ones, of which most servers send the same again and again."""
    return f"{check_name(name)}: {check_value(value)}\r\n"


def field_line(name: str, value: str) -> str:
    """The line of a head for a field. TypeError, ValueError: no name, or no value, is like that."""
    if type(value) is str and len(value) < SHORT:
        return known_line(name, value)
    return f"{check_name(name)}: {check_value(value)}\r\n"


def _check_values(values: object) -> list[str]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"`values` must be a list of str, got {type(values).__name__}")
    return [check_value(value) for value in values]


class Header(dict[str, list[str]]):
    """Fields by name, each with all its values. Names are canonical and may be given in any case.

    `header["X"]` is the list of values, as in Go; get() and set() are for one. TypeError and ValueError for
    what can be no name or no value: CR, LF and NUL cannot get in.
    """

    __slots__ = ()

    def __init__(self, fields: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        if fields:
            self.update(fields)

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        """The first value of a field; without any, the default."""
        values = super().get(canonical(name))
        return values[0] if values else default

    def values_of(self, name: str) -> list[str]:
        return super().get(canonical(name)) or []

    def set(self, name: str, value: str) -> None:
        """Make value the only one of the field."""
        if not (type(value) is str and value.isascii() and value.isprintable()):
            check_value(value)
        dict.__setitem__(self, check_name(name), [value])

    def add(self, name: str, value: str) -> None:
        """Add a value to those of the field."""
        key, value = check_name(name), check_value(value)
        values = dict.get(self, key)
        if values is None:
            dict.__setitem__(self, key, [value])
        else:
            values.append(value)

    def values(self, name: str | None = None) -> Any:
        """All values of a field, [] if there is none. Without a name, as dict.values()."""
        return super().values() if name is None else self.values_of(name)

    def delete(self, name: str) -> None:
        """Remove the field, if there is one."""
        super().pop(canonical(name), None)

    def clone(self) -> Header:
        """A copy with lists of its own."""
        return header_of({name: list(values) for name, values in self.items()})

    def update(self, fields: Any = (), /, **more: Any) -> None:
        """Set each field of a mapping, or of pairs, to its value or list of values."""
        if isinstance(fields, (str, bytes)):
            raise TypeError(f"`fields` must be a mapping, or pairs, got {type(fields).__name__}")
        pairs = fields.items() if isinstance(fields, Mapping) else fields
        for name, value in [*pairs, *more.items()]:
            self[name] = [value] if isinstance(value, str) else value

    def __getitem__(self, name: str) -> list[str]:
        return super().__getitem__(canonical(name))

    def __setitem__(self, name: str, values: list[str]) -> None:
        super().__setitem__(check_name(name), _check_values(values))

    def __delitem__(self, name: str) -> None:
        super().__delitem__(canonical(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(canonical(name))

    def pop(self, name: str, *default: Any) -> Any:
        return super().pop(canonical(name), *default)

    def setdefault(self, name: str, values: list[str] | None = None) -> list[str]:
        return super().setdefault(check_name(name), _check_values(values or []))

    def __or__(self, other: Any) -> Any:
        both = self.clone()
        both.update(other)
        return both

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def copy(self) -> Header:
        return self.clone()


def header_of(fields: dict[str, list[str]]) -> Header:
    """A Header of fields that are canonical already."""
    header = Header.__new__(Header)
    dict.update(header, fields)
    return header


def tokens(values: Iterable[str]) -> list[str]:
    """The members of a field that is a list of tokens, such as Connection, in lower case."""
    return [part for value in values for each in value.split(",") if (part := each.strip(" \t").lower())]
