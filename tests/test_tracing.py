"""Trace and profile functions see goroutines: those of threading on threads of ours, those of sys where they were set."""

import pytest

each_gomaxprocs = pytest.mark.parametrize("procs", [1, 2, 8])

PRELUDE = """
import sys, threading
from gopy import Chan, blocking, go, runtime

seen, traced_in = set(), {}

def hook(frame, event, arg):
    if event == "call":
        seen.add(frame.f_code.co_name)
        traced_in.setdefault(frame.f_code.co_name, set()).add(threading.get_ident())
"""


@pytest.fixture
def program(run_program):
    def program(source, procs):
        finished = run_program(PRELUDE + source, env={"GOMAXPROCS": str(procs)})
        assert finished.returncode == 0, finished.stderr
        return finished.stdout.split()

    return program


@each_gomaxprocs
@pytest.mark.parametrize("kind", ["settrace", "setprofile"])
def test_goroutines_off_the_main_thread_are_traced(program, kind, procs):
    """Main blocks its thread, so they run elsewhere; one that waits and goes on is traced as long as it lives."""
    source = f"""
import time
threading.{kind}(hook)
gate, over = Chan(), threading.Event()

def after(): pass
def inner(): pass

def stackful():
    inner()
    if threading.current_thread() is not threading.main_thread():
        gate.recv()
    after()
    over.set()

def stackless_inner(): pass

async def stackless():
    stackless_inner()
    await gate.asend(None)

go(stackful)
go(stackless)
over.wait()
print(*sorted({{"stackful", "inner", "after", "stackless", "stackless_inner"}} - seen))
print(threading.main_thread().ident in traced_in["stackful"])
"""
    assert program(source, procs) == ["False"]


@each_gomaxprocs
@pytest.mark.parametrize("kind", ["settrace", "setprofile"])
def test_blocking_calls_are_traced(program, kind, procs):
    source = f"""
threading.{kind}(hook)

def inner(): pass
def called(): inner()

blocking(called)
print({{"called", "inner"}} <= seen)
"""
    assert program(source, procs) == ["True"]


@pytest.mark.slow
@each_gomaxprocs
@pytest.mark.parametrize("kind", ["settrace", "setprofile"])
@pytest.mark.parametrize("when", ["before", "after"], ids=["set before gopy is used", "set after"])
def test_goroutines_on_the_main_thread_are_traced_as_main_is(program, kind, when, procs):
    source = f"""
def spawn(fn):
    # fn in a goroutine of this thread: one that has started elsewhere does nothing.
    found = Chan()
    def body():
        here = threading.current_thread() is threading.main_thread()
        if here:
            fn()
        found.send(here)
    while True:
        go(body)
        if found.recv():
            return

def first(): pass
def second(): pass
def third(): pass

if {when == "after"}:
    spawn(first)
sys.{kind}(hook)
spawn(second)
sys.{kind}(None)
spawn(third)
print("second" in seen, "third" in seen, "first" in seen)
"""
    assert program(source, procs) == ["True", "False", "False"]


@each_gomaxprocs
def test_coverage_measures_goroutines(program, procs, tmp_path):
    """The bodies of goroutines on this and on other threads, and of blocking() calls."""
    module = tmp_path / "measured.py"
    module.write_text(
        "import threading\n"
        "def stackful(over):\n"
        "    x = 1\n"
        "    over.set()\n"
        "async def stackless(over):\n"
        "    x = 1\n"
        "    over.set()\n"
        "def called():\n"
        "    x = 1\n"
        "def never():\n"
        "    x = 1\n"
    )
    source = f"""
import coverage
cov = coverage.Coverage(data_file=None, include=[{str(module)!r}], config_file=False)
cov.start()
sys.path.insert(0, {str(tmp_path)!r})
import measured
for fn in (measured.stackful, measured.stackless):
    over = threading.Event()
    go(fn, over)
    over.wait()  # blocks the main thread
    go(fn, over).join()
blocking(measured.called)
cov.stop()
print(*cov.analysis2({str(module)!r})[3])
"""
    assert program(source, procs) == ["11"]
