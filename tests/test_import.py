"""Imports: of modules whose bodies wait, by several goroutines and threads at once; and of gopy."""

import pytest

PROLOGUE = """
import os, sys, threading
from gopy import Chan, go, runtime, time

sys.started, sys.gate, results = Chan(), Chan(), Chan()

def write(name, *lines):
    with open(f"{name}.py", "w") as file:
        file.write("\\n".join(lines) + "\\n")

def use(name):
    try:
        results.send(__import__(name).value)
    except BaseException as exc:
        results.send(repr(exc))

def thread(fn, *args):
    threading.Thread(target=fn, args=args).start()

def until_parked(n):
    while runtime.stats()["parked"] < n:
        time.sleep(0.001)
"""
WAITS = ("import sys", "sys.started.send(None)", "sys.gate.recv()")


@pytest.fixture(params=["1", "2", "8"])
def prints(request, run_program):
    def prints(source, stdout, flags=()):
        done = run_program(PROLOGUE + source, env={"GOMAXPROCS": request.param}, flags=flags)
        assert (done.returncode, done.stdout, done.stderr) == (0, stdout, "")

    return prints


@pytest.mark.parametrize("first", ["go", "thread"])
def test_who_comes_second_gets_the_whole_module(first, prints):
    prints(
        f"""
write("slow", *{WAITS}, "value = 1")
{first}(use, "slow")
sys.started.recv()
for _ in range(5):
    go(use, "slow")
    thread(use, "slow")
until_parked(5 if {first} is thread else 6)
sys.gate.close()
print([results.recv() for _ in range(11)])
""",
        f"{[1] * 11}\n",
    )


@pytest.mark.slow
@pytest.mark.parametrize("first", ["go", "thread"])
@pytest.mark.parametrize("second", ["go", "thread"])
def test_two_that_import_each_others_module(first, second, prints):
    """One of both gets the other's as it is, rather than that both wait for ever."""
    prints(
        f"""
write("one", *{WAITS}, "import two", "value = 1")
write("two", *{WAITS}, "import one", "value = 2")
{first}(use, "one")
{second}(use, "two")
for _ in range(2):
    sys.started.recv()
sys.gate.close()
print(sorted(results.recv() for _ in range(2)))
""",
        "[1, 2]\n",
    )


def test_a_circle_within_one_goroutine(prints):
    prints(
        """
write("one", "import two", "value = two.value")
write("two", "import gopy", "gopy.time.sleep(0)", "import one", "value = 2")
go(use, "one")
print(results.recv())
""",
        "2\n",
    )


def test_a_module_that_starts_gopy_and_goroutines_that_import_it(run_program, tmp_path):
    """The main thread's import has begun before gopy was there, and it does not meet itself."""
    (tmp_path / "app.py").write_text(
        """
from gopy import Chan, go, runtime
results = Chan(1)
def use():
    import app
    results.send(app.value)
go(use)
while runtime.stats()["parked"] < 1:
    runtime.gosched()
import app
value = 1
"""
    )
    for n in "128":
        done = run_program(
            f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport app\nprint(app.results.recv())\n",
            env={"GOMAXPROCS": n},
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_a_module_whose_body_forks(prints):
    """The goroutine that forks still owns in the child what it is importing."""
    prints(
        """
write("forks", "import os", "pid = os.fork()", "value = 1")
def body():
    import forks
    if forks.pid:
        _, status = os.waitpid(forks.pid, 0)
        results.send(status)
go(body)
print(results.recv())
""",
        "0\n",
        flags=["-W", "ignore::DeprecationWarning"],  # of a fork in a process with threads
    )


@pytest.mark.parametrize("first", ["pass", "import gopy; gopy.go(int).join()"])
def test_a_subinterpreter_is_told_that_it_cannot(first, run_program):
    """Whether the main one has imported gopy before or does so afterwards, which works."""
    done = run_program(
        f"""
        import sys
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        {first}
        if sys.version_info < (3, 13):
            one = interpreters.create(isolated=False)
        else:
            one = interpreters.create("legacy")
        interpreters.run_string(one, "try:\\n import gopy\\nexcept ImportError as exc:\\n print(exc)")
        interpreters.destroy(one)
        import gopy
        ch = gopy.Chan()
        gopy.go(ch.send, "fine")
        print(ch.recv())
        """
    )
    told = "gopy does not run in a subinterpreter: import it in the main one and start goroutines there\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, told + "fine\n", "")
