"""The memory of Python's frames comes from csrc/runtime/chunks.c once goroutines run. See tests/c/test_chunks.c, too."""

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

def park(n):
    parked, gate = Chan(n), Chan()
    def wait():
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
        import gc, sys
        from greenlet import greenlet
        from gopy import Chan, go, time
        from gopy.sync import WaitGroup

        N = 4000

        def maps():
            with open("/proc/self/maps") as file:
                return sum(1 for _ in file)

        def alive():
            return sum(isinstance(each, greenlet) for each in gc.get_objects())

        parked = WaitGroup()
        gates = Chan(), Chan()

        def wait(gate):
            parked.done()
            gate.recv()

        parked.add(N)
        goroutines = [go(wait, gates[i % 2]) for i in range(N)]
        parked.wait()
        before = maps()
        gates[0].close()
        while alive() > N // 2 + N // 8:  # idle workers end when they have not been needed for a while
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
