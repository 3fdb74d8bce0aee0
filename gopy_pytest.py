"""What pytest loads of gopy in every run: markers, an option, and hooks that wait for a test that needs it.

This is a module of its own because an entry point in the package would import gopy for suites that do not use
it. All that it does for those that do is in gopy/testing/plugin.py.
"""

import sys
from collections.abc import Generator
from typing import Any

import pytest

_OURS = ("synctest", "goroutine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("gopy_leaks", "goroutines that a test leaves behind: off, warn or error", default="off")


def pytest_configure(config: pytest.Config) -> None:
    for line in (
        "synctest(seed=None): the test runs in a bubble of gopy.testing",
        "goroutine: the test runs in a goroutine of its own",
        "gomaxprocs(*counts): the test runs once for each, with that GOMAXPROCS",
        "leaks(action, ignore=None, grace=0.1): leaving goroutines behind is: 'error', 'warn', or 'off', "
        "as without an argument",
    ):
        config.addinivalue_line("markers", line)
    wanted = config.getini("gopy_leaks")
    if wanted not in ("off", "warn", "error"):
        raise pytest.UsageError(f"gopy_leaks must be off, warn or error, got {wanted!r}")


def _is_ours(item: pytest.Item) -> bool:
    return any(map(item.get_closest_marker, _OURS))


def _plugin(item: pytest.Item) -> Any:
    """gopy/testing/plugin.py, once the test, or one before it, has to do with gopy."""
    if "gopy" not in sys.modules and not _is_ours(item) and not item.get_closest_marker("gomaxprocs"):
        return None
    from gopy.testing import plugin

    return plugin


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("gomaxprocs")
    if marker is not None:
        metafunc.fixturenames.append("_gopy_procs")
        counts = marker.args or (None,)  # nothing is an error, which the plugin tells, and no test to skip
        metafunc.parametrize("_gopy_procs", counts, indirect=True, ids=[f"P{n}" for n in counts])


@pytest.fixture
def _gopy_procs(request: pytest.FixtureRequest) -> int:
    """Set and put back by gopy/testing/plugin.py, before and after all other fixtures."""
    return request.param  # type: ignore[no-any-return]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    plugin = _plugin(item)
    if plugin is not None:
        plugin.begins(item)
    return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    __tracebackhide__ = True
    plugin = _plugin(item)
    if plugin is None:
        return (yield)
    with plugin.calling(item):
        return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    plugin = _plugin(item)
    try:
        result = yield
        if plugin is not None:
            plugin.check_left(item)
        return result
    finally:
        if plugin is not None:
            plugin.ends(item)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not _is_ours(pyfuncitem) or hasattr(pyfuncitem.obj, "hypothesis"):
        return None
    __tracebackhide__ = True
    names = pyfuncitem._fixtureinfo.argnames
    _plugin(pyfuncitem).run(pyfuncitem, pyfuncitem.obj, {name: pyfuncitem.funcargs[name] for name in names})
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if call.excinfo is not None and "gopy" in sys.modules:
        _plugin(item).improve(report, call.excinfo)
    return report


def pytest_runtest_logfinish() -> None:
    if "gopy.testing.plugin" in sys.modules:
        sys.modules["gopy.testing.plugin"].report_strays()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if "gopy.testing.plugin" in sys.modules:
        sys.modules["gopy.testing.plugin"].report_strays(session)


def pytest_keyboard_interrupt(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    if "gopy.testing.plugin" in sys.modules:
        sys.modules["gopy.testing.plugin"].interrupted()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if "gopy.testing.plugin" in sys.modules:
        sys.modules["gopy.testing.plugin"].summarize(terminalreporter)
