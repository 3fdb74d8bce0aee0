"""The source itself: the layers of csrc/, what each module exports, the names and the sizes of files."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gopy
from gopy import _core

REPOSITORY = Path(__file__).resolve().parent.parent
CSRC = REPOSITORY / "csrc"
RUNTIME = sorted((CSRC / "runtime").glob("*.[ch]"))
PYTHON = sorted((CSRC / "python").glob("*.[ch]"))
C_TESTS = sorted((REPOSITORY / "tests" / "c").glob("*.[ch]"))
OURS = ("csrc", "gopy", "tests", "benchmarks", "examples")
LONGEST = 600  # lines; a file that comes near it asks to be cut

# The layers of the runtime, lowest first: a header includes only what stands before it.
LAYERS = [
    "sys.h",
    "chunks.h",
    "lockrank.h",
    "lock.h",
    "runq.h",
    "timer.h",
    "gmp.h",
    "host.h",
    "trace.h",
    "netpoll.h",
    "synctest.h",
    "sched.h",
    "hogs.h",
    "perfetto.h",
    "sleepers.h",
    "wait.h",
    "sudog.h",
    "chan.h",
    "select.h",
    "iowait.h",
    "offload.h",
    "sync.h",
    "timechan.h",
    "sigqueue.h",
    "runtime.h",
]

# The tiers of csrc/python, lowest first, and in each the files, likewise: a file includes its own header and what stands
# before it. The one exception is a pair: an awaitable and what it is to asyncio.
BASE = ["pyobject", "pyversion", "pyerror", "pyargs", "pyattach"]
RUN = [
    "pyownthread",
    "pyg",
    "pypanic",
    "pyop",
    "pyeventloop",
    "pyawait",
    "pyasyncio",
    "pycoroutine",
    "pyframes",
    "pylocals",
    "pyswitch",
    "pychunks",
    "pyident",
    "pypreempt",
    "pycall",
    "pyworker",
    "pyparked",
    "pycreator",
    "pytrace",
    "pystackless",
    "pytrim",
    "pystackful",
    "pyhost",
]
API = [
    "pychan",
    "pychanop",
    "pyselect",
    "pylock",
    "pymutex",
    "pyrwmutex",
    "pythreadlock",
    "pycondition",
    "pysimplequeue",
    "pyonce",
    "pycond",
    "pymap",
    "pygoroutine",
    "pywaitgroup",
    "pysleep",
    "pytime",
    "pytimerfunc",
    "pysynctest",
    "pyleaked",
    "pyio",
    "pynetop",
    "pynetfd",
    "pysocket",
    "pyoffload",
    "pysignal",
    "pyatomicref",
    "pyatomic",
    "pydump",
    "pyhogs",
    "pyprofile",
    "pywaits",
    "pyruntime",
    "pymodule",
]
HOUSE = BASE + RUN + API


def name_of(path):
    return str(path.relative_to(REPOSITORY))


def files(suffixes):
    """Our own files with these suffixes, without what a build leaves in the tree."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *OURS],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    if listed.returncode:  # an unpacked archive
        found = [path for folder in OURS for path in (REPOSITORY / folder).rglob("*")]
        return [path for path in found if path.suffix in suffixes and path.stem != "_core"]
    paths = [REPOSITORY / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.suffix in suffixes and path.exists()]


def includes(path):
    return re.findall(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE)


def code_of(path):
    """A C file without its comments and strings."""
    skip = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"'
    return re.sub(skip, " ", path.read_text(), flags=re.DOTALL)


def of_each(paths):
    return pytest.mark.parametrize("path", paths, ids=name_of)


# csrc


def test_there_is_a_source_to_read():
    assert RUNTIME
    assert PYTHON


@of_each(RUNTIME)
def test_the_runtime_knows_nothing_of_python(path):
    assert "Python.h" not in path.read_text()
    assert not re.findall(r"\b_?Py[A-Z]\w*", code_of(path))
    assert not [name for name in includes(path) if name.startswith("python/")]


@of_each(PYTHON)
def test_a_file_includes_its_own_header_and_lower_ones(path):
    assert path.stem in HOUSE, "which tier is it? put it into the list"
    below = HOUSE[: HOUSE.index(path.stem) + 1]
    for name in includes(path):
        if (path.parent / name).exists():
            assert Path(name).stem in below or (path.name, name) == ("pyawait.c", "pyasyncio.h")


@of_each(PYTHON)
def test_python_is_included_in_one_place(path):
    assert ("Python.h" in includes(path)) == (path.name == "pyobject.h")
    assert ("PY_VERSION_HEX" in code_of(path)) <= (path.name in ("pyversion.h", "pyframes.c", "pyparked.c"))


@of_each(RUNTIME + PYTHON + C_TESTS)
def test_no_c_file_is_included(path):
    assert not [name for name in includes(path) if name.endswith(".c")]


@of_each([path for path in RUNTIME if path.suffix == ".h"])
def test_a_header_includes_only_lower_layers(path):
    assert path.name in LAYERS, "which layer is it? put it into the list"
    below = LAYERS[: LAYERS.index(path.name)]
    for name in includes(path):
        if name.startswith("runtime/"):
            assert name.removeprefix("runtime/") in below


