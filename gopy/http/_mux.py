"""ServeMux, which chooses the handler by Go 1.22's patterns, and the tree by which it finds it.

The tree branches on the host, then on the method, then on one piece of the path after the other. At each
piece a literal is tried first, then the wildcard for one piece, then the one for the rest; as patterns that
conflict are refused, the first that matches so is the most specific one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from gopy._core import Mutex
from gopy.http._handlers import error, not_found, redirect
from gopy.http._pattern import (
    Pattern,
    PatternError,
    Segment,
    clean_path,
    conflict,
    describe_conflict,
    parse,
    unescape,
)
from gopy.http._status import status_text

if TYPE_CHECKING:
    from gopy.http._request import Request
    from gopy.http._response import ResponseWriter
    from gopy.http._server import Handler

H = TypeVar("H", bound=Callable[..., object])

_MISSING: Any = object()  # None is what a wrapper gives that has forgotten to return its handler

Found = tuple["Node", tuple[str, ...]]  # a leaf, and what the wildcards stand for

_ONE, _REST = object(), object()  # the wildcards' keys among a node's children; a literal's is its text


class Node:
    """A place in the tree; a leaf has a pattern and its handler."""

    __slots__ = ("children", "handler", "pattern")

    def __init__(self) -> None:
        self.children: dict[Any, Node] = {}
        self.pattern: Pattern | None = None
        self.handler: Any = None

    def child(self, key: object) -> Node:
        """The child, made if it is not there."""
        return self.children.setdefault(key, Node())

    def add(self, segments: Iterable[Segment], pattern: Pattern, handler: object) -> None:
        node = self
        for segment in segments:
            node = node.child(_REST if segment.rest else _ONE if segment.wild else segment.text)
        node.handler = handler
        node.pattern = pattern

    def match(self, path: str, values: tuple[str, ...] = ()) -> Found | None:
        """The leaf below for a path, which begins with "/" or is at its end, and the values of its
        wildcards."""
        if not path:
            return None if self.pattern is None else (self, values)
        piece, rest = first_segment(path)
        children = self.children
        literal = children.get(piece)
        found = None if literal is None else literal.match(rest, values)
        if found is None and piece != "/" and _ONE in children:
            found = children[_ONE].match(rest, (*values, piece))
        if found is None and _REST in children:
            leaf = children[_REST]
            assert leaf.pattern is not None
            named = leaf.pattern.segments[-1].text
            found = leaf, (*values, unescape(path[1:])) if named else values
        return found


def first_segment(path: str) -> tuple[str, str]:
    """The first piece of a path, unescaped, and the rest. Of "/" alone it is that."""
    if path == "/":
        return "/", ""
    end = path.find("/", 1)
    if end < 0:
        end = len(path)
    return unescape(path[1:end]), path[end:]


class Tree:
    """All patterns: {host: {method: what matches the path}}, "" for those without."""

    def __init__(self) -> None:
        self._hosts: dict[str, dict[str, Node]] = {}

    def add(self, pattern: Pattern, handler: object) -> None:
        methods = self._hosts.setdefault(pattern.host, {})
        node = methods.get(pattern.method)
        if node is None:
            node = methods.setdefault(pattern.method, Node())
        node.add(pattern.segments, pattern, handler)

    def match(self, host: str, method: str, path: str) -> Found | None:
        """A pattern with the host comes before those without, one with the method before those without."""
        for methods in self._of(host):
            for each in (method, "GET", "") if method == "HEAD" else (method, ""):
                node = methods.get(each)
                found = None if node is None else node.match(path)
                if found is not None:
                    return found
        return None

    def _of(self, host: str) -> list[dict[str, Node]]:
        """The patterns for a host, then those without one."""
        return [self._hosts[each] for each in ((host, "") if host else ("",)) if each in self._hosts]

    def methods(self, host: str, path: str) -> list[str]:
        """Those that a path has patterns for."""
        found = {
            method
            for methods in self._of(host)
            for method, node in methods.items()
            if method and node.match(path) is not None
        }
        return sorted(found | {"HEAD"} if "GET" in found else found)


class ServeMux:
    """Calls the handler of the most specific pattern that matches a request. It is a handler itself.

    A pattern is "[METHOD ][HOST]/[PATH]": "GET /items/{id}", "/files/{path...}", "example.org/", "/{$}". What
    the wildcards stand for, request.path_value(name) tells. GET matches HEAD, too. A path that ends in "/"
    matches all that is below; so is "/tree" redirected to "/tree/" if only that is registered, and a path
    with "//" or ".." to the one without. Without a match it is 404, or 405 with Allow if another method has
    one.
    """

    def __init__(self) -> None:
        self._tree = Tree()
        self._mutex = Mutex()  # of those who register
        self._patterns: list[tuple[Pattern, str]] = []  # and where they were registered
        # {(method, path): leaf} of patterns that are one path; None once there are hosts, which come first.
        self._exact: dict[tuple[str, str], Node] | None = {}

    @overload
    def handle(self, pattern: str, handler: Handler) -> None: ...
    @overload
    def handle(self, pattern: str) -> Callable[[H], H]: ...
    def handle(self, pattern: str, handler: Any = _MISSING) -> Any:
        """Register a handler; without one, a decorator for it.

        PatternError, which is a Panic and a ValueError: the pattern is malformed, or conflicts with another
        one, as both match some requests and neither is more specific."""
        if not isinstance(pattern, str):
            raise TypeError(f"`pattern` must be a str, got {type(pattern).__name__}")
        frame = sys._getframe(1)
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if handler is not _MISSING:
            self._register(pattern, handler, where)
            return None

        def decorate(handler: H) -> H:
            self._register(pattern, handler, where)
            return handler

        return decorate

    def _register(self, text: str, handler: object, where: str) -> None:
        if not callable(handler):
            raise TypeError(f"`handler` must be callable, got {type(handler).__name__}")
        pattern = parse(text)
        with self._mutex:
            for other, registered in self._patterns:
                if conflict(pattern, other):
                    raise PatternError(
                        f"pattern {text!r} (registered at {where}) conflicts with pattern {other.text!r} "
                        f"(registered at {registered}):\n{describe_conflict(pattern, other)}"
                    )
            self._patterns.append((pattern, where))
            self._tree.add(pattern, handler)
            self._remember(pattern, handler)

    def _remember(self, pattern: Pattern, handler: object) -> None:
        if pattern.host:
            self._exact = None
        elif self._exact is not None and not any(segment.wild for segment in pattern.segments):
            path = "".join(f"/{segment.text}" for segment in pattern.segments)
            if pattern.segments[-1].text == "/":
                path = path[:-1]
            if path == clean_path(path) and "%" not in pattern.text:
                leaf = Node()
                leaf.add((), pattern, handler)
                self._exact[pattern.method, path] = leaf

    def __call__(self, w: ResponseWriter, r: Request) -> object:
        exact = self._exact
        if exact is not None:
            url = r.url
            path = r.escaped_path if "?" in url else url
            leaf = exact.get((r.method, path)) or (r.method != "HEAD" and exact.get(("", path)))
            if leaf:
                r.pattern = leaf.pattern.text  # type: ignore[union-attr]
                return leaf.handler(w, r)
        handler, pattern, values = self._find(r)
        if pattern is not None:
            r.pattern = pattern.text
            r._names, r._values = pattern.names, values
        return handler(w, r)

    def handler(self, r: Request) -> tuple[Handler, str]:
        """The handler for a request, and its pattern; "" for 404 and 405. Go's ServeMux.Handler."""
        handler, pattern, _ = self._find(r)
        return handler, "" if pattern is None else pattern.text

    def _find(self, r: Request) -> tuple[Any, Pattern | None, tuple[str, ...]]:
        path = r.escaped_path
        connect = r.method == "CONNECT"  # a target that is not to be changed
        host = r.host if connect else without_port(r.host)
        cleaned = path if connect else clean_path(path)
        found = self._tree.match(host, r.method, cleaned)
        slash = None if cleaned.endswith("/") or _is_exact(found, cleaned) else f"{cleaned}/"
        if slash is not None:
            below = self._tree.match(host, r.method, slash)
            if below is not None and _is_exact(below, slash):
                return _redirect_to(slash, r), below[0].pattern, ()
        if cleaned != path:
            return _redirect_to(cleaned, r), found and found[0].pattern, ()
        if found is not None:
            return found[0].handler, found[0].pattern, found[1]
        allowed = self._tree.methods(host, cleaned)
        return _not_allowed(allowed) if allowed else not_found, None, ()


def _is_exact(found: Found | None, path: str) -> bool:
    """Whether a pattern that ends in "/" or in a wildcard for the rest has matched with nothing left for
    that."""
    if found is None:
        return False
    pattern = found[0].pattern
    assert pattern is not None
    return not pattern.segments[-1].rest or (path.endswith("/") and len(pattern.segments) == path.count("/"))


def without_port(host: str) -> str:
    """ "example.org" of "example.org:8080"."""
    if host.startswith("["):
        return host[1 : host.index("]")] if "]" in host else host
    return host if host.count(":") != 1 else host.partition(":")[0]


def _redirect_to(path: str, r: Request) -> Handler:
    url = f"{path}?{r.raw_query}" if r.raw_query else path
    return lambda w, r: redirect(w, r, url, 307)


def _not_allowed(methods: list[str]) -> Handler:
    def refuse(w: ResponseWriter, r: Request) -> None:
        w.header().set("Allow", ", ".join(methods))
        error(w, status_text(405), 405)

    return refuse


default_mux = ServeMux()


def handle(pattern: str) -> Callable[[H], H]:
    """Register the function below it on the default mux, which a Server without a handler uses."""
    return default_mux.handle(pattern)
