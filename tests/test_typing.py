"""What type checkers make of gopy: they accept typing/right.py, and find each error of typing/wrong.py and no other."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
RIGHT, WRONG = (REPOSITORY / "tests" / "typing" / name for name in ("right.py", "wrong.py"))
MARKED = {i for i, line in enumerate(WRONG.read_text().splitlines(), 1) if line.endswith("  # error")}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # a checker reads all of gopy


def needs(name):
    missing = importlib.util.find_spec(name) is None
    return pytest.mark.skipif(missing, reason=f"NOT TESTED HERE: {name} is not installed")


def mypy(path, tmp_path):
    """{line: message} of its errors."""
    cache = tmp_path.parent / "mypy"  # of all tests
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", cache, "--no-pretty", path]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return {int(line): text for line, text in re.findall(r":(\d+): error: (.*)", done.stdout)}


def pyright(path, tmp_path):
    """The same of basedpyright, which is pyright as a package that needs no node of the system's."""
    settings = {
        "include": [str(path)],
        "extraPaths": [str(REPOSITORY)],
        "typeCheckingMode": "strict",
        "reportUnnecessaryComparison": False,  # it calls the `case never:` of assert_never() unnecessary
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "-p", tmp_path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ)
    found = {}
    for each in json.loads(done.stdout)["generalDiagnostics"]:
        line = each["range"]["start"]["line"] + 1
        found[line] = f"{found.get(line, '')}{each['message']}\n"
    return found


CHECKERS = [pytest.param(mypy, marks=needs("mypy")), pytest.param(pyright, marks=needs("basedpyright"))]
both = pytest.mark.parametrize("check", CHECKERS)


@both
def test_what_is_right_is_accepted(check, tmp_path):
    assert check(RIGHT, tmp_path) == {}


@both
def test_what_is_wrong_is_found(check, tmp_path):
    assert len(MARKED) > 10
    assert set(check(WRONG, tmp_path)) == MARKED


@needs("mypy")
def test_readmes_first_program_is_accepted(tmp_path):
    program = tmp_path / "readme.py"
    program.write_text(
        re.search(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)[1]
    )
    assert mypy(program, tmp_path) == {}


@needs("basedpyright")
def test_a_missing_argument_is_named(tmp_path):
    """mypy's messages of overloads name none."""
    found = pyright(WRONG, tmp_path)
    for i, line in enumerate(WRONG.read_text().splitlines(), 1):
        if re.search(r"\b(go|go_locked|after_func)\((.*, )?function\)  # error", line):
            assert 'Argument missing for parameter "x"' in found[i]
