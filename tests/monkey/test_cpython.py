"""CPython's own test files after patch_all(): see cpython.py, and expected_failures.toml."""

import importlib.util
import sys
import tomllib
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("cpython", Path(__file__).with_name("cpython.py"))
cpython = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cpython)


def test_few_are_expected_to_fail():
    for version, names in tomllib.loads(cpython.EXPECTED.read_text()).items():
        assert len(names) <= 12, version
        assert all(names.values()), version


@pytest.mark.soak
@pytest.mark.timeout(1000)
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the list of what fails is of 3.11")
@pytest.mark.parametrize("name", cpython.QUICK)
def test_a_file_of_cpython(name):
    how, failed, output, _ = cpython.run(name, [])
    if how == "no module":
        pytest.skip("NOT TESTED HERE: this Python comes without it")
    assert how.startswith("ran"), output
    assert failed == {each for each in cpython.expected() if each.startswith(f"{name}.")}, output
