"""Ports of Go's tests of the scheduler's fairness: src/runtime/proc_test.go, and what it runs of testdata/testprog.

Each is a program of its own, as most would hang if they failed, with GOMAXPROCS 1, 2 and 8. Where Go's goroutines
compute, these call something of gopy's that does not park.
"""

import pytest

pytestmark = pytest.mark.timeout(200)
PATIENCE = 180  # seconds: goroutines that never park, on a machine that is busy besides, have few time slices

# What the programs begin with.
HEAD = """
import gc, os, sys
from gopy import Chan, atomic, default, go, recv, runtime, select, send, sync
from gopy import time as gotime
"""


@pytest.fixture(params=[1, 2, 8])
def prints_ok(request, run_program):
    """prints_ok(program): it ends by itself and prints OK. `P` in it is GOMAXPROCS."""

    def prints_ok(program, **names):
        settings = "".join(f"{name} = {value!r}\n" for name, value in names.items())
        done = run_program(
            f"{HEAD}P = {request.param}\n{settings}{program}\nprint('OK')\n",
            env={"GOMAXPROCS": str(request.param)},
            timeout=PATIENCE,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "OK\n", "")

    return prints_ok


@pytest.mark.slow
def test_stop_the_world_deadlock(prints_ok):
    """proc_test.go TestStopTheWorldDeadlock"""
    prints_ok("""
compl, stop = Chan(2), Chan(1)

def collect():
    for _ in range(30):
        gc.collect()
    compl.send(True)

def set_procs():
    for _ in range(1000):
        runtime.GOMAXPROCS(3)
    compl.send(True)

def perpetuum_mobile():
    if select(recv(stop), default)[0] != 0:
        go(perpetuum_mobile)

go(collect)
go(set_procs)
go(perpetuum_mobile)
compl.recv()
compl.recv()
stop.send(True)
""")


@pytest.mark.slow
@pytest.mark.parametrize("yields", [True, False])
@pytest.mark.parametrize("locked", [False, True])
def test_yield_progress(locked, yields, prints_ok):
    """proc_test.go TestYieldProgress, TestYieldLockedProgress; and without the Gosched(), by time slices"""
    prints_ok(
        """
c, cack = Chan(), Chan()

def poll():
    if locked:
        runtime.lock_os_thread()
    while True:
        if select(recv(c), default)[0] == 0:
            cack.send(True)
            return
        if yields:
            runtime.gosched()

go(poll)
gotime.sleep(0.010)
c.send(True)
cack.recv()
""",
        locked=locked,
        yields=yields,
    )


def test_yield_locked(prints_ok):
    """proc_test.go TestYieldLocked"""
    prints_ok("""
c = Chan()

def work():
    runtime.lock_os_thread()
    for _ in range(10):
        runtime.gosched()
        gotime.sleep(0.001)
    c.send(True)
    # unlock_os_thread() is deliberately omitted

go(work)
c.recv()
""")


def test_block_locked(prints_ok):
    """proc_test.go TestBlockLocked"""
    prints_ok("""
c = Chan()

def work():
    runtime.lock_os_thread()
    for _ in range(10):
        c.send(True)
    runtime.unlock_os_thread()

go(work)
for _ in range(10):
    c.recv()
""")


@pytest.mark.slow
def test_goroutine_parallelism(prints_ok):
    """proc_test.go TestGoroutineParallelism: four that take turns by looking at a number"""
    prints_ok("""
for _ in range(3):
    done, x = Chan(), atomic.Int32()

    def turn(p):
        for i in range(3):
            while x.load() != 4 * i + p:
                pass
            x.store(4 * i + p + 1)
        done.send(True)

    for p in range(4):
        go(turn, p)
    for p in range(4):
        done.recv()
""")


def test_timer_fairness(prints_ok):
    """proc_test.go TestTimerFairness"""
    prints_ok("""
done, c = Chan(), Chan()

def offer():
    while select(send(c, True), recv(done))[0] == 0:
        pass

for _ in range(2):
    go(offer)
timer = gotime.after(0.020)
while select(recv(c), recv(timer))[0] == 0:
    pass
done.close()
""")


def test_timer_fairness2(prints_ok):
    """proc_test.go TestTimerFairness2"""
    prints_ok("""
done, c = Chan(), Chan()
null = os.open("/dev/null", os.O_RDONLY)

def both():
    timer = gotime.after(0.020)
    while True:
        os.read(null, 0)
        if select(send(c, True), recv(c), recv(timer))[0] == 2:
            done.send(True)
            return

for _ in range(2):
    go(both)
done.recv()
done.recv()
""")


