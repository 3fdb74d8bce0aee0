"""blocking(): calls on plain threads outside the scheduler, and the pool that they run on."""

import contextvars
import gc
import os
import signal
import threading
import traceback
import weakref

import pytest

from gopy import Chan, blocking, go, runtime
from gopy import time as gotime


class Value:
    """Something that can be referred to weakly."""


class Failure(Exception):
    """An exception that can be referred to weakly."""


def on_thread(fn, *args):
    """What fn(*args) returns on a plain thread, waited for without blocking this one."""
    result = Chan(1)
    thread = threading.Thread(target=lambda: result.send(fn(*args)), daemon=True)
    thread.start()
    value = result.recv(timeout=30)
    thread.join()
    return value


# What a call does


def test_it_returns_what_fn_returns():
    assert blocking(int, "ff", base=16) == 255
    assert blocking(lambda *args, **kwargs: (args, kwargs), 1, 2, a=3) == ((1, 2), {"a": 3})
    assert blocking(lambda: None) is None


def test_fn_runs_on_another_thread(in_goroutine):
    assert blocking(threading.get_ident) != threading.get_ident()
    assert in_goroutine(blocking, threading.get_ident) != threading.get_ident()
    assert on_thread(lambda: blocking(threading.get_ident) != threading.get_ident())


def test_it_raises_what_fn_raises_with_its_traceback(in_goroutine):
    def inner():
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")  # noqa: B904

    def fails():
        blocking(inner)

    def caught():
        with pytest.raises(ValueError, match="second") as caught:
            fails()
        return caught.value

    for exc in caught(), in_goroutine(caught), on_thread(caught):
        assert isinstance(exc, ValueError)
        assert isinstance(exc.__context__, KeyError)
        names = [frame.name for frame in traceback.extract_tb(exc.__traceback__)]
        assert names[-2:] == ["fails", "inner"]


@pytest.mark.parametrize("exc", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Exception("x")])
def test_what_ends_programs_is_raised_in_the_caller(exc, in_goroutine):
    def fails():
        raise exc

    with pytest.raises(type(exc)) as caught:
        blocking(fails)
    assert caught.value is exc
    assert in_goroutine(blocking, fails) is exc


def test_arguments_are_checked():
    with pytest.raises(TypeError, match="`fn` must be callable, got int"):
        blocking(3)
    with pytest.raises(TypeError, match="missing 1 required positional argument: `fn`"):
        blocking()
    with pytest.raises(TypeError, match="'fn'|takes no keyword|`fn`"):
        blocking(fn=int)
    with pytest.raises(TypeError):
        blocking(lambda: None, 1)


def test_fn_runs_in_a_copy_of_the_callers_context(in_goroutine):
    var = contextvars.ContextVar("var", default="unset")

    def fn():
        was = var.get()
        var.set("fn's")
        return was

    def caller(value):
        assert blocking(fn) == "unset" or var.get() != "unset"
        var.set(value)
        assert blocking(fn) == value
        assert blocking(lambda: blocking(fn)) == value
        return var.get()

    assert in_goroutine(caller, "goroutine's") == "goroutine's"
    assert on_thread(caller, "thread's") == "thread's"
    assert contextvars.copy_context().run(caller, "main's") == "main's"
    assert in_goroutine(blocking, fn) == "unset"  # nothing stays behind in the pool's threads


def test_others_go_on_meanwhile(gomaxprocs, until):
    gomaxprocs(1)
    r, w = os.pipe()
    g = go(lambda: (blocking(os.read, r, 1), os.close(r)))
    until(lambda: g.state == "blocking")
    ticks = [gotime.sleep(0.0001) for _ in range(10)]
    assert len(ticks) == 10 and g.state == "blocking"
    os.write(w, b"x")
    g.join()
    os.close(w)


