"""What tests get: a time limit that holds when the runtime hangs, a check for leaks, child programs.

The time limit must not depend on what is under test, so it stands on two nets. A plain daemon thread waits
for the end of the test; when that does not come it prints the test's name, every thread's stack and every
goroutine's stack, and ends the run. Should it be unable to run, because something holds the GIL for ever or
the dump of the goroutines hangs too, faulthandler's own C thread prints the threads' stacks a little later
and ends the run without any help from Python.

A live plain thread could send on any channel, so the runtime declares no Deadlock while a test runs here:
programs that must deadlock, die, fork or exit are child programs (the fixture `run_program`).
"""

import faulthandler
import importlib
import math
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

TIMEOUT = 60.0  # seconds that a test may take unless it is marked timeout(seconds)
GRACE = 5.0  # seconds that the watchdog has for its report before faulthandler ends the run
CHILD_TIMEOUT = 30.0  # seconds that a child program may take unless its test says otherwise
LEAK_TIMEOUT = 10.0  # seconds that the goroutines of a test have to end after it
TESTS_A_SECOND = 5  # of one process: 4,178 tests took 408 s in two, on the machine of the README's figures
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

passed = pytest.StashKey[bool]()
told = pytest.StashKey[bool]()  # how long it takes
terminal = pytest.StashKey[int]()  # the run's own stderr, whatever pytest captures
running: set["Program"] = set()


# The time limit.


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    if item.config.getoption("usepdb"):  # someone is at the keyboard
        return (yield)
    marker = item.get_closest_marker("timeout")
    limit = float(marker.args[0]) if marker else TIMEOUT
    stderr = item.config.stash[terminal]
    over = threading.Event()
    # faulthandler prints names of functions and nothing else of ours: the watchdog's is the name of the test.
    code = watch.__code__.replace(co_name=item.nodeid)
    watchdog = threading.Thread(
        target=types.FunctionType(code, globals()), args=(item.nodeid, limit, over, stderr), daemon=True
    )
    watchdog.start()
    faulthandler.dump_traceback_later(limit + GRACE, exit=True, file=stderr)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
        over.set()
        watchdog.join()


def watch(nodeid: str, limit: float, over: threading.Event, stderr: int) -> None:
    """Wait for the end of a test; report and end the whole run when it does not come in time."""
    if over.wait(limit):
        return

    def say(text: str) -> None:
        os.write(stderr, text.encode(errors="backslashreplace"))

    try:
        say(f"\n\n{nodeid} hangs: not over after {limit:g} s\n\nEvery thread:\n")
        faulthandler.dump_traceback(file=stderr, all_threads=True)
        if runtime := sys.modules.get("gopy.runtime"):
            say(f"\nEvery goroutine:\n{runtime.stack(all=True)}\n")
        for program in list(running):
            program.kill()
    except BaseException:
        say(traceback.format_exc())
    finally:
        os._exit(1)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[terminal] = os.dup(2)  # pytest captures nothing while it calls this hook
    # A shell's background job ignores SIGINT, what nohup starts SIGHUP, and so would all of our children.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[terminal])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without this a free-threaded Python would be tested with a GIL, and nobody would notice."""
    if FREE_THREADED and sys._is_gil_enabled():
        pytest.exit("the GIL was turned on: some import does not support free threading")


# The tiers, see csrc/HACKING.md.


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    in_parallel = hasattr(config, "workerinput")  # this is one of pytest-xdist's processes

    def left_out(item: pytest.Item) -> bool:
        if item.get_closest_marker("soak"):
            return "soak" not in config.getoption("markexpr")
        return in_parallel and item.get_closest_marker("quiet") is not None

    for item in items:
        if not any(map(item.get_closest_marker, ("slow", "quiet", "soak"))):
            item.add_marker("fast")
    config.hook.pytest_deselected(items=[item for item in items if left_out(item)])
    items[:] = [item for item in items if not left_out(item)]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.getoption("numprocesses", None):
        terminalreporter.write_line(
            "The tests marked quiet were left out; `pytest -m quiet` runs them, one by one."
        )


def say_how_long(config: pytest.Config, tests: int, processes: int) -> None:
    """At the start of a run that takes minutes, once."""
    minutes = math.ceil(tests / TESTS_A_SECOND / processes / 60)
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if minutes > 1 and reporter is not None and not config.stash.get(told, False):
        config.stash[told] = True
        reporter.write_line(f"{tests} tests, {processes} at a time: some {minutes} minutes")


