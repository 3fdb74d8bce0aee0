"""The memory of Python's frames: a worker's root (csrc/python/pyworker.c), and what comes from csrc/runtime/chunks.c once
goroutines run. See tests/c/test_chunks.c, too."""

import sys
import sysconfig

import pytest

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

ALLOCATOR = """
import ctypes
from ctypes import c_size_t, c_void_p

class Allocator(ctypes.Structure):
    _fields_ = [("ctx", c_void_p), ("alloc", c_void_p), ("free", c_void_p)]

def allocator():
    found = Allocator()
    ctypes.pythonapi.PyObject_GetArenaAllocator(ctypes.byref(found))
    return found

def set_allocator(one):
    ctypes.pythonapi.PyObject_SetArenaAllocator(ctypes.byref(one))

def same(a, b):
    return bytes(a) == bytes(b)

DEEP = 40  # frames; a worker's root has room for a dozen

def park(n, depth=DEEP):
    parked, gate = Chan(n), Chan()
    def wait(depth=depth):
        if depth:
            return wait(depth - 1)
        parked.send(None)
        gate.recv()
    goroutines = [go(wait) for _ in range(n)]
    for _ in range(n):
        parked.recv()
    return goroutines, gate

def finish(goroutines, gate):
    gate.close()
    for each in goroutines:
        each.join()
"""