def test_gopy_works_inside_of_fn():
    ch, results = Chan(), Chan()

    def fn():
        g = go(ch.send, 1)
        got = ch.recv()
        gotime.sleep(0.001)
        g.join()
        results.send(got)
        with pytest.raises(TimeoutError):
            ch.recv(timeout=0.001)
        with pytest.raises(RuntimeError):
            runtime.current()
        return got + 1

    g = go(lambda: results.send(blocking(fn)))
    assert results.recv() == 1
    assert results.recv() == 2
    g.join()


def test_nothing_is_held_after_a_call(in_goroutine, until):
    refs = []

    def keep(value, *, key):
        refs.extend([weakref.ref(value), weakref.ref(key)])
        return Value()

    def fail(value, *, key):
        refs.extend([weakref.ref(value), weakref.ref(key)])
        raise Failure

    def calls():
        refs.append(weakref.ref(blocking(keep, Value(), key=Value())))
        try:
            blocking(fail, Value(), key=Value())
        except Failure as exc:
            refs.append(weakref.ref(exc))
            exc.__traceback__ = None

    calls()
    in_goroutine(calls)
    assert len(refs) == 12
    until(lambda: gc.collect() >= 0 and not [ref for ref in refs if ref() is not None])


def test_calls_one_after_the_other_use_one_thread(until):
    used = set()

    def again():
        thread = blocking(threading.get_native_id)
        was_used = thread in used
        used.add(thread)
        return was_used

    again()
    if runtime.stats()["gil"]:
        assert all(again() for _ in range(200))
    else:  # one that has readied its caller may not be idle yet as the next call comes
        for _ in range(20):
            until(again)


def test_many_callers_of_every_kind():
    done = Chan()

    def caller(who):
        done.send(sum(blocking(pow, who, 2) for _ in range(50)))

    threads = [threading.Thread(target=caller, args=(i,), daemon=True) for i in range(8)]
    for thread in threads:
        thread.start()
    for i in range(8, 40):
        go(caller, i)
    own = sum(blocking(pow, 3, 2) for _ in range(50))
    assert own == 450
    assert sum(done.recv() for _ in range(40)) == 50 * sum(i * i for i in range(40))
    for thread in threads:
        thread.join()


# The pool

POOL = """
import os, sys, threading, psutil
import time as pytime
from gopy import Chan, Deadlock, blocking, go, runtime, time

def threads():
    return psutil.Process().num_threads()

def until(condition):
    deadline = pytime.monotonic() + 20
    while not condition():
        assert pytime.monotonic() < deadline
        time.sleep(0.001)

lock, running, most, release = threading.Lock(), 0, 0, threading.Event()
ids = set()  # of the threads that have run call()

def pool():  # how many of these there still are
    return len(ids & {thread.id for thread in psutil.Process().threads()})

def call(value):
    global running, most
    ids.add(threading.get_native_id())
    with lock:
        running += 1
        most = max(most, running)
    release.wait()
    with lock:
        running -= 1
    return value
"""

GROWS = """
results = Chan()
goroutines = [go(lambda i=i: results.send(blocking(call, i))) for i in range(50)]
until(lambda: running == 50)
assert pool() == 50
release.set()
assert sum(results.recv() for _ in range(50)) == sum(range(50))
for goroutine in goroutines:
    goroutine.join()
assert blocking(threading.get_native_id) in ids  # idle ones are used
until(lambda: pool() == 0)
assert blocking(int) == 0
"""

LIMITED = """
results = Chan(100)
first = pytime.monotonic()
for i in range(10_000):
    go(lambda i=i: results.send(blocking(call, i)))
until(lambda: runtime.stats()["parked"] >= 10_000)  # the sleeping main goroutine is not one of them
until(lambda: running == 7)
assert threads() < 100, threads()
release.set()
assert sum(results.recv() for _ in range(10_000)) == sum(range(10_000))
assert most == 7, most
"""

NESTED = """
assert blocking(lambda: blocking(lambda: blocking(int, "7"))) == 7
ident = threading.get_ident
assert blocking(lambda: (ident(), blocking(ident))) == (blocking(ident),) * 2
"""

