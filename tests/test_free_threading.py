"""Free threading: no import turns the GIL on, an interpreter that nobody has checked is warned of, and goroutines on two
threads talk to each other without sleeping in between."""

import os
import sys
import sysconfig
import warnings

import pytest

from gopy import _free_threading, runtime

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
only_free_threaded = pytest.mark.skipif(not FREE_THREADED, reason="this interpreter has a GIL")


def unchecked(monkeypatch, disabled, version):
    monkeypatch.setattr(_free_threading, "FREE_THREADED", bool(disabled))
    monkeypatch.setattr(_free_threading.sys, "version_info", (*version, 0, "final", 0))


def test_an_unchecked_interpreter_is_warned_of(monkeypatch):
    unchecked(monkeypatch, 1, (3, 99))
    with pytest.warns(
        RuntimeWarning, match=r"^gopy has not been checked on free-threaded Python 3\.99: "
    ) as record:
        _free_threading.start()
    assert len(record) == 1


@pytest.mark.parametrize(
    ("disabled", "version"), [(1, (3, 13)), (1, (3, 14)), (1, (3, 15)), (0, (3, 99)), (None, (3, 11))]
)
def test_a_checked_interpreter_is_not_warned_of(monkeypatch, disabled, version):
    unchecked(monkeypatch, disabled, version)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _free_threading.start()


@only_free_threaded
def test_the_warning_names_the_line_that_imports_gopy(run_program):
    done = run_program(
        """
        import sys
        sys.version_info = (3, 99, 0, "final", 0)
        import gopy
        import gopy.runtime
        """,
        flags=["-W", "default"],
    )
    assert done.returncode == 0
    assert done.stderr.count("RuntimeWarning") == 1
    assert "program.py:4: RuntimeWarning" in done.stderr


@only_free_threaded
def test_importing_everything_leaves_the_gil_off(run_program):
    done = run_program(
        """
        import importlib, pkgutil, sys
        import gopy
        from importlib.util import find_spec
        needs = {"gopy.http": "httptools", "gopy.debug._serve": "httptools", "gopy.gunicorn": "gunicorn"}
        absent = tuple(name for name, other in needs.items() if not find_spec(other))
        for module in pkgutil.walk_packages(gopy.__path__, "gopy."):
            if not module.name.startswith(absent):
                importlib.import_module(module.name)
        print(sys._is_gil_enabled(), gopy.runtime.stats()["gil"])
        """
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "False False\n")


def test_stats_tells_whether_there_is_a_gil():
    assert runtime.stats()["gil"] == getattr(sys, "_is_gil_enabled", lambda: True)()


ON_TWO_THREADS = """
import resource, threading, time
from gopy import Chan, go
TRIPS = 5000

def busy():  # for so long that each of two starts on a thread of its own
    until = time.perf_counter() + 0.03
    while time.perf_counter() < until: pass
    threads.append(threading.get_ident())

def ping():
    busy()
    for i in range(TRIPS):
        there.send(i)
        back.recv()

def pong():
    busy()
    for _ in range(TRIPS):
        back.send(there.recv())

def sleeps():
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw

best = TRIPS
for _ in range(10):
    there, back, threads = Chan(), Chan(), []
    before = sleeps()
    goroutines = [go(pong), go(ping)]
    for goroutine in goroutines:
        goroutine.join()
    if len(set(threads)) == 2:
        best = min(best, (sleeps() - before) / TRIPS)
print(best)
"""


@only_free_threaded
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
@pytest.mark.quiet
def test_two_that_talk_on_two_threads_do_not_sleep(run_program):
    """A thread that has asked another one, which then looks for work, waits for its answer awake."""
    done = run_program(ON_TWO_THREADS, env={"GOMAXPROCS": "2"})
    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout) < 0.1


SLEEPERS = """
from time import process_time
from gopy import Chan, go
from gopy.time import asleep

def cpu(n):
    done = Chan(n)

    async def nap(i):
        await asleep(i * 7919 % 300_007 * 1e-6)
        await done.asend(None)

    start = process_time()
    for i in range(n):
        go(nap, i)
    for _ in range(n):
        done.recv()
    return process_time() - start

cpu(100)
print(cpu(50_000))
"""


@only_free_threaded
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
@pytest.mark.quiet
def test_beside_many_timers_a_second_thread_does_not_look_for_work_all_the_time(run_program):
    """A thread that has a timer due soon does not wait awake for what it might steal."""
    used = {"1": [], "2": []}
    for _ in range(3):
        for gomaxprocs, seconds in used.items():
            done = run_program(SLEEPERS, env={"GOMAXPROCS": gomaxprocs})
            assert (done.returncode, done.stderr) == (0, "")
            seconds.append(float(done.stdout))
    assert min(used["2"]) < 1.9 * min(used["1"]), used
