"""debug.hogs(): who keeps a thread to itself while others wait for it."""

import re

import pytest

from gopy import debug

PROLOGUE = """
import io, sys, threading, time as clock
from gopy import Chan, debug, go, runtime, time
from gopy.debug import _hogs

class Told(io.StringIO):
    def __init__(self):
        super().__init__()
        self.reports = []
        self.lock = threading.Lock()
        self.lock.acquire()
    def write(self, text):
        written = super().write(text)  # before anybody is told of it
        if "hog:" in text:
            self.reports.append(text)
            if self.lock.locked():
                self.lock.release()
        return written

told = Told()

# The reports of that function that say so. There may be others: whoever the kernel holds up for a while is a hog, too.
def of(function, how):
    return [report for report in told.reports if f"in {function}\\n" in report and how in report]

# One has been told, and it was not the one: the next one may be of the same place, and of the same goroutine.
def begin_anew():
    _hogs._told.clear()
    runtime.gosched()

def other(where):
    where.send(threading.get_ident())
    while True:
        time.sleep(0.001)

def share_this_thread():
    where = Chan()
    while True:
        go(other, where)
        if where.recv() == threading.get_ident():
            return

def until_told():
    while not of("until_told", "It computes."):
        begin_anew()
        n = len(told.reports)
        while len(told.reports) == n:
            pass  # computes

"""
BODY = """
def hog():
    share_this_thread()
    until_told()

def blocked():
    share_this_thread()
    while not of("blocked", "It is blocked in `told.lock.acquire()`"):
        begin_anew()
        told.lock.acquire()

def does_not_share():
    runtime.gosched()
    end = clock.monotonic() + 0.3
    while clock.monotonic() < end:
        pass

debug.hogs(0.05, file=told)
"""
END = "print(told.getvalue(), flush=True)\nimport os; os._exit(0)\n"
SHOW_WHO_COMPUTES = "print(of('until_told', 'It computes.')[0], flush=True)\nimport os; os._exit(0)\n"


@pytest.mark.parametrize("gomaxprocs", "128")
def test_one_that_computes(gomaxprocs, run_program):
    done = run_program(PROLOGUE + BODY + "hog()\n" + SHOW_WHO_COMPUTES, env={"GOMAXPROCS": gomaxprocs})
    assert done.returncode == 0, done.stderr
    assert re.match(
        r"hog: goroutine 1 \[main\] has kept its thread for \d+\.\d\d s; \d+ goroutines? that only "
        r"this thread may run waits?:\n",
        done.stdout,
    ), done.stdout
    assert "in until_told\n" in done.stdout
    assert "It computes. runtime.gosched()" in done.stdout
    assert "blocking(f, ...)" in done.stdout
    assert "runtime.preempt(" in done.stdout


def test_how_many_wait(run_program):
    """Those that another thread has woken, too."""
    source = (
        PROLOGUE
        + """
ch, where, here, goroutines = Chan(), Chan(), threading.get_ident(), []
def waits():
    where.send(threading.get_ident() == here)
    ch.recv()
while len(goroutines) < 5:
    goroutine = go(waits)
    if where.recv():  # another thread's does not count
        goroutines.append(goroutine)
    else:
        ch.send(1)
while not all(g.state == "chan receive" for g in goroutines):
    runtime.gosched()
def wakes():
    for _ in goroutines:
        ch.send(1)
    debug.hogs(0.05, file=told)
threading.Thread(target=wakes).start()
while not told.reports:
    pass  # computes
"""
        + END
    )
    done = run_program(source, env={"GOMAXPROCS": "1"})
    assert done.returncode == 0, done.stderr
    assert "; 5 goroutines that only this thread may run wait:\n" in done.stdout


@pytest.mark.parametrize("gomaxprocs", "128")
def test_one_that_is_blocked_in_c(gomaxprocs, run_program):
    source = (
        PROLOGUE
        + BODY
        + "go(blocked).join()\nprint(of('blocked', 'It is blocked in `told.lock')[0], flush=True)\n"
        + "import os; os._exit(0)\n"
    )
    done = run_program(source, env={"GOMAXPROCS": gomaxprocs})
    assert done.returncode == 0, done.stderr
    assert re.match(r"hog: goroutine \d+ \[blocked\] has kept", done.stdout), done.stdout
    assert "It is blocked in `told.lock.acquire()`, which waits with its whole thread." in done.stdout
    assert "created by <module> in goroutine 1:\n" in done.stdout


