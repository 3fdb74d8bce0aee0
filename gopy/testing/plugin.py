"""The pytest plugin, for tests that have to do with gopy: what gopy_pytest.py calls.

A goroutine starts with a copy of its starter's contextvars, so it knows the test that has started it,
directly or through others: that is how a panic finds its test after the test's end.
"""

import inspect
import re
import sys
import unittest
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

import pytest

from gopy import Chan, _panic, go, runtime
from gopy._arguments import check_int
from gopy._core import Goroutine
from gopy._panic import Deadlock, Panic
from gopy.testing import _leaks
from gopy.testing._synctest import synctest

_test: ContextVar[pytest.Item] = ContextVar("gopy.testing.plugin.test")
_known = pytest.StashKey[frozenset[int]]()
_procs = pytest.StashKey[int]()  # what GOMAXPROCS was before the test
_strays: list[tuple[pytest.Item, str]] = []
_stacks: list[str] = []  # of an interrupted run
_current: pytest.Item | None = None


# Running a test.


def run(item: pytest.Item, fn: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    __tracebackhide__ = True
    marker = item.get_closest_marker("synctest")
    if marker is not None:
        if item.get_closest_marker("goroutine") and not inspect.iscoroutinefunction(fn):
            fn = _in_goroutine(fn)
        synctest(fn, seed=marker.kwargs.get("seed"), **kwargs)
    else:
        _in_goroutine(fn)(**kwargs)


def _in_goroutine(fn: Callable[..., Any]) -> Callable[..., None]:
    def call(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        outcome: Chan[BaseException | None] = Chan(1)

        def plain() -> None:
            error: BaseException | None = None
            try:
                fn(*args, **kwargs)
            except BaseException as exc:
                error = exc
            outcome.send(error)

        async def stackless() -> None:
            error: BaseException | None = None
            try:
                await fn(*args, **kwargs)
            except BaseException as exc:
                error = exc
            await outcome.asend(error)

        go(stackless if inspect.iscoroutinefunction(fn) else plain).name = getattr(fn, "__qualname__", "test")
        error = outcome.recv()
        if error is not None:
            try:
                raise error
            finally:
                del error

    return call


def _wrapped(item: pytest.Item, fn: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(fn)
    def call(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True

        def test() -> Any:
            return fn(*args, **kwargs)

        async def atest() -> Any:
            await fn(*args, **kwargs)

        run(item, atest if inspect.iscoroutinefunction(fn) else test, {})

    return call


def _for_each_count(item: pytest.Item, fn: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a unittest.TestCase cannot be parametrized: it is called several times."""
    marker = item.get_closest_marker("gomaxprocs")
    if marker is None:
        return fn

    @wraps(fn)
    def call(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        before = runtime.GOMAXPROCS()
        try:
            for count in marker.args:
                runtime.GOMAXPROCS(count)
                fn(*args, **kwargs)
        finally:
            runtime.GOMAXPROCS(before)

    return call


@contextmanager
def calling(item: pytest.Item) -> Iterator[None]:
    """The test is about to be called. What pytest calls by itself is wrapped meanwhile: methods of TestCases,
    and what hypothesis calls for each example, which gets a bubble of its own."""
    begins(item)
    check_marks(item)
    item.stash[_known] = frozenset(goroutine.id for goroutine in runtime.goroutines())
    ours = item.get_closest_marker("synctest") or item.get_closest_marker("goroutine")
    obj: Any = getattr(item, "obj", None)
    cls = getattr(item, "cls", None)
    if cls is not None and issubclass(cls, unittest.TestCase):
        item.obj = _for_each_count(item, _wrapped(item, obj) if ours else obj)  # type: ignore[attr-defined]
        yield
    elif ours and hasattr(obj, "hypothesis"):
        inner = obj.hypothesis.inner_test
        obj.hypothesis.inner_test = _wrapped(item, inner)
        try:
            yield
        finally:
            obj.hypothesis.inner_test = inner
    else:
        yield


def begins(item: pytest.Item) -> None:
    global _current
    _current = item
    _test.set(item)
    _panic.stray = _stray
    _goroutines_in_timeouts()
    callspec = getattr(item, "callspec", None)
    count = None if callspec is None else callspec.params.get("_gopy_procs")
    if isinstance(count, int) and _procs not in item.stash:  # else check_marks() says that it is none
        item.stash[_procs] = runtime.GOMAXPROCS(count)


def ends(item: pytest.Item) -> None:
    before = item.stash.get(_procs, 0)
    if before:
        del item.stash[_procs]
        runtime.GOMAXPROCS(before)


# Marks.


class _Marks:
    """What each may say: that is, with which arguments its function may be called."""

    @staticmethod
    def synctest(*, seed: int | None = None) -> None:
        if seed is not None:
            check_int("seed", seed, wanted="an int or None")

    @staticmethod
    def goroutine() -> None: ...

    @staticmethod
    def gomaxprocs(count: int, /, *counts: int) -> None:
        for each in (count, *counts):
            check_int("count", each, 1)

    @staticmethod
    def leaks(action: str = "off", /, *, ignore: object = None, grace: float = 0.1) -> None:
        if action not in ("off", "warn", "error"):
            raise ValueError(f"`action` must be off, warn or error, got {action!r}")


def check_marks(item: pytest.Item) -> None:
    """What a mark does not know is told: a test that was to run in many orders would run in one."""
    for name in ("synctest", "goroutine", "gomaxprocs", "leaks"):
        for marker in item.iter_markers(name):
            try:
                getattr(_Marks, name)(*marker.args, **marker.kwargs)
            except (TypeError, ValueError) as exc:
                pytest.fail(f"pytest.mark.{name}: {str(exc).removeprefix('_Marks.')}", pytrace=False)


# Goroutines that are left behind.


def check_left(item: pytest.Item) -> None:
    known = item.stash.get(_known, None)
    marker = item.get_closest_marker("leaks")
    wanted, ignore, grace = item.config.getini("gopy_leaks"), None, 0.1
    if marker is not None:
        wanted = marker.args[0] if marker.args else "off"
        ignore, grace = marker.kwargs.get("ignore"), marker.kwargs.get("grace", grace)
    if known is None or wanted == "off":
        return
    found = _leaks.left(known, ignore, grace)
    if not found:
        return
    if wanted == "warn":
        warnings.warn(pytest.PytestWarning(f"{item.nodeid}: {_leaks.report(found)}"), stacklevel=1)
    else:
        pytest.fail(_leaks.report(found), pytrace=False)


def _stray(goroutine: Goroutine, exc: BaseException) -> bool:
    """Called for a panic, in the goroutine that has panicked. True: it is told of here, as its test is
    over."""
    item = _test.get(None)
    if item is None or item is _current:
        return False
    import traceback

    head = f"panic in goroutine {goroutine.id} [{goroutine.name}], which this test has left behind:"
    _strays.append((item, f"{head}\n{''.join(traceback.format_exception(exc))}"))
    return True


def report_strays(session: pytest.Session | None = None) -> None:
    """Between two tests, and at the end of the run."""
    global _current
    _current = None
    while _strays:
        item, text = _strays.pop(0)
        report = pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords={},
            outcome="failed",
            longrepr=text,
            when="teardown",
        )
        item.ihook.pytest_runtest_logreport(report=report)
        if session is not None and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


# Reports.

_FRAME = re.compile(r'^  File "([^"]*)".*\n(?:^    .*\n?)*', re.MULTILINE)
_CREATED = re.compile(r"^created by .*:\n(?!  File)", re.MULTILINE)  # of which the frame is gone
_PYTEST = re.compile(r"[\\/](?:_?pytest|pluggy|xdist|execnet|gopy_pytest\.py|gopy[\\/]testing)(?:[\\/]|$)")


def without_pytest(stacks: str) -> str:
    """A dump of goroutines without pytest's own frames, and without saying that pytest has started one."""
    left = _FRAME.sub(lambda frame: "" if _PYTEST.search(frame[1]) else frame[0], stacks)
    return _CREATED.sub("", left)


def improve(report: pytest.TestReport, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    text = str(excinfo.value)
    if isinstance(excinfo.value, Deadlock) or (
        isinstance(excinfo.value, Panic) and text.startswith("deadlock:")
    ):
        report.longrepr = f"{type(excinfo.value).__name__}: {without_pytest(text)}"
    elif text.startswith("Timeout"):  # pytest-timeout's, which has no type of its own
        report.sections.append(("goroutines", without_pytest(runtime.stack(all=True))))


def _goroutines_in_timeouts() -> None:
    """pytest-timeout's method "thread" writes the stacks of threads, here those of goroutines, too, and
    ends the process."""
    timeouts: Any = sys.modules.get("pytest_timeout")
    dump = getattr(timeouts, "dump_stacks", None)
    if dump is None or hasattr(dump, "_gopy"):
        return

    @wraps(dump)
    def dump_stacks(*args: Any, **kwargs: Any) -> None:
        dump(*args, **kwargs)
        text = without_pytest(runtime.stack(all=True))
        terminal = args[0] if args and hasattr(args[0], "write") else sys.stderr
        terminal.write(f"\n~~~ goroutines ~~~\n{text}\n")

    dump_stacks._gopy = True  # type: ignore[attr-defined]
    timeouts.dump_stacks = dump_stacks


def interrupted() -> None:
    _stacks.append(without_pytest(runtime.stack(all=True)))


def summarize(terminalreporter: Any) -> None:
    for text in _stacks:
        terminalreporter.section("goroutines")
        terminalreporter.write_line(text)
    _stacks.clear()