# What a goroutine that never parks may do in a loop: an expression that is false until x has the value `wanted`.
POLLS = {
    "atomic": "x.load() == wanted",
    "compare and swap": "x.compare_and_swap(wanted, wanted)",
    "select": "select(recv(never), default)[0] == 0 or x.load() == wanted",
    "mutex": "locked_load() == wanted",
    "channel as a lock": "exchanged() == wanted",
    "sleep(0)": "gotime.sleep(0) or x.load() == wanted",
    "buffered": "buffer.send(1) or buffer.recv() and x.load() == wanted",
}
POLLED = """
x, never, mutex, token, buffer = atomic.Int32(), Chan(), sync.Mutex(), Chan(1), Chan(1)

def locked_load():
    with mutex:
        return x.load()

def exchanged():
    token.send(None)
    value = x.load()
    token.recv()
    return value
"""


@pytest.mark.slow
@pytest.mark.parametrize("poll", POLLS)
def test_preemption(poll, prints_ok):
    """proc_test.go TestPreemption: two that take turns, each waiting for the other without ever parking"""
    prints_ok(f"""{POLLED}
c = Chan()

def turn(g):
    for i in range(5):
        wanted = 2 * i + g
        while not ({POLLS[poll]}):
            pass
        x.store(wanted + 1)
    c.send(True)

for g in range(2):
    go(turn, g)
c.recv()
c.recv()
""")


@pytest.mark.slow
@pytest.mark.parametrize("poll", POLLS)
def test_preemption_gc(poll, prints_ok):
    """proc_test.go TestPreemptionGC: collections are made beside those that never park"""
    prints_ok(f"""{POLLED}
wanted = 1
wg = sync.WaitGroup()

def hog():
    while not ({POLLS[poll]}):
        pass

for _ in range(5):
    wg.go(hog)
for _ in range(3):
    runtime.gosched()
    gc.collect()
x.store(1)
wg.wait()
""")


def test_gc_fairness(prints_ok):
    """testdata/testprog/gc.go GCFairness: main's sleep ends beside goroutines that write all the time"""
    prints_ok("""
null = os.open("/dev/null", os.O_WRONLY)
x = atomic.Int32()

def write():
    while True:
        os.write(null, b".")
        x.load()

for _ in range(2):
    go(write)
gotime.sleep(0.010)
""")


def test_gc_fairness2(prints_ok):
    """testdata/testprog/gc.go GCFairness2: three that make garbage, of which each runs"""
    prints_ok("""
gc.set_threshold(10)
count, sink = [atomic.Int64() for _ in range(3)], [None] * 3

def make(i):
    while True:
        sink[i] = [bytearray(1024)]
        sink[i].append(sink[i])
        count[i].add(1)

for i in range(3):
    go(make, i)
while not all(each.load() for each in count):
    gotime.sleep(0.030)
""")


def test_ping_pong_hog(run_program):
    """proc_test.go TestPingPongHog: a pair that hands over often has as much time as one that computes for long"""
    done = run_program(
        f"""{HEAD}
done, hog_chan, light_chan = Chan(), Chan(), Chan()
counts = {{"hog": 0, "light": 0}}

def run(limit, name, wake):
    while select(recv(done), recv(wake))[0] == 1:
        for _ in range(limit):
            counts[name] += 1
        wake.send(True)

# Each starts, and waits, before the next: so all are on one thread, which they share by time slices.
def pair(limit, name, wake):
    for _ in range(2):
        goroutine = go(run, limit, name, wake)
        while goroutine.state != "select":
            runtime.gosched()

pair(10_000, "hog", hog_chan)  # Go's 100,000 take as long there
pair(100, "light", light_chan)
hog_chan.send(True)
light_chan.send(True)

# On a busy machine some pair may be without a time slice for long, but not for ever.
fair = False
while not fair:
    before = dict(counts)
    gotime.sleep(0.2)
    hog, light = (counts[name] - before[name] for name in ("hog", "light"))
    fair = 0 < hog / 20 <= light and 0 < light / 20 <= hog
done.close()
hog_chan.recv()
light_chan.recv()
print("OK")
""",
        env={"GOMAXPROCS": "1"},
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "OK\n", "")


def test_preempt_split_big(prints_ok):
    """proc_test.go TestPreemptSplitBig: one that computes, and looks now and then whether it is to stop"""
    prints_ok("""
stop, ended = Chan(), Chan()

def bigframe(stop):
    locals_of_it = [0] * 100
    return select(recv(stop), default)[0] == 0 or small(stop, locals_of_it)

def small(stop, many):
    return select(recv(stop), default)[0] == 0

def big():
    n = 0
    while not bigframe(stop):
        for _ in range(1000):
            n += 1
    ended.send(n)

go(big)
for _ in range(3):
    gotime.sleep(10e-6)  # for big to start running
    gc.collect()
stop.close()
ended.recv()
""")
