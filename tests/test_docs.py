"""The documents: their Python blocks run, their tables name what exists.

A block that opens with ```python is a complete program: it is run, and must end well and say nothing on stderr. If a
block that opens with ```output follows, that is what it prints. A block that is only a piece of a program opts out by
opening with ```python fragment; it must still be Python.
"""

import ast
import importlib
import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import gopy

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
PORTING = REPOSITORY / "docs" / "porting.md"
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    where: str
    source: str
    output: str | None


def fences(document: Path) -> Iterator[tuple[int, str, str, bool]]:
    """Of each block: its line, what it opens with, its text, and whether only blank lines part it from the last."""
    text, end = document.read_text(encoding="utf-8"), 0
    for found in FENCE.finditer(text):
        between, end = text[end : found.start()], found.end()
        yield text.count("\n", 0, found.start()) + 1, found[1].strip(), found[2], not between.strip()


def blocks(kind: str) -> list[Block]:
    """All blocks that open so, each with the output that follows it."""
    found: list[Block] = []
    for document in DOCUMENTS:
        before = ""
        for line, opening, text, adjacent in fences(document):
            if opening == kind:
                found.append(Block(f"{document.relative_to(REPOSITORY)}:{line}", text, None))
            elif opening == "output":
                assert adjacent and before.startswith("python"), f"{document}:{line} follows no program"
                if before == kind:
                    found[-1] = found[-1]._replace(output=text)
            before = opening
    return found


PROGRAMS = blocks("python")
FRAGMENTS = blocks("python fragment")


def of_each(found: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", found, ids=[block.where for block in found])


def test_the_documents_have_programs() -> None:
    assert {block.where.partition(":")[0] for block in PROGRAMS} >= {"README.md", "docs/porting.md"}


@pytest.mark.slow
@of_each(PROGRAMS)
def test_program(block: Block, run_program: Callable[..., Any]) -> None:
    finished = run_program(block.source)
    assert (finished.returncode, finished.stderr) == (0, "")
    if block.output is not None:
        assert finished.stdout == block.output


@of_each(FRAGMENTS)
def test_fragment(block: Block) -> None:
    ast.parse(block.source)


# The tables of docs/porting.md: Go, gopy, what differs.

VARIABLES = {  # what the names in the code of the tables stand for
    "a": "Chan",
    "ch": "Chan",
    "g": "Goroutine",
    "mu": "sync.Mutex",
    "rw": "sync.RWMutex",
    "wg": "sync.WaitGroup",
    "once": "sync.Once",
    "cond": "sync.Cond",
    "pool": "sync.Pool",
    "m": "sync.Map",
    "n": "atomic.Int64",
    "t": "time.Timer",
    "ticker": "time.Ticker",
    "ctx": "context.Context",
    "sem": "semaphore.Weighted",
    "sf": "singleflight.Group",
}
SECTIONS = {"errgroup, semaphore, singleflight": {"g": "errgroup.Group"}}
INSTANCE_ONLY = {"t.c", "ticker.c"}  # attributes that a class need not have


def rows() -> Iterator[tuple[str, str, str]]:
    """(section, Go, gopy) of each row."""
    section = ""
    for line in PORTING.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith(("| Go |", "| ---")):
            columns = line.strip("| ").split(" | ") if not line.endswith("| |") else line[2:-4].split(" | ")
            yield section, columns[0], columns[1]


ROWS = list(rows())


def code_in(column: str) -> list[ast.AST]:
    """The column's pieces of code, as trees."""
    trees = []
    for text in re.findall(r"`([^`]+)`", column):
        source = text
        if text.startswith("@"):
            source = f"{text}\ndef _(): ..."
        elif text.startswith("case "):
            source = f"match ...:\n    {text}"
        elif text.startswith("match "):
            source = text.removesuffix(" ...") + "\n    case _: ..."
        elif text.startswith("except "):
            source = f"try: ...\n{text}"
        elif text == "try: ...":
            source = "try: ...\nfinally: ..."
        trees.append(ast.parse(source))
    return trees


def look_up(dotted: str) -> object:
    """What a dotted name below gopy stands for."""
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(f"gopy.{module}") if module else gopy, name)


def test_the_tables_are_found() -> None:
    assert len(ROWS) > 80
    assert {section for section, _, _ in ROWS} >= {"select", "sync", "time", "context", "runtime"}


@pytest.mark.parametrize(("section", "go", "ours"), ROWS, ids=[row[1].replace("`", "") for row in ROWS])
def test_a_row_names_what_exists(section: str, go: str, ours: str) -> None:
    imports = next(block for block in FRAGMENTS if block.where.startswith("docs/porting.md"))
    modules = set(re.findall(r"gopy import (.*)", imports.source)[1].split(", "))
    for tree in code_in(ours):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                owner = node.value.id
                if owner in modules:
                    look_up(f"{owner}.{node.attr}")
                elif f"{owner}.{node.attr}" not in INSTANCE_ONLY | {"defer.recover", "conn.close"}:
                    variable = SECTIONS.get(section, {}).get(owner) or VARIABLES[owner]
                    assert hasattr(look_up(variable), node.attr), f"{variable} has no {node.attr}"


# The environment variables, and README.


def test_every_environment_variable_is_on_its_page() -> None:
    page = (REPOSITORY / "docs" / "environment.md").read_text(encoding="utf-8")
    for path in [*(REPOSITORY / "gopy").rglob("*.py"), *(REPOSITORY / "csrc").glob("*.py")]:
        for name in re.findall(r"\"(GOPY_[A-Z_]+|GOMAXPROCS)\"", path.read_text(encoding="utf-8")):
            assert name in ("GOPY_THREADED", "GOPY_LAWS") or f"| `{name}` |" in page, f"{path}: {name}"


def test_readmes_commands_stand_first_and_alone() -> None:
    _, opening, text, _ = next(fences(REPOSITORY / "README.md"))
    assert opening == ""
    assert [line.partition(" ")[0] for line in text.splitlines()] == ["python3", "python3"]


# The site.


def extension(name: str) -> Any:
    """A module of docs/extensions."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "docs" / "extensions" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = extension("reference")


@pytest.mark.parametrize("name", REFERENCE.MODULES)
def test_the_reference_says_something_of_every_public_name(name: str) -> None:
    module = pytest.importorskip(name, exc_type=ImportError)
    for public in REFERENCE.public_names(module):
        text = "\n".join(REFERENCE.entry(module, public))
        assert public in text
        value = getattr(module, public)
        if callable(value) and not REFERENCE.is_alias(module, public):
            said = [line for line in text.splitlines() if line and not line.startswith(("`", ":"))]
            assert said, f"{name}.{public} has no docstring"


def test_every_page_is_in_the_navigation() -> None:
    docs = REPOSITORY / "docs"
    listed = set(re.findall(r"^([a-z-]+)$", (docs / "index.md").read_text(encoding="utf-8"), re.MULTILINE))
    for page in docs.glob("*.md"):
        assert page.stem == "index" or page.stem in listed, page


def test_links_between_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", document.read_text(encoding="utf-8")))
        for target in re.findall(r"\]\((?!http)([^)#\s]+)", prose):
            assert (document.parent / target).exists(), f"{document}: {target}"