def test_the_allocator_is_set_as_the_first_goroutine_starts_and_once(run_program):
    done = run_program(
        ALLOCATOR
        + """
before = allocator()
from gopy import Chan, go
assert same(allocator(), before)
go(int).join()
ours = allocator()
assert ours.ctx == before.ctx
assert ours.alloc != before.alloc and ours.free != before.free
finish(*park(100))
assert same(allocator(), ours)
set_allocator(before)
finish(*park(100))
assert same(allocator(), before)
"""
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("gomaxprocs", [1, 2, 8])
def test_somebody_puts_back_what_there_was(run_program, gomaxprocs):
    """What came from ours is then freed by a stranger, and the other way round."""
    done = run_program(
        ALLOCATOR
        + """
before = allocator()
from gopy import Chan, go
go(int).join()
ours = allocator()
for _ in range(3):
    early = park(500)
    set_allocator(before)
    late = park(500)
    finish(*early)
    early = park(500)
    set_allocator(ours)
    finish(*late)
    finish(*early)
""",
        env={"GOMAXPROCS": str(gomaxprocs)},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("malloc", ["debug", "mimalloc"] if FREE_THREADED else ["debug", "malloc"])
def test_with_another_allocator_of_objects(run_program, malloc):
    done = run_program(
        ALLOCATOR
        + """
from gopy import Chan, go
for _ in range(3):
    finish(*park(500))
""",
        env={"PYTHONMALLOC": malloc},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("gomaxprocs", [1, 2])  # an M keeps 64 idle workers
def test_goroutines_that_end_between_others_leave_no_holes(run_program, gomaxprocs):
    """A process may have 65,530 mappings, and no unmapping that would make it more succeeds."""
    done = run_program(
        """
        import greenlet
        from weakref import WeakSet
        from gopy import Chan, go, time
        from gopy.sync import WaitGroup

        N = 4000

        def maps():
            with open("/proc/self/maps") as file:
                return sum(1 for _ in file)

        workers = WeakSet()
        parked = WaitGroup()
        gates = Chan(), Chan()

        def wait(gate, depth=40):  # more than there is room for in a worker's root
            if depth:
                return wait(gate, depth - 1)
            workers.add(greenlet.getcurrent())
            parked.done()
            gate.recv()

        parked.add(N)
        goroutines = [go(wait, gates[i % 2]) for i in range(N)]
        parked.wait()
        before = maps()
        gates[0].close()
        while len(workers) > N // 2 + N // 8:  # idle workers end when they have not been needed for a while
            time.sleep(0.01)
        assert maps() < before + N // 8, (before, maps())
        gates[1].close()
        for each in goroutines:
            each.join()
        """,
        env={"GOMAXPROCS": str(gomaxprocs)},
    )
    assert done.returncode == 0, done.stderr


def test_other_interpreters_take_chunks_at_the_same_time(run_program):
    """They do not have this one's GIL: from 3.12 on each may have its own."""
    done = run_program(
        ALLOCATOR
        + """
import threading
from gopy import Chan, go
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

DEEP = '''
def deep(n):
    return n and 1 + deep(n - 1)
for _ in range(200):
    assert deep(900) == 900
'''

def elsewhere(which):
    try:
        ended.append(interpreters.run_string(which, DEEP))
    except BaseException as exc:
        ended.append(exc)

others, threads, ended = [interpreters.create() for _ in range(2)], [], []
for other in others:
    threads.append(threading.Thread(target=elsewhere, args=(other,)))
    go(int).join()
    threads[-1].start()
while len(ended) < len(others):
    finish(*park(200))
for thread in threads:
    thread.join()
assert ended == [None, None], ended
for other in others:
    interpreters.destroy(other)
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_no_frame_lies_below_a_goroutines(run_program):
    done = run_program(
        """
        import sys
        from gopy import Chan, go

        outermost = Chan(1)
        go(lambda: outermost.send(sys._getframe().f_back))
        assert outermost.recv() is None
        """
    )
    assert done.returncode == 0, done.stderr


def test_a_builtin_that_asks_for_the_frame_of_its_caller(run_program):
    """exec, eval, globals and others: they find a namespace that is nobody's else."""
    done = run_program(
        """
        from gopy import Chan, go, runtime

        found = Chan(10)
        go(exec, "import json; x = json.dumps(sorted(globals()))").join()
        go(exec, "found.send(json)", {"found": found, "json": 1}).join()
        go(eval, "found.send(2)", globals()).join()
        for builtin in (globals, locals, vars, dir):
            go(builtin).join()
        go(__import__, "json").join()
        go(print, 1).join()
        go(print, 1, 2, sep="-").join()
        assert [found.recv(), found.recv()] == [1, 2]
        assert "x" not in globals()
        waits = go(exec, "found.recv()", {"found": found})
        while waits.state != "chan receive":
            runtime.gosched()
        assert "<gopy>" not in waits.stack() and "in <module>" in waits.stack(), waits.stack()
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n1-2\n"


def test_a_builtin_that_panics(run_program):
    """The frame that it was called from is not told of."""
    panics = [
        run_program(f"from gopy import go\ngo({call}).join()") for call in ("getattr, 1, 'zz'", "exec, '1/0'")
    ]
    assert [done.returncode for done in panics] == [1, 1]
    assert all("<gopy>" not in done.stderr for done in panics), panics
    assert "Error" in panics[0].stderr and 'File "<string>", line 1' in panics[1].stderr, panics


def test_frames_that_come_and_go_at_the_end_of_a_root(run_program):
    """Each depth, back and forth, parking there: one of them begins where the root ends."""
    done = run_program(
        """
        from gopy import go, runtime

        def call(n, a, b, c):
            kept = [n, a, b]
            if n:
                got = call(n - 1, c, a, b) + call(0, c, b, a) if n % 7 == 0 else call(n - 1, c, a, b)
            else:
                runtime.gosched()
                got = 0
            assert kept == [n, a, b]
            return got + n

        def each():
            for depth in range(100):
                want = depth * (depth + 1) // 2
                for _ in range(3):
                    assert call(depth, depth, "b", None) == want

        for goroutine in [go(each) for _ in range(20)]:
            goroutine.join()
        """
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(
    FREE_THREADED, reason="a forked child of a free-threaded process with threads may hang in CPython"
)
@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_a_root_is_not_freed_with_the_thread_that_is_in_it(run_program, whose):
    """At exit, and in the child of a fork, Python frees what it finds in the states of the other threads."""
    done = run_program(
        ALLOCATOR
        + """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads
before = allocator()
from gopy import Chan, go, runtime
go(int).join()
if sys.argv[1] == "theirs":
    set_allocator(before)
parked = [park(20, depth) for depth in (0, DEEP)]
gate = Chan()
for depth in (0, DEEP):  # each on a thread of its own, which is in the midst of it

    def hold(depth=depth):
        if depth:
            return hold(depth - 1)
        started.send(None)
        gate.recv()

    started = Chan()
    runtime.go_locked(hold)
    started.recv()

sys.stdout.flush()
pid = os.fork()
print("child" if pid == 0 else "parent", flush=True)
finish(*park(100))
if pid:
    assert os.waitpid(pid, 0)[1] == 0
""",
        whose,
        env={"GOMAXPROCS": "2"},
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["child", "parent"]


def test_a_worker_that_greenlet_has_traced(run_program):
    """It has a chunk already when it begins, as the function that traces has run in it."""
    done = run_program(
        ALLOCATOR
        + """
import greenlet
from gopy import Chan, go

seen = []
greenlet.settrace(lambda event, args: seen.append(event))
finish(*park(200))
finish(*park(200, 0))
greenlet.settrace(None)
finish(*park(200))
assert "switch" in seen
""",
    )
    assert done.returncode == 0, done.stderr
