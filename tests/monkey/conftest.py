"""What all tests of gopy.monkey and gopy.gunicorn share."""

import pytest

PATCHED = """
from gopy import monkey
monkey.patch_all()
"""
HELPERS = """
import gopy
from gopy import go, Chan

def all_of(fn, n):
    wg = gopy.sync.WaitGroup()
    for i in range(n):
        wg.go(fn, i)
    wg.wait()

def told(fn, *args):
    try:
        return fn(*args)
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"
"""


@pytest.fixture(scope="module")
def head(request):
    """How a file's programs begin: patched, then with what the file names in IMPORTS."""
    return f"{PATCHED}{request.module.IMPORTS}\n{HELPERS}"


@pytest.fixture
def ok(run_program, head):
    """ok(source, procs, *lines): such a program prints those lines, and nothing else happens."""

    def ok(source, procs, *expected, **options):
        done = run_program(head + source, env={"GOMAXPROCS": str(procs)}, **options)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == list(expected)

    return ok
