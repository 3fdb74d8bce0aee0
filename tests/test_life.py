"""Life and death: panics, deadlock, Ctrl-C, SystemExit, signals, exit.

The programs of tests/crash/ say in their docstrings what must come of them: `exit:` the status, `stdout:` its lines,
`stderr:` regular expressions that must match one after the other (without one, stderr must be empty), `within:` the
most seconds it may take, `env:` a setting.
"""

import os
import re
import signal
import statistics
import time
from pathlib import Path

import pytest

CRASH = sorted((Path(__file__).parent / "crash").glob("*.py"))
KEYS = {"exit", "stdout", "stderr", "within", "env"}


def expectation(path):
    """-> {key: [value, ...]} of a program's docstring."""
    docstring = path.read_text().split('"""')[1]
    found = {key: [] for key in KEYS}
    for line in docstring.splitlines()[1:]:
        if line:
            key, colon, value = line.partition(": ")
            assert colon and key in KEYS, f"{path.name}: what does {line!r} mean?"
            found[key].append(value)
    return found


@pytest.mark.parametrize("gomaxprocs", [1, 4])
@pytest.mark.parametrize("program", CRASH, ids=lambda path: path.stem)
def test_crash(program, gomaxprocs, run_program):
    """Each program of tests/crash/ ends as its docstring promises."""
    wanted = expectation(program)
    env = {"GOMAXPROCS": str(gomaxprocs)} | dict(pair.split("=") for pair in wanted["env"])
    done = run_program(program, env=env)
    assert done.returncode == int(wanted["exit"][0]), done.stderr
    assert done.stdout.splitlines() == wanted["stdout"]
    at = 0
    for pattern in wanted["stderr"]:
        match = re.compile(pattern).search(done.stderr, at)
        assert match, f"{pattern!r} not in {done.stderr[at:]}\nall of it:\n{done.stderr}"
        at = match.end()
    if not wanted["stderr"]:
        assert done.stderr == ""
    for seconds in wanted["within"]:
        assert done.elapsed < float(seconds)
