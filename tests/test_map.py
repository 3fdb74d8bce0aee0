"""The map in csrc/HACKING.md, from what was changed to the tests to run: it is whole, and names what exists."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
CSRC, GOPY = TESTS.parent / "csrc", TESTS.parent / "gopy"
MAP = (CSRC / "HACKING.md").read_text().partition("## I changed X")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| (.+) \| (.+) \|$", MAP, re.MULTILINE)[2:]  # without the head


def named(text):
    """What looks like files in a cell: csrc's without csrc/, as patterns."""
    return [word.strip(",()") for word in text.split() if re.search(r"\.\w|\.\*|/", word)]


def changed(pattern):
    top = TESTS.parent if pattern.startswith(("gopy/", "tests/")) else CSRC
    return set(top.glob(pattern))


def files(folder, *suffixes):
    return {path for path in folder.rglob("*") if path.suffix in suffixes}


@pytest.mark.parametrize("pattern", [pattern for left, _ in ROWS for pattern in named(left)])
def test_what_is_said_to_be_changed_exists(pattern):
    assert changed(pattern)


@pytest.mark.parametrize("name", sorted({name for _, right in ROWS for name in named(right)}))
def test_the_tests_exist(name):
    assert (TESTS / name).exists()


def test_every_source_is_in_the_map():
    ours = files(CSRC, ".c", ".h", ".py") | files(GOPY, ".py", ".pyi")
    assert not ours - {path for left, _ in ROWS for pattern in named(left) for path in changed(pattern)}


def test_every_test_is_in_the_map():
    """Or nobody would run it before .ci/run does."""
    there = {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    named_ones = {name for _, right in ROWS for name in named(right)}
    assert not {
        name for name in there if name not in named_ones and f"{name.partition('/')[0]}/" not in named_ones
    }
