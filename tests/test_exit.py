"""The end of a program: with its main goroutine, with main's exit status, and without a word."""

import os
import signal
import textwrap

import pytest

ENDS = {
    "falls off the end": ("", 0, ""),
    "sys.exit": ("sys.exit(5)", 5, ""),
    "sys.exit with a message": ("sys.exit('farewell')", 1, "farewell\n"),
    "sys.exit without a status": ("sys.exit()", 0, ""),
    "os._exit": ("os._exit(4)", 4, ""),
    "sys.exit in a function": ("def f():\n    sys.exit(6)\nf()", 6, ""),
    "sys.exit of a goroutine": ("go(sys.exit, 7)\nChan().recv()", 7, ""),
    "sys.exit of a nested goroutine": ("go(go, sys.exit, 8)\nChan().recv()", 8, ""),
    "a raised SystemExit": ("raise SystemExit(9)", 9, ""),
}
PARKED = """
import os, sys, threading
import time as pytime
import gopy
from gopy import Chan, go, recv, runtime, select, time

def wait(fn, *args):
    try:
        fn(*args)
    finally:
        del fn

def park(n):
    stuck = Chan()
    goroutines = [go(wait, stuck.recv) for _ in range(n // 2)]
    goroutines += [go(wait, time.sleep, 1000) for _ in range(n // 4)]
    goroutines += [go(wait, select, recv(stuck), recv(Chan())) for _ in range(n // 4)]
    while runtime.stats()["parked"] < n // 4 * 4:
        runtime.gosched()

def elsewhere(fn, *args):
    '''go(fn, *args), on another thread than this one.'''
    def body():
        idents.append(threading.get_ident())
        started.set()
        fn(*args)
    started, idents = threading.Event(), []
    goroutine = go(body)
    started.wait()  # in C: another M starts it
    assert idents[0] != threading.get_ident()
    return goroutine
"""


@pytest.mark.slow
def test_exit_status_and_silence(run_programs):
    """With goroutines parked on this thread and on another one, whichever way main ends."""
    setup = PARKED + "park(100)\nelsewhere(park, 40)\n"
    programs = [(setup + end, {"env": {"GOMAXPROCS": n}}) for end, _, _ in ENDS.values() for n in "14"]
    wanted = [(status, "", stderr) for _, status, stderr in ENDS.values() for n in "14"]
    results = run_programs(programs)
    assert [(result.returncode, result.stdout, result.stderr) for result in results] == wanted


@pytest.mark.quiet
@pytest.mark.parametrize("gomaxprocs", ["1", "2"])
def test_exit_with_ten_thousand_parked_goroutines_takes_under_100_ms(gomaxprocs, run_program):
    """From the last line of main to the end of the process; the best of a few. On a machine that takes longer
    than that to start them, as long as that."""
    source = PARKED + (
        "began = pytime.monotonic()\n"
        "park(10_000)\n"
        "now = pytime.monotonic()\n"
        "print(now, now - began, flush=True)\n"
        "sys.exit(5)\n"
    )
    took = []
    for _ in range(5):
        result = run_program(source, env={"GOMAXPROCS": gomaxprocs})
        assert (result.returncode, result.stderr) == (5, "")
        left_main, starting = map(float, result.stdout.split())
        took.append((result.ended - left_main, starting))
        if took[-1][0] < max(0.1, starting):
            return
    pytest.fail(f"took {took} s")


def test_exit_while_a_goroutine_is_in_a_c_call_on_another_thread(run_programs):
    source = PARKED + "park(100)\nelsewhere(pytime.sleep, 1000)\nsys.exit(5)\n"
    for result in run_programs((source, {"env": {"GOMAXPROCS": n}}) for n in "124"):
        assert (result.returncode, result.stdout, result.stderr) == (5, "", "")