NO_THREADS = """
time.sleep(0.001)
threading.stack_size(1 << 46)  # more than there are addresses
try:
    blocking(int)
except RuntimeError as exc:
    assert str(exc) == "can't start new thread"
else:
    assert False
threading.stack_size(0)
assert blocking(int, "1") == 1
threading.stack_size(1 << 46)
results = Chan()
for _ in range(10):  # there is a thread: they take turns
    go(lambda: results.send(blocking(int, "3")))
assert sum(results.recv() for _ in range(10)) == 30
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "limit"),
    [(GROWS, None), (GROWS, 50), (LIMITED, 7), (NESTED, 1), (NO_THREADS, None)],
    ids=["grows", "grows_to_the_limit", "limited", "nested", "no_threads"],
)
def test_pool(program, limit, run_program):
    env = {"GOPY_MAX_BLOCKING": None if limit is None else str(limit)}
    done = run_program(POOL + program, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("value", ["0", "-1", "few", "1.5", " 3", "²"])
def test_a_malformed_limit_is_refused(value, run_program):
    done = run_program("import gopy", env={"GOPY_MAX_BLOCKING": value})
    assert done.returncode == 1
    message = (
        f"ValueError: the environment variable GOPY_MAX_BLOCKING must be a positive integer, got {value!r}"
    )
    assert done.stderr.splitlines()[-1] == message


# Ctrl-C, the end of the program, deadlock, fork

INTERRUPTED = """
import weakref
class Value: pass
value = Value()
ref = weakref.ref(value)
def hold(value):
    print("running", flush=True)
    call(value)
    raise ValueError("nobody hears of it")
caught = 0
for turn in range(2):  # the first call runs, the second is queued
    try:
        print("waiting", flush=True)
        blocking(hold, value)
    except KeyboardInterrupt:
        caught += 1
assert caught == 2 and running == 1, (caught, running)
del value
assert ref() is not None  # the first call goes on
release.set()
until(lambda: running == 0 and ref() is None)
assert most == 1
assert blocking(int, "5") == 5
try:
    Chan().recv()
except Deadlock:
    print("deadlock")
"""


def test_a_call_given_up_on_ctrl_c_goes_on_and_leaks_nothing(start_program):
    child = start_program(POOL + INTERRUPTED, env={"GOPY_MAX_BLOCKING": "1"})
    for shown in "waiting\nrunning\n", "waiting\nrunning\nwaiting\n":
        child.wait_for(lambda: child.stdout == shown and parked(child.pid))
        os.kill(child.pid, signal.SIGINT)
    done = child.finish()
    assert (done.returncode, done.stdout, done.stderr) == (0, shown + "deadlock\n", "")


def parked(pid):
    """Does the main thread sleep?"""
    with open(f"/proc/{pid}/task/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "S"


EXITS = {
    "main_ends_while_calls_run": """
        ends_first = threading.Event()
        for fn in pytime.sleep, time.sleep, ends_first.wait:
            go(blocking, fn, 1000)
        r, w = os.pipe()
        g = go(blocking, os.read, r, 1)
        until(lambda: runtime.stats()["parked"] == 4)
        """,
    "main_ends_in_traffic": """
        def traffic():
            while True:
                blocking(pytime.sleep, 0)
        for _ in range(20):
            go(traffic)
        time.sleep(0.05)
        """,
    "main_raises_while_calls_run": """
        go(blocking, pytime.sleep, 1000)
        time.sleep(0.01)
        sys.exit(0)
        """,
    "main_ends_with_idle_threads": """
        goroutines = [go(blocking, pytime.sleep, 0.01) for _ in range(20)]
        for g in goroutines:
            g.join()
        """,
    "calls_end_as_the_program_does": """
        for i in range(20):
            go(blocking, pytime.sleep, 0.02 + i / 1000)
        time.sleep(0.025)
        """,
    "plain_thread_calls": """
        thread = threading.Thread(target=blocking, args=(pytime.sleep, 0.05))
        thread.start()
        """,
    "goexit_in_main": """
        def last():
            blocking(pytime.sleep, 0.05)
            os._exit(0)
        go(last)
        runtime.goexit()
        """,
    "no_call": "",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXITS)
def test_the_end_of_the_program(name, run_program):
    """It waits for no call, and nothing crashes or warns."""
    program = POOL + "\n".join(line.removeprefix("        ") for line in EXITS[name].split("\n"))
    for _ in range(3):
        done = run_program(program)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


LATE = """
import atexit, os, time
r, w = os.pipe()
returned, dropped = [], []