def test_a_place_is_told_once(run_program):
    """Whoever hogs there: the second report is another place's."""
    source = (
        PROLOGUE
        + BODY
        + """
share_this_thread()
def told_of():
    return sum("# spins" in report for report in told.reports)
after = 0
while after < 3:
    after += told_of()
    end = clock.monotonic() + 0.2
    while clock.monotonic() < end: pass  # spins
    runtime.gosched()
print(told_of(), flush=True)
import os; os._exit(0)
"""
    )
    done = run_program(source, env={"GOMAXPROCS": "1"})
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_nobody_waits(run_program):
    """Who computes while nobody waits for the thread is no hog."""
    done = run_program(PROLOGUE + BODY + "does_not_share()\n" + END, env={"GOMAXPROCS": "1"})
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr


@pytest.mark.parametrize(
    ("flags", "env"), [(["-X", "dev"], {}), ([], {"GOPY_DEBUG": "hogs"}), ([], {"GOPY_DEBUG": "x,hogs"})]
)
def test_on_from_the_start(flags, env, run_program):
    source = PROLOGUE + "sys.stderr = told\nshare_this_thread()\nuntil_told()\n" + SHOW_WHO_COMPUTES
    done = run_program(source, env={"GOMAXPROCS": "1"} | env, flags=flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("hog: goroutine 1 [main]")


def test_off(run_program):
    source = PROLOGUE + "debug.hogs(0.01, file=told)\ndebug.hogs(None)\nshare_this_thread()\n"
    source += "end = clock.monotonic() + 0.3\nwhile clock.monotonic() < end: pass\n"
    done = run_program(source + END, env={"GOMAXPROCS": "1"})
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr


def test_it_does_not_hide_a_deadlock(run_program):
    """The thread that looks counts among those that wake nobody."""
    done = run_program("from gopy import Chan, debug\ndebug.hogs()\nChan().recv()")
    assert done.returncode == 1
    assert "all goroutines are asleep - deadlock!" in done.stderr


def test_after_a_fork(run_program):
    source = (
        PROLOGUE
        + BODY
        + """
import os
time.sleep(0.001)
if os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
hog()
"""
        + SHOW_WHO_COMPUTES
    )
    # From CPython 3.15 on the warning of a fork beside threads is raised where it is an error.
    done = run_program(source, env={"GOMAXPROCS": "1"}, flags=["-W", "ignore::DeprecationWarning"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("hog: goroutine 1 ")


TURNS_OFF = """
class TurnsOff(io.StringIO):
    def write(self, text):
        debug.hogs(None)
        debug.hogs(None)
        told.write(text)

debug.hogs(0.02, file=TurnsOff())
share_this_thread()
while not told.reports:
    pass  # computes
debug.hogs(None)
print(told.getvalue().count("hog: goroutine"))
import os; os._exit(0)
"""


def test_a_report_turns_it_off(run_program):
    """The thread that reports does not wait for its own end."""
    done = run_program(PROLOGUE + TURNS_OFF)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1\n"


ON_AGAIN = """
begun, may_end = threading.Event(), threading.Event()

class Blocks(io.StringIO):
    def write(self, text):
        begun.set()
        may_end.wait()

def turns_off():
    debug.hogs(None)

def waits_in_it(thread):
    frame = sys._current_frames().get(thread.ident)
    return frame is not None and frame.f_code.co_name == "hogs"

debug.hogs(0.02, file=Blocks())
share_this_thread()
while not begun.is_set():
    pass
thread = threading.Thread(target=turns_off)
thread.start()
while not waits_in_it(thread):
    clock.sleep(0.001)
clock.sleep(0.05)  # it has most likely begun to wait for the end of the report
debug.hogs(10)
may_end.set()
thread.join()
debug.hogs(None)
print("over")
import os; os._exit(0)
"""


def test_who_turns_it_off_while_another_turns_it_on(run_program):
    done = run_program(PROLOGUE + ON_AGAIN)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "over\n")


def test_many_turn_it_on_and_off(run_program):
    done = run_program(
        """
import threading
from gopy import debug

def turns():
    for _ in range(50):
        debug.hogs(0.001)
        debug.hogs(None)

threads = [threading.Thread(target=turns) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("over")
"""
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "over\n")


def test_arguments():
    with pytest.raises(TypeError, match="`threshold`"):
        debug.hogs("soon")
    with pytest.raises(ValueError, match="`threshold` must be positive or None, got 0"):
        debug.hogs(0)
    with pytest.raises(TypeError, match="`file` must be a text file or None, got int"):
        debug.hogs(1, file=1)