def test_exit_while_a_goroutine_is_in_a_c_call_on_the_main_thread(run_programs):
    """main waits behind it; the SystemExit or panic of another goroutine must still end the program."""
    source = PARKED + (
        "def other(how):\n"
        "    while not stuck:\n"
        "        time.sleep(0.001)\n"
        "    time.sleep(0.05)\n"
        "    if how == 'exits':\n"
        "        sys.exit(5)\n"
        "    1 / 0\n"
        "def block():\n"
        "    here = threading.current_thread() is threading.main_thread()\n"
        "    started.send(here)\n"
        "    if not here:\n"
        "        return\n"
        "    begin.recv()\n"
        "    stuck.append(1)\n"
        "    pytime.sleep(1000)\n"
        "stuck, begin, started = [], Chan(), Chan()\n"
        "go(block)\n"
        "while not started.recv():\n"
        "    go(block)\n"
        "elsewhere(other, HOW)\n"
        "begin.close()\n"
        "Chan().recv()\n"
    )
    exits, panics = run_programs(
        (source.replace("HOW", repr(how)), {"env": {"GOMAXPROCS": "1"}}) for how in ("exits", "panics")
    )
    assert (exits.returncode, exits.stdout) == (5, "")
    assert panics.returncode == 1
    assert "ZeroDivisionError" in panics.stderr


def test_exit_while_goroutines_compute_on_other_threads(run_programs):
    source = PARKED + (
        "def compute():\n"
        "    while True:\n"
        "        pass\n"
        "for _ in range(1 if runtime.stats()['gil'] else 3):\n"
        "    elsewhere(compute)\n"
        "sys.exit(5)\n"
    )
    for result in run_programs((source, {"env": {"GOMAXPROCS": "4"}}) for _ in range(4)):
        assert (result.returncode, result.stdout, result.stderr) == (5, "", "")


def test_exit_flushes_and_runs_what_atexit_was_told(run_programs):
    source = (
        "import atexit\n"
        "atexit.register(print, 'registered first, runs last')\n"
        + PARKED
        + "park(100)\n"
        + "atexit.register(print, 'registered last, runs first')\n"
        + "go(lambda: sys.stdout.write('by a goroutine\\n')).join()\n"
        + "try:\n    HOW\nfinally:\n    print('finally')\n"
    )
    ends = ["sys.exit(5)", "go(sys.exit, 5).join(); Chan().recv()"]
    for result in run_programs(
        (source.replace("HOW", end), {"env": {"PYTHONUNBUFFERED": None}}) for end in ends
    ):
        assert result.stdout.splitlines() == [
            "by a goroutine",
            "finally",
            "registered last, runs first",
            "registered first, runs last",
        ]
        assert (result.returncode, result.stderr) == (5, "")


@pytest.mark.slow
def test_exit_again_and_again_while_goroutines_run(run_programs):
    """Each time the end comes at another moment of what the others do."""
    source = PARKED + (
        "def ping(a, b):\n"
        "    while True:\n"
        "        a.send(b.recv())\n"
        "def spawn():\n"
        "    while True:\n"
        "        go(int)\n"
        "        time.sleep(0.0001)\n"
        "a, b = Chan(), Chan()\n"
        "elsewhere(ping, a, b)\n"
        "go(ping, b, a)\n"
        "go(b.send, 1)\n"
        "elsewhere(spawn)\n"
        "go(spawn)\n"
        "time.sleep(0.001 * MOMENT)\n"
        "sys.exit(5)\n"
    )
    results = run_programs(
        (source.replace("MOMENT", str(i)), {"env": {"GOMAXPROCS": "124"[i % 3]}}) for i in range(20)
    )
    for result in results:
        assert (result.returncode, result.stdout, result.stderr) == (5, "", "")


def test_exit_does_not_wait_for_a_daemon_thread_but_for_a_plain_one(run_program):
    """As without gopy; and the thread may still use what needs no goroutine to run."""
    result = run_program(
        PARKED
        + "def plain():\n"
        + "    ch = Chan(1)\n"
        + "    pytime.sleep(0.1)\n"
        + "    ch.send('from the thread')\n"
        + "    print(ch.recv())\n"
        + "park(10)\n"
        + "threading.Thread(target=plain).start()\n"
        + "threading.Thread(target=Chan().recv, daemon=True).start()\n"
        + "sys.exit(5)\n"
    )
    assert (result.returncode, result.stdout, result.stderr) == (5, "from the thread\n", "")


def test_what_a_finalizer_may_do_at_the_end(run_program):
    """Objects that die in the interpreter's shutdown meet a gopy that raises but never hangs or crashes."""
    result = run_program(
        PARKED
        + "class Last:\n"
        + "    def __del__(self, Chan=Chan, go=go, runtime=runtime, time=time):\n"
        + "        for call in (Chan(1).send, go, time.sleep, runtime.gosched, runtime.num_goroutine):\n"
        + "            try:\n"
        + "                call(*{'send': (1,), 'go': (int,), 'sleep': (0.001,)}.get(call.__name__, ()))\n"
        + "            except RuntimeError:\n"
        + "                pass\n"
        + "last = [Last()]\n"
        + "last.append(last)\n"
        + "park(10)\n"
        + "sys.exit(5)\n",
    )
    assert (result.returncode, result.stdout, result.stderr) == (5, "", "")


