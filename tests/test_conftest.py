"""What conftest.py promises: a hung or leaking test fails with every stack, and a fine one is left alone."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.timeout(300)  # several processes start, one after the other

# What waits is there before the time limit begins to run.
PARKED = """
g = go(Chan().recv)
while g.state != "chan receive":
    runtime.gosched()

@pytest.mark.timeout(1)
"""
HANGS = {
    "parked": PARKED + "def test():\n    Chan().recv()\n",
    "c_call": PARKED + "def test():\n    time.sleep(1000)\n",
    "computing": PARKED + "def test():\n    while True:\n        pass\n",
}
PRELUDE = "import ctypes, time\nimport pytest\nfrom gopy import Chan, go, runtime\n\n"


@pytest.fixture
def run_pytest(tmp_path):
    """run_pytest(source, *args) -> what pytest made of this test file beside our conftest.py."""

    def run_pytest(source, *args):
        (tmp_path / "conftest.py").write_text((HERE / "conftest.py").read_text())
        (tmp_path / "test_it.py").write_text(PRELUDE + source)
        command = [sys.executable, "-m", "pytest", "-q", "-c", str(HERE.parent / "pyproject.toml")]
        command += ["--rootdir", str(tmp_path), "-p", "no:cacheprovider", *args, str(tmp_path / "test_it.py")]
        env = dict(os.environ) | {"PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=280)

    return run_pytest


@pytest.mark.slow
@pytest.mark.parametrize("name", HANGS)
def test_a_hung_test_ends_with_every_stack(name, run_pytest):
    """Parked, stuck in C or computing: every thread and every goroutine is shown, and the run fails."""
    done = run_pytest(HANGS[name])
    assert done.returncode == 1
    assert "test_it.py::test hangs: not over after 1 s" in done.stderr
    assert "Every thread:" in done.stderr
    assert "goroutine 1 [" in done.stderr
    assert "[chan receive]:" in done.stderr


@pytest.mark.slow
def test_a_test_that_holds_the_gil_for_ever_ends_too(run_pytest):
    """Where no Python code can run any more, faulthandler's own thread ends the run."""
    done = run_pytest("@pytest.mark.timeout(1)\ndef test():\n    ctypes.PyDLL(None).sleep(1000)\n")
    assert done.returncode == 1
    assert "test_it.py" in done.stderr and "most recent call first" in done.stderr


@pytest.mark.slow
def test_a_hung_test_ends_its_process_and_the_others_go_on(run_pytest):
    """With pytest-xdist: another process takes the place of the one that has ended, after the same report."""
    pytest.importorskip("xdist")
    done = run_pytest(HANGS["parked"] + "\ndef test_next(): pass\n", "-n", "1")
    assert done.returncode == 1
    assert "test_it.py::test hangs: not over after 1 s" in done.stderr
    assert "goroutine 1 [" in done.stderr
    assert "1 failed, 1 passed" in done.stdout


def test_a_busy_machine_is_allowed_for(machine_delay):
    """machine_delay() is what a program that only sleeps has seen, so far."""
    time.sleep(0.05)
    first = machine_delay()
    assert 0 < first <= machine_delay()


def test_a_leak_fails_and_what_is_fine_passes(run_pytest):
    """A goroutine left behind fails its test alone; a failure is reported as itself."""
    done = run_pytest(
        """
def test_leaks():
    go(Chan().recv)

@pytest.mark.leaks
def test_leaks_on_purpose():
    go(Chan().recv)

@pytest.mark.timeout(50)
def test_fine():
    go(time.sleep, 0.05)

def test_fails_itself():
    go(Chan().recv)
    raise AssertionError("itself")
"""
    )
    assert done.returncode == 1
    assert "1 failed, 3 passed, 1 error" in done.stdout
    assert "1 goroutines were left behind" in done.stdout
    assert done.stderr == ""


TIERS = """
def test_fast(): print("ran fast")

@pytest.mark.slow
def test_slow(): print("ran slow")

@pytest.mark.quiet
def test_quiet(): print("ran quiet")

@pytest.mark.slow
@pytest.mark.quiet
def test_both(): print("ran both")

@pytest.mark.soak
def test_soak(): print("ran soak")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        ([], {"fast", "slow", "quiet", "both"}),
        (["-m", "fast"], {"fast"}),
        (["-m", "quiet"], {"quiet", "both"}),
        (["-m", "soak"], {"soak"}),
        (["-n", "2"], {"fast", "slow"}),
    ],
    ids=lambda value: " ".join(sorted(value) if isinstance(value, set) else value) or "all",
)
def test_tiers(args, wanted, run_pytest):
    """A quiet test never runs beside another one, and a soak test only if it is asked for."""
    if "-n" in args:
        pytest.importorskip("xdist")
    done = run_pytest(TIERS, "-rP", *args)
    assert done.returncode == 0
    assert set(re.findall(r"^ran (\w+)$", done.stdout, re.MULTILINE)) == wanted
    assert ("`pytest -m quiet`" in done.stdout) is ("-n" in args)


MANY = """
@pytest.mark.parametrize("n", range(700))
def test(n):
    pass
"""


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "minutes"), [([], 3), (["-n", "2"], 2)], ids=["alone", "two"])
def test_a_long_run_says_at_its_start_how_long_it_takes(run_pytest, processes, minutes):
    if processes:
        pytest.importorskip("xdist")
    done = run_pytest(MANY, *processes)
    at_a_time = processes[-1] if processes else 1
    assert done.returncode == 0
    assert done.stdout.count(f"700 tests, {at_a_time} at a time: some {minutes} minutes") == 1


def test_a_short_run_says_nothing_of_that(run_pytest):
    assert "at a time" not in run_pytest("def test():\n    pass\n").stdout


def test_programs_share_their_bytecode(run_program):
    """Whatever the environment says: each would else compile all that it imports."""
    source = "import sys, colorsys; print(sys.dont_write_bytecode, sys.pycache_prefix, colorsys.__cached__)\n"
    first, second = (run_program(source).stdout.split() for _ in range(2))
    assert first == second
    assert first[0] == "False"
    assert first[2].startswith(first[1])
    assert Path(first[2]).exists()