class Argument:
    def __del__(self):
        dropped.append(True)

@atexit.register  # before gopy's, and so called after that
def last():
    os.write(w, b"x")
    while not returned:
        time.sleep(0.001)
    time.sleep(0.05)
    print(dropped)

from gopy import blocking, go
started = []

def call(argument):
    started.append(True)
    os.read(r, 1)
    returned.append(True)

go(lambda: blocking(call, Argument()))
while not started:
    time.sleep(0.001)
"""


def test_a_thread_of_the_pool_does_nothing_more_once_the_program_exits(run_program):
    """Without a GIL, it could be given a lock of CPython's, and then not be let in any more to unlock it."""
    done = run_program(LATE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


DEADLOCK = """
started = pytime.monotonic()
go(blocking, pytime.sleep, 0.4)  # a C function: there is no Python frame on its thread
try:
    Chan().recv()
except Deadlock:
    print(pytime.monotonic() - started >= 0.4)
blocking(int)
try:
    Chan().recv()  # an idle thread cannot wake anybody
except Deadlock:
    print("deadlock")
ch = Chan()
go(blocking, lambda: (pytime.sleep(0.3), ch.send("woken")))
print(ch.recv())
"""


def test_a_running_call_holds_a_deadlock_off_and_an_idle_thread_does_not(run_program):
    done = run_program(POOL + DEADLOCK)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\ndeadlock\nwoken\n", "")


FORKS = {
    "while_calls_run": """
        held = [go(blocking, call, i) for i in range(5)]
        until(lambda: running == 5)
        pid = os.fork()
        if pid == 0:
            works()
            sys.exit(9)
        wait(pid, 9)
        release.set()
        for g in held:
            g.join()
        assert running == 0
        works()
        """,
    "with_idle_threads": """
        blocking(int)
        pid = os.fork()
        if pid == 0:
            works()
            sys.exit(9)
        wait(pid, 9)
        works()
        """,
    "by_fn": """
        def fork(leave):
            pid = os.fork()
            if pid == 0:
                works()
                leave(9)
            return pid
        for leave in sys.exit, os._exit:
            wait(blocking(fork, leave), 9)
            g = go(lambda: wait(blocking(fork, leave), 9))
            g.join()
        wait(blocking(fork, lambda status: None), 0)  # the end of fn is the end of the child
        works()
        """,
    "in_traffic": """
        stop = []
        def traffic():
            while not stop:
                blocking(int)
        goroutines = [go(traffic) for _ in range(5)]
        for i in range(10):
            pid = os.fork()
            if pid == 0:
                works()
                sys.exit(i)
            wait(pid, i)
            time.sleep(0.001)
        stop.append(1)
        for g in goroutines:
            g.join()
        """,
}

WORKS = """
def works():
    results = Chan()
    for i in range(10):
        go(lambda i=i: results.send(blocking(pow, i, 2)))
    assert sum(results.recv() for _ in range(10)) == 285
    assert blocking(threading.get_ident) != threading.get_ident()
    try:
        Chan().recv()
    except Deadlock:
        return
    assert not "reached"

def wait(pid, status):
    _, result = blocking(os.waitpid, pid, 0)
    code = os.waitstatus_to_exitcode(result)
    assert code == status, code
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", FORKS)
def test_fork(name, run_program):
    program = POOL + WORKS + "\n".join(line.removeprefix("        ") for line in FORKS[name].split("\n"))
    done = run_program(program, flags=["-W", "ignore::DeprecationWarning"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
