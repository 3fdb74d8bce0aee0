"""The part `clients`: libraries that wait in C of their own, and can be told to wait otherwise.

Each is told when it is imported, which a finder on sys.meta_path sees. Outside goroutines they wait as ever.
"""

import functools
import importlib.util
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from gopy import _core
from gopy.monkey import _registry
from gopy.monkey._waiting import READ, WRITE, wait


def _psycopg(waiting: Any) -> None:
    """psycopg 3: its own loop over select.poll, which parks, instead of the one in C."""
    original, by_poll = waiting.wait, waiting.wait_poll

    @functools.wraps(by_poll)
    def patched(*args: Any, **kwargs: Any) -> Any:
        return (by_poll if _core.parks() else original)(*args, **kwargs)

    _registry.replace(waiting, "wait", patched, everywhere=False)


def _psycopg2(extensions: Any) -> None:
    def callback(connection: Any, timeout: float | None = None) -> None:
        while (state := connection.poll()) != extensions.POLL_OK:
            if state not in (extensions.POLL_READ, extensions.POLL_WRITE):
                raise extensions.OperationalError(f"connection.poll() returned {state}")
            wait(connection.fileno(), READ if state == extensions.POLL_READ else WRITE, timeout)

    extensions.set_wait_callback(callback)


def _grpc(channel: Any) -> None:
    """A blocking call waits in C, a future on a Condition."""

    def making_call(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            return self.future(*args, **kwargs).result() if _core.parks() else original(self, *args, **kwargs)

        return call

    def making_with_call(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def with_call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not _core.parks():
                return original(self, *args, **kwargs)
            future = self.future(*args, **kwargs)
            return future.result(), future

        return with_call

    for cls in (channel._UnaryUnaryMultiCallable, channel._StreamUnaryMultiCallable):
        _registry.replace_method(cls, "__call__", making_call)
        _registry.replace_method(cls, "with_call", making_with_call)


_HOOKS: dict[str, Callable[[Any], None]] = {
    "psycopg.waiting": _psycopg,
    "psycopg2.extensions": _psycopg2,
    "grpc._channel": _grpc,
}


class _Finder(MetaPathFinder):
    """Finds what the others find, and has the hook called once the module has been executed."""

    def __init__(self) -> None:
        self._busy: set[str] = set()

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _HOOKS or fullname in self._busy:
            return None
        self._busy.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._busy.discard(fullname)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            exec_module = loader.exec_module

            def exec_and_hook(module: ModuleType) -> None:
                exec_module(module)
                _HOOKS[fullname](module)

            loader.exec_module = exec_and_hook
        return spec


def patch() -> None:
    for name, hook in _HOOKS.items():
        if name in sys.modules:
            hook(sys.modules[name])
    sys.meta_path.insert(0, _Finder())
