"""What a stranger gets: an archive of the sources that builds and tests itself, README's first command, types that checkers see.

All of it compiles gopy anew, in folders of its own, so it is marked soak.
"""

import importlib.util
import os
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SMALL_PART = ["test_chan.py", "test_select.py", "test_context.py", "test_time.py", "test_errgroup.py"]
ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in ("build", "mypy", "basedpyright")),
        reason="NOT TESTED HERE: needs the extras test and release",
    ),
]


def run(*command, cwd, status=0):
    done = subprocess.run(
        [str(each) for each in command], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    run(sys.executable, "-m", "build", "--sdist", "-o", folder, REPOSITORY, cwd=folder)
    (archive,) = folder.iterdir()
    return archive


@pytest.fixture
def unpacked(archive, tmp_path):
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path / archive.name.removesuffix(".tar.gz")


@pytest.fixture
def fresh(tmp_path):
    """The interpreter of a new environment."""
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    return tmp_path / "venv" / "bin" / "python"


def pytest_of(python, unpacked, *options):
    """What pytest of that environment says of the archive's tests, from another folder."""
    settings = ["-c", unpacked / "pyproject.toml", "--rootdir", unpacked, "-p", "no:cacheprovider"]
    return run(python, "-m", "pytest", "-q", *settings, *options, cwd=unpacked.parent)


def test_an_archive_of_the_sources_installs_and_passes_its_fast_tests(archive, unpacked, fresh, tmp_path):
    run(fresh, "-m", "pip", "install", "-q", f"{archive}[test]", cwd=tmp_path)
    where, version = run(
        fresh, "-c", "import gopy; print(gopy.__file__, gopy.__version__)", cwd=tmp_path
    ).split()
    assert where.startswith(str(fresh.parent.parent))
    assert version == archive.name.removesuffix(".tar.gz").removeprefix("gopy-")
    licence = "from importlib.metadata import metadata; print(metadata('gopy')['License-Expression'])"
    assert run(fresh, "-c", licence, cwd=tmp_path) == "MIT\n"
    # The benchmarks' children import gopy from the folder that they start in, where it is not built.
    apart = ["--ignore", unpacked / "tests" / "test_benchmarks.py"]
    assert " passed" in pytest_of(fresh, unpacked, "-n", "auto", "-m", "fast", *apart, unpacked / "tests")


@pytest.mark.skipif(
    not importlib.util.find_spec("auditwheel") or sys.platform != "linux",
    reason="NOT TESTED HERE: needs auditwheel, of the extra release, and Linux",
)
def test_a_wheel_is_audited_and_needs_no_compiler(archive, unpacked, fresh, tmp_path, monkeypatch):
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        tmp_path / "built",
        archive,
        cwd=tmp_path,
    )
    (built,) = (tmp_path / "built").iterdir()
    monkeypatch.setitem(ENVIRONMENT, "PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    repair = ["repair", "--strip", "-w", tmp_path / "audited", built]
    run(sys.executable, "-m", "auditwheel", *repair, cwd=tmp_path)
    (audited,) = (tmp_path / "audited").iterdir()
    assert "manylinux" in audited.name
    monkeypatch.setitem(ENVIRONMENT, "CC", "/bin/false")
    run(fresh, "-m", "pip", "install", "-q", audited, "pytest", "psutil", cwd=tmp_path)
    assert " passed" in pytest_of(fresh, unpacked, *[unpacked / "tests" / name for name in SMALL_PART])


@pytest.mark.skipif(
    not importlib.util.find_spec("cibuildwheel"),
    reason="NOT TESTED HERE: needs cibuildwheel, of the extra release",
)
def test_cibuildwheel_takes_the_settings():
    """It builds in containers, which a test can't; but it knows each of these, and has read the settings."""
    command = [
        sys.executable,
        "-m",
        "cibuildwheel",
        "--platform",
        "linux",
        "--print-build-identifiers",
        REPOSITORY,
    ]
    pythons = ["cp311", "cp312", "cp313", "cp314", "cp314t", "cp315", "cp315t"]
    wanted = {f"{python}-{kind}_x86_64" for python in pythons for kind in ("manylinux", "musllinux")}
    assert set(run(*command, cwd=REPOSITORY).split()) == wanted


RIGHT = """
from gopy import Chan, go

ch: Chan[int] = Chan()
go(ch.send, 1)
value: int = ch.recv()
print(value + 1)
"""


def test_checkers_see_gopy_after_readmes_first_command(unpacked, tmp_path):
    first = (unpacked / "README.md").read_text().split("```")[1].strip().splitlines()[0]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run("env", f"PATH={path}", "bash", "-c", first, cwd=unpacked)
    program = tmp_path / "program"
    program.mkdir()
    (program / "right.py").write_text(RIGHT)
    (program / "wrong.py").write_text(textwrap.dedent(RIGHT).replace("value: int", "value: str"))
    python = unpacked / ".venv" / "bin" / "python"
    assert run(python, "right.py", cwd=program) == "2\n"

    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python]
    assert "Success" in run(*mypy, "right.py", cwd=program)
    assert 'expression has type "int"' in run(*mypy, "wrong.py", cwd=program, status=1)

    (program / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    pyright = [sys.executable, "-m", "basedpyright", "--pythonpath", python]
    assert "0 errors" in run(*pyright, "right.py", cwd=program)
    assert '"int" is not assignable to "str"' in run(*pyright, "wrong.py", cwd=program, status=1)