@pytest.mark.quiet
def test_a_short_program_starts_and_ends_quickly(run_program, tmp_path):
    """gopy adds little to a program's life: the best of a few, next to the same without it. On a machine that
    takes long for a program that does nothing, ten times that. Modules are compiled once, as with its users."""
    compiled_once = {"PYTHONDONTWRITEBYTECODE": None, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    with_gopy = "from gopy import Chan, go\nch = Chan()\ngo(ch.send, 1)\nch.recv()\n"
    lives = [
        [run_program(program, env=compiled_once).elapsed for program in ("pass\n", with_gopy)]
        for _ in range(5)
    ]
    without, best = map(min, zip(*lives, strict=True))
    assert best - without < max(0.25, 10 * without), lives


WAITED_FOR = """
import atexit, signal, sys, threading
from gopy import Chan, go, runtime
ended, started, begin, ch = threading.Event(), Chan(), Chan(), Chan()

def on_mains_thread():
    here = threading.current_thread() is threading.main_thread()
    started.send(here)
    if not here:
        return
    begin.recv()
    if how == "panic":
        1 / 0
    if how == "exit":
        sys.exit(7)
    if how != "never":
        ch.send("value")

def thread():
    while threading.main_thread().is_alive() and how != "pool":
        ended.wait(0.001)
    begin.close()
    try:
        print(ch.recv())
    except RuntimeError as exc:  # the program may have ended before this thread came to wait
        if how not in ("exit", "panic") or "after the main goroutine has ended" not in str(exc):
            raise

go(on_mains_thread)
while not started.recv():
    go(on_mains_thread)
atexit.register(print, "atexit")
if how == "pool":
    from concurrent.futures import ThreadPoolExecutor
    ThreadPoolExecutor(1).submit(thread)
else:
    threading.Thread(target=thread).start()
"""


def while_threads_are_waited_for(run_programs, how, returncode, stdout, stderr):
    source = WAITED_FOR.replace("how", repr(how))
    for done in run_programs((source, {"env": {"GOMAXPROCS": n}}) for n in "128"):
        assert done.returncode == returncode, done.stderr
        assert done.stdout.splitlines() == stdout
        assert (done.stderr == "") if stderr is None else (stderr in done.stderr), done.stderr


@pytest.mark.parametrize("how", ["thread", "pool"])
def test_a_thread_that_main_left_behind_gets_what_a_goroutine_of_mains_thread_sends(run_programs, how):
    while_threads_are_waited_for(run_programs, how, 0, ["value", "atexit"], None)


def test_a_thread_that_main_left_behind_and_that_nobody_wakes_is_a_deadlock(run_programs):
    while_threads_are_waited_for(
        run_programs, "never", 1, ["atexit"], "all goroutines are asleep - deadlock!"
    )


def test_a_panic_while_threads_are_waited_for_ends_the_program(run_programs):
    while_threads_are_waited_for(run_programs, "panic", 1, ["atexit"], "ZeroDivisionError")


def test_sys_exit_in_a_goroutine_while_threads_are_waited_for_ends_the_program(run_programs):
    while_threads_are_waited_for(run_programs, "exit", 7, ["atexit"], None)


@pytest.mark.parametrize("gomaxprocs", ["1", "2", "8"])
def test_ctrl_c_while_threads_are_waited_for(gomaxprocs, start_program):
    """As without gopy: nobody is waited for any more, and the rest of the end comes."""
    source = WAITED_FOR.replace("how", "'never'").replace(
        "print(ch.recv())", "print('waits', flush=True); ch.recv()"
    )
    program = start_program(
        source.replace("begin.recv()", "begin.recv()\n    runtime.wait_read(os.pipe()[0])").replace(
            "import atexit", "import os, atexit"
        ),
        env={"GOMAXPROCS": gomaxprocs},
    )
    program.wait_for(lambda: program.stdout == "waits\n")
    os.kill(program.pid, signal.SIGINT)
    done = program.finish()
    assert (done.returncode, done.stdout) == (0, "waits\natexit\n")
    assert "KeyboardInterrupt" in done.stderr


def test_a_thread_that_a_forked_goroutine_left_behind_gets_its_value(run_programs):
    """In the child the goroutine that forked is the main one."""
    source = WAITED_FOR.replace("how", "'thread'").replace("ended, started", "import os\nended, started")
    at = source.index("go(on_mains_thread)")
    source = (
        source[:at]
        + "def child():\n    if os.fork():\n        os.wait()\n        os._exit(0)\n"
        + textwrap.indent(source[at:], "    ")
        + "go(child).join()\n"
    )
    flags = ["-W", "ignore::DeprecationWarning"]  # of a fork in a process with threads
    for done in run_programs((source, {"env": {"GOMAXPROCS": n}, "flags": flags}) for n in "128"):
        assert (done.returncode, done.stdout, done.stderr) == (0, "value\natexit\n", "")


@pytest.mark.slow
def test_exit_while_idle_workers_end(run_programs):
    """Up to 3.13 the interpreter ends threads that attach while it shuts down, perhaps in the middle of a switch: it
    must not unwind them."""
    source = PARKED + (
        "ch = Chan()\n"
        "goroutines = [go(ch.recv) for _ in range(20_000)]\n"
        "while runtime.stats()['parked'] < 20_000:\n"
        "    time.sleep(0.001)\n"
        "ch.close()\n"
        "for goroutine in goroutines:\n"
        "    goroutine.join()\n"
        "time.sleep(0.1 + 0.03 * MOMENT)\n"
        "sys.exit(5)\n"
    )
    for result in run_programs(
        (source.replace("MOMENT", str(i)), {"env": {"GOMAXPROCS": "8"}}) for i in range(8)
    ):
        assert (result.returncode, result.stdout, result.stderr) == (5, "", "")


@pytest.mark.parametrize("late", ["n.load()", "asyncio.run(asyncio.sleep(0.01))"])
def test_what_runs_after_gopys_own_end_keeps_its_thread(late, run_programs):
    """Main's time slice is over, and who would run then never lets go of the thread again: nobody watches any more."""
    source = """
        import atexit
        atexit.register(lambda: LATE)
        import asyncio, time as pytime
        from gopy import atomic, go, time

        n = atomic.Int64()

        def hog():
            while True:
                n.load()

        go(hog)
        time.sleep(0.001)
        end = pytime.monotonic() + 0.05
        while pytime.monotonic() < end:
            pass
        print("end")
    """.replace("LATE", late)
    for done in run_programs((source, {"env": {"GOMAXPROCS": n}}) for n in "128"):
        assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_a_tracer_that_raises_at_exit(run_program):
    """The interpreter tells and ignores it. The runtime has ended all the same, for whoever comes after."""
    done = run_program(
        """
        import atexit, sys

        def late():
            try:
                Chan().recv()
            except RuntimeError as exc:
                print(exc)

        atexit.register(late)
        from gopy import Chan, _exit, go

        def tracer(frame, event, arg):
            if frame.f_code is _exit.at_exit.__code__:
                raise ZeroDivisionError
            return tracer

        go(int).join()
        sys.settrace(tracer)
        """
    )
    assert (done.returncode, done.stdout) == (0, "gopy: blocking call after the main goroutine has ended\n")
    assert "ZeroDivisionError" in done.stderr


def test_what_is_raised_while_threads_are_waited_for_is_ignored(run_program):
    """By a tracer, there; a plain Python does the same."""
    done = run_program(
        """
        import sys, threading
        from gopy import go

        waited_for = threading.Event()

        def tracer(frame, event, arg):
            if frame.f_code.co_qualname == "_shutdown_aside.<locals>.body":
                waited_for.set()
                raise ZeroDivisionError
            return tracer

        go(int).join()
        threading.settrace(tracer)
        threading.Thread(target=waited_for.wait).start()
        """
    )
    assert done.returncode == 0
    assert "ZeroDivisionError" in done.stderr


def test_a_thread_that_nobody_wakes_beside_a_main_that_never_used_gopy(run_programs):
    source = """
        import threading
        from gopy import Chan
        threading.Thread(target=Chan().recv).start()
    """
    for done in run_programs((source, {"env": {"GOMAXPROCS": n}}) for n in "128"):
        assert done.returncode == 1
        assert "all goroutines are asleep - deadlock!" in done.stderr
