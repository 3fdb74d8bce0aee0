"""Life and death: the programs of tests/crash/, and memory that runs out.

The programs say in their docstrings what must come of them: `exit:` the status, `stdout:` its lines,
`stderr:` regular expressions that must match one after the other (without one, stderr must be empty),
`never:` one that must not match in it, `env:` a setting. What would keep one from its end lasts longer than any may take.
Interrupts and exits have tests of their own.
"""

import re
import sys
from pathlib import Path

import pytest

CRASH = sorted((Path(__file__).parent / "crash").glob("*.py"))
KEYS = {"exit", "stdout", "stderr", "never", "env"}


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


@pytest.mark.parametrize("gomaxprocs", [1, pytest.param(4, marks=pytest.mark.slow)])
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
    for pattern in wanted["never"]:
        assert not re.search(pattern, done.stderr), done.stderr


needs_limits = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's RLIMIT_AS")
# Free-threaded Python would reserve 1 GiB of addresses, within any limit, and each other thread's first malloc 64 MiB.
RESERVE = {"MIMALLOC_ARENA_RESERVE": "0", "MALLOC_ARENA_MAX": "1"}
LIMIT = """
import resource
from gopy import Chan, atomic, go, runtime

def size():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

def limit(mebibytes):
    resource.setrlimit(resource.RLIMIT_AS, (size() + int(mebibytes * 2**20), resource.RLIM_INFINITY))

def no_limit():
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


@needs_limits
def test_no_memory_for_go(run_programs):
    """go raises MemoryError and starts nothing; what it did start runs once there is room."""
    program = (
        LIMIT
        + """
# Also with one P two threads may run: one that computes loses its P after a while, and goes on.
ran, n = atomic.Int64(), 0

def count():
    ran.add(1)

go(int).join()
before = runtime.num_goroutine()
kept = [None] * 3_000_000
limit(48)
try:
    while True:
        kept[n] = go(count)
        n += 1
except MemoryError:
    failed = True
no_limit()
assert failed and n > 1000
for _ in range(3):
    kept[n] = go(count)
    n += 1
for goroutine in kept[:n]:
    goroutine.join()
assert runtime.num_goroutine() == before
assert runtime.stats()["spawned"] == n + 1
assert ran.load() == n, (ran, n)
"""
    )
    for done in run_programs((program, {"env": RESERVE | {"GOMAXPROCS": n}}) for n in "1"):
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# CPython itself loops for ever where there is no memory for the number of the instruction that it unwinds to:
# ceval.c, exception_unwind, 1 of 660 runs on 3.11.
@pytest.mark.soak
@needs_limits
def test_no_memory_for_an_import_in_a_goroutine(run_programs):
    """Wherever in it the memory ends, and there is none for more: the panic is told and ends the program."""
    program = (
        LIMIT
        + """
def work():
    import asyncio, unittest.mock, xml.dom.minidom, multiprocessing, email.message, http.server, sqlite3
    ch.send("imported")

ch = Chan()
go(int).join()
limit(MEBIBYTES)
go(work)
ch.recv()
"""
    )
    sources = [program.replace("MEBIBYTES", f"{size / 10}") for size in range(5, 80, 7)]
    for done in run_programs((source, {"env": RESERVE}) for source in sources):
        assert done.returncode == 1, done.stderr
        assert "GoroutinePanic: goroutine" in done.stderr
