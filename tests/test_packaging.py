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


def test_an_archive_of_the_sources_installs_and_passes_its_own_tests(archive, unpacked, tmp_path):
    venv, elsewhere = tmp_path / "venv", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(sys.executable, "-m", "venv", venv, cwd=tmp_path)
    python = venv / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", archive, "pytest", "psutil", cwd=elsewhere)
    where = run(python, "-c", "import gopy; print(gopy.__file__, gopy.__version__)", cwd=elsewhere)
    assert where.startswith(str(venv))
    version = archive.name.removesuffix(".tar.gz").removeprefix("gopy-")
    assert where.split()[1] == version
    licence = "from importlib.metadata import metadata; print(metadata('gopy')['License-Expression'])"
    assert run(python, "-c", licence, cwd=elsewhere) == "MIT\n"
    tests = [unpacked / "tests" / name for name in SMALL_PART]
    options = ["-q", "-c", unpacked / "pyproject.toml", "--rootdir", unpacked, "-p", "no:cacheprovider"]
    assert " passed" in run(python, "-m", "pytest", *options, *tests, cwd=elsewhere)


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