def pytest_collection_finish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        say_how_long(session.config, len(session.items), 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    say_how_long(node.config, len(ids), node.config.getoption("numprocesses") or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`: a process for each CPU that we may use, as long as that is not a lot of memory."""
    from gopy import runtime

    return min(runtime.num_cpu(), 8)


# Leaked goroutines.


def goroutines() -> list[Any]:
    runtime = sys.modules.get("gopy.runtime")
    return runtime.goroutines() if runtime else []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if call.when == "call":
        item.stash[passed] = report.passed
    return report


@pytest.fixture(autouse=True)
def no_goroutine_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves goroutines behind, unless it failed anyway or is marked leaks."""
    known = {g.id for g in goroutines()} | {1}
    yield
    if not request.node.stash.get(passed, False) or request.node.get_closest_marker("leaks"):
        return
    deadline = time.monotonic() + LEAK_TIMEOUT
    while left := [g for g in goroutines() if g.id not in known]:
        if time.monotonic() > deadline:
            stacks = "\n".join(g.stack() for g in left[:10])
            pytest.fail(f"{len(left)} goroutines were left behind, of which the first ones:\n{stacks}")
        sys.modules["gopy.time"].sleep(0.001)


# Waiting for a state.


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """until(condition): let the others run until the condition holds."""
    from gopy import time as gotime

    def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"after {seconds:g} s it still does not hold"
            gotime.sleep(0.0005)

    return until


# Goroutines and settings.


@pytest.fixture(scope="session")
def in_goroutine() -> Callable[..., Any]:
    """in_goroutine(fn, *args): what fn(*args) returns in a goroutine of its own, or what it raises there."""
    from gopy import Chan, go

    def in_goroutine(fn: Callable[..., object], *args: object) -> object:
        result: Chan[object] = Chan()

        def body() -> None:
            try:
                value = fn(*args)
            except BaseException as exc:
                value = exc
            result.send(value)

        goroutine = go(body)
        value = result.recv()
        goroutine.join()
        return value

    return in_goroutine


@pytest.fixture
def gomaxprocs() -> Iterator[Callable[..., int]]:
    """runtime.GOMAXPROCS, whose setting is as before after the test."""
    from gopy.runtime import GOMAXPROCS

    before = GOMAXPROCS()
    yield GOMAXPROCS
    GOMAXPROCS(before)


# Certificates.


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Those of tests/certificates.py."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    certificates = importlib.import_module("certificates")
    return certificates.make_certificates(tmp_path_factory.mktemp("certificates"))


# Event loops.


@pytest.fixture(params=["asyncio", "uvloop"])
def new_event_loop(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """What makes a loop: asyncio's own, and uvloop where that is installed."""
    if request.param == "asyncio":
        return importlib.import_module("asyncio").new_event_loop
    return pytest.importorskip("uvloop", reason="uvloop is not installed").new_event_loop


@pytest.fixture
def kinds() -> Iterator[Any]:
    """What runs one body as every kind of goroutine, as a thread and as a task: see tests/kinds.py."""
    kinds = importlib.import_module("kinds").Kinds()
    yield kinds
    kinds.close()


# Child programs.


@dataclass(frozen=True)
class Finished:
    """A child program that has ended; times are of time.monotonic(), which all processes share."""

    returncode: int
    stdout: str
    stderr: str
    started: float
    ended: float

    @property
    def elapsed(self) -> float:
        return self.ended - self.started


class Program:
    """A child program in a session of its own, with its output in files: a forked child of it that outlives
    it can neither hold the test up nor survive it."""

    def __init__(self, command: list[str], env: Mapping[str, str], directory: Path) -> None:
        self.command = command
        self.directory = directory
        self.ended = 0.0
        self.started = time.monotonic()
        with self.file("stdout", "wb") as stdout, self.file("stderr", "wb") as stderr:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=env,
                cwd=directory,
                start_new_session=True,
            )
        self.pid = self.process.pid
        running.add(self)
        # Popen.wait(timeout) polls, which would add up to 50 ms to the time of the end.
        self.waiter = threading.Thread(target=self.wait, daemon=True)
        self.waiter.start()

    def file(self, name: str, mode: str = "r") -> IO[Any]:
        errors = None if "b" in mode else "backslashreplace"
        return open(self.directory / name, mode, errors=errors)

    def wait(self) -> None:
        self.process.wait()
        self.ended = time.monotonic()

    @property
    def stdout(self) -> str:
        """What it has written so far."""
        with self.file("stdout") as file:
            return file.read()

    @property
    def stderr(self) -> str:
        with self.file("stderr") as file:
            return file.read()

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait for a state of the child that only polling can see."""
        deadline = time.monotonic() + CHILD_TIMEOUT
        while True:
            runs = self.waiter.is_alive()  # asked first: what has ended is in the state that it ended in
            if condition():
                return
            assert runs, f"it ended with status {self.process.returncode}\n{self.stderr}"
            assert time.monotonic() < deadline, f"it did not get there\n{self.stderr}"
            time.sleep(0.001)

    def finish(self, timeout: float = CHILD_TIMEOUT) -> Finished:
        self.waiter.join(timeout)
        hangs = self.waiter.is_alive()
        if hangs:
            os.kill(self.pid, signal.SIGABRT)  # its faulthandler prints its threads' stacks
            self.waiter.join(GRACE)
        self.kill()
        self.waiter.join()
        finished = Finished(self.process.returncode, self.stdout, self.stderr, self.started, self.ended)
        if hangs:
            pytest.fail(
                f"{' '.join(self.command)} hangs: not over after {timeout:g} s\n"
                f"stdout:\n{finished.stdout}\nstderr:\n{finished.stderr}"
            )
        return finished

    def kill(self) -> None:
        """Kill it and all that it forked."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        running.discard(self)


@pytest.fixture(scope="session")
def start_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Program]]:
    """start_program(source or path, *args, env={}, flags=()) -> Program, which runs in the background.

    It inherits the environment, GOMAXPROCS included; env adds to that, and a value of None removes. Warnings
    are errors in it, as they are here.
    """

    base = tmp_path_factory.mktemp("programs")
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    # What programs import is compiled once a run, and not by each of them: where the standard library comes without its
    # bytecode that was four fifths of what a patched one took, and one that spawns others ran into its time limit.
    ours = {"PYTHONPYCACHEPREFIX": str(shared / "bytecode"), "PYTHONDONTWRITEBYTECODE": None}
    ours |= {"PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1", "GOPY_PANIC": None}

    def start_program(
        program: str | Path,
        *args: object,
        env: Mapping[str, str | None] | None = None,
        flags: Iterable[str] = (),
    ) -> Program:
        directory = Path(tempfile.mkdtemp(dir=base))  # mktemp() is not for several threads at once
        path = program if isinstance(program, Path) else directory / "program.py"
        if not isinstance(program, Path):
            path.write_text(textwrap.dedent(program))
        settings = dict(os.environ) | ours | dict(env or {})
        return Program(
            [sys.executable, "-W", "error", *flags, str(path), *map(str, args)],
            {name: value for name, value in settings.items() if value is not None},
            directory,
        )

    yield start_program
    for program in list(running):
        program.kill()


@pytest.fixture(scope="session")
def run_program(start_program: Callable[..., Program]) -> Callable[..., Finished]:
    """run_program(source or path, *args, env={}, flags=(), timeout=30) -> Finished, at its end."""

    def run_program(
        program: str | Path, *args: object, timeout: float = CHILD_TIMEOUT, **options: Any
    ) -> Finished:
        return start_program(program, *args, **options).finish(timeout)

    return run_program


@pytest.fixture(scope="session")
def check_elapsed(run_program: Callable[..., Finished]) -> Callable[[Finished, float], None]:
    """check_elapsed(finished, seconds): the program took at most so many seconds. On a machine too busy for that it
    may take, besides, as long as three programs that do nothing but import gopy."""

    def check_elapsed(finished: Finished, seconds: float) -> None:
        if finished.elapsed >= seconds:
            assert finished.elapsed < seconds + 3 * run_program("import gopy\n").elapsed

    return check_elapsed


METRONOME = """
import time
while True:
    due = time.monotonic() + 0.002
    time.sleep(0.002)
    print(time.monotonic() - due, flush=True)
"""


@pytest.fixture
def machine_delay(start_program: Callable[..., Program]) -> Iterator[Callable[[], float]]:
    """machine_delay(): by how many seconds the machine has been late, at most, in waking a program that only
    sleeps, while this test ran. A test that measures gopy's delays allows for it: a busy machine has its own."""
    metronome = start_program(METRONOME)
    metronome.wait_for(lambda: "\n" in metronome.stdout)
    yield lambda: max(map(float, metronome.stdout.rpartition("\n")[0].split("\n")))
    metronome.kill()


@pytest.fixture(scope="session")
def run_programs(run_program: Callable[..., Finished]) -> Callable[..., list[Finished]]:
    """run_programs([(program, options), ...]) -> [Finished, ...], some of them at once."""

    def run_programs(programs: Iterable[tuple[Any, dict[str, Any]]]) -> list[Finished]:
        with ThreadPoolExecutor(max_workers=4) as pool:
            futures = [pool.submit(run_program, program, **options) for program, options in programs]
            return [future.result() for future in futures]

    return run_programs