@of_each([path for path in RUNTIME + PYTHON if path.suffix == ".h"])
def test_a_header_is_guarded(path):
    text = re.sub(r"^\s*/\*.*?\*/\s*", "", path.read_text(), count=1, flags=re.DOTALL)
    guard = re.match(r"#ifndef (\w+)\n#define \1\n", text)
    assert guard or text.startswith("#pragma once\n")


@of_each(RUNTIME + PYTHON)
def test_a_c_file_opens_with_what_it_is(path):
    assert re.match(rf"/\* {re.escape(path.name)}: \S", path.read_text())


# Names and sizes


@pytest.mark.parametrize("path", files({".c", ".h", ".py", ".pyi"}), ids=name_of)
def test_file_size(path):
    assert len(path.read_text().splitlines()) <= (900 if "tests" in path.parts else LONGEST)


def test_no_file_has_a_name_that_says_nothing():
    nothing = {"utils", "util", "helpers", "helper", "common", "base", "misc"}
    assert not [name_of(path) for path in files({".c", ".h", ".py", ".pyi", ".go"}) if path.stem in nothing]


def test_no_script_hides_a_module_of_the_standard_library():
    """These folders are put first in sys.path when a file of theirs is run."""
    scripts = [path for path in files({".py"}) if path.relative_to(REPOSITORY).parts[0] != "gopy"]
    assert not [name_of(path) for path in scripts if path.stem in sys.stdlib_module_names]


# What is exported

MODULES = sorted(path.stem for path in (REPOSITORY / "gopy").glob("*.py") if not path.stem.startswith("_"))


def declared(body):
    """The names that a stub's body declares: {name: its node}. Of overloads the one with *args tells most."""
    found = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not (node.name in found and found[node.name].args.vararg):
                found[node.name] = node
        elif isinstance(node, ast.AnnAssign):
            found[node.target.id] = node
    return found


STUB = declared(ast.parse((REPOSITORY / "gopy" / "_core.pyi").read_text()).body)
STUB = {name: node for name, node in STUB.items() if name not in ("lib", "ffi")}


def public(names):
    return {name for name in names if not name.startswith("_")}


def test_the_stub_declares_what_the_extension_holds():
    # cffi's own are `lib` and `ffi`; the base class of the channels is not reachable by a name.
    assert public(vars(_core)) - {"lib", "ffi"} == public(STUB)


def members(name):
    """The public members of a type, by the stub, those of its bases included."""
    found = public(declared(STUB[name].body))
    bases = [base.value if isinstance(base, ast.Subscript) else base for base in STUB[name].bases]
    return found.union(*(members(base.id) for base in bases if base.id in STUB))


@pytest.mark.parametrize(
    "name", [n for n, node in STUB.items() if isinstance(node, ast.ClassDef) and n != "_Case"]
)
def test_the_stub_declares_what_a_type_has(name):
    cls = _core.SendChan.__base__ if name == "_ChanBase" else getattr(_core, name)
    assert isinstance(cls, type)
    assert public(dir(cls)) == members(name)


@pytest.mark.parametrize("name", [n for n, node in STUB.items() if isinstance(node, ast.FunctionDef)])
def test_the_stub_has_the_parameters_of_a_function(name):
    """As far as the extension tells them: 3.13 makes up signatures for what has no docstring."""
    function = getattr(_core, name)
    assert callable(function)
    if function.__doc__ is None or getattr(function, "__text_signature__", None) is None:
        return
    stub = ast.parse(f"def f({ast.unparse(STUB[name].args)}): 0")
    for node in ast.walk(stub):
        if isinstance(node, ast.arg):
            node.annotation = None
    assert str(inspect.signature(function)) == f"({ast.unparse(stub.body[0].args)})"


@pytest.mark.parametrize("name", ["__init__", *MODULES])
def test_a_module_exports_what_it_says(name):
    module = gopy if name == "__init__" else importlib.import_module(f"gopy.{name}")
    exported = module.__all__
    assert sorted(exported) == sorted(set(exported))
    assert not [each for each in exported if not hasattr(module, each)]
    assert not [each for each in exported if each.startswith("_") and each != "__version__"]
    tree = ast.parse((REPOSITORY / "gopy" / f"{name}.py").read_text())
    assert public(declared(tree.body)) <= set(exported)


def test_the_package_exports_its_modules():
    assert set(MODULES) <= set(gopy.__all__)


@pytest.mark.parametrize("name", ["__init__", *MODULES])
def test_what_is_exported_is_documented(name):
    module = gopy if name == "__init__" else importlib.import_module(f"gopy.{name}")
    assert module.__doc__
    for each in module.__all__:
        value = getattr(module, each)
        if callable(value) and getattr(value, "__module__", "").startswith("gopy"):
            assert value.__doc__, each


# What the package's description names.


def test_the_tests_that_wheels_are_held_against_exist():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["cibuildwheel"]
    named = re.findall(r"\{project\}/(tests/\S+)", settings["test-command"])
    assert named
    assert not [name for name in named if not (REPOSITORY / name).exists()]


def test_the_version_stands_in_one_place():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "gopy.__version__"}
    ours = [path for path in files({".py", ".c", ".h"}) if name_of(path).startswith(("gopy/", "csrc/"))]
    quoted = f'"{gopy.__version__}"'
    assert [name_of(path) for path in ours if quoted in path.read_text()] == ["gopy/__init__.py"]
