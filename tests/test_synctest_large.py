"""Bubbles of very many goroutines: what they cost, and that nothing of them is left."""

import pytest

PROCS = pytest.mark.parametrize("procs", ["1", "2", "8"])

HEAD = """
import gc, random, sys
import time as real
from gopy import Chan, Panic, go, runtime, sync, testing, time
from gopy.time import now

def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096

def nothing_is_left():
    assert runtime.num_goroutine() == 1
    assert testing.synctest(lambda: time.sleep(5) or now()) == 5

def told(what, n, began):
    # On stderr: figures for who looks.
    print(what, f"{real.perf_counter() - began:.1f} s, {(resident() - EMPTY) / n:.0f} bytes each", file=sys.stderr)

go(int).join()
EMPTY = resident()
"""

END = """
nothing_is_left()
print("done")
"""


def run(run_program, source, procs):
    done = run_program(HEAD + source + END, env={"GOMAXPROCS": procs}, timeout=600)
    print(done.stderr)
    assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.soak
@pytest.mark.timeout(600)
@PROCS
@pytest.mark.parametrize("kind", ["stackful", "stackless"])
def test_a_million_sleep_until_different_times(run_program, procs, kind):
    run(
        run_program,
        f"""
n, last = 10**6, [0]
times = list(range(1, n + 1))
random.Random(1).shuffle(times)

def check(when):
    assert now() == when > last[0]
    last[0] = when

def stackful(when):
    time.sleep(when)
    check(when)

async def stackless(when):
    await time.asleep(when)
    check(when)

def body():
    began = real.perf_counter()
    for when in times:
        go({kind}, when / 64)
    testing.wait()
    told("all sleep:", n, began)
    time.sleep(10**6)
    told("all woken:", n, began)
    assert last == [n / 64]

testing.synctest(body)
""",
        procs,
    )


@pytest.mark.soak
@pytest.mark.timeout(600)
@PROCS
def test_100_000_wait_for_a_channel_and_for_a_cond(run_program, procs):
    run(
        run_program,
        """
n = 10**5

def body():
    began = real.perf_counter()
    ch, results, mu, ready = Chan(), Chan(), sync.Mutex(), []
    cond = sync.Cond(mu)
    wg = sync.WaitGroup()

    def receives():
        results.send(ch.recv())

    def waits():
        with mu:
            while not ready:
                cond.wait()

    for _ in range(n):
        go(receives)
        wg.go(waits)
    testing.wait()
    told("all wait:", 2 * n, began)
    go(lambda: [ch.send(i) for i in range(n)])
    assert sum(results.recv() for _ in range(n)) == n * (n - 1) // 2
    with mu:
        ready.append(1)
        cond.broadcast()
    wg.wait()
    told("all done:", 2 * n, began)

testing.synctest(body)
""",
        procs,
    )


@pytest.mark.soak
@pytest.mark.timeout(600)
@PROCS
@pytest.mark.parametrize(
    "waits", ["ch.recv()", "ch.recv(timeout=1000)", "cond_wait()", "held.lock()", "time.sleep(10**6)"]
)
def test_all_end_when_main_panics(run_program, procs, waits):
    """Each runs its finally block, in which it may lock, too."""
    run(
        run_program,
        f"""
n, ended = 10**5, [0]

def body():
    began = real.perf_counter()
    ch, mu, held = Chan(), sync.Mutex(), sync.Mutex()
    cond = sync.Cond(mu)
    def cond_wait():
        with mu:
            cond.wait()
    def stays():
        try:
            {waits}
        finally:
            with mu:
                ended[0] += 1
    held.lock()
    for _ in range(n):
        go(stays)
    testing.wait()
    told("all wait:", n, began)
    raise KeyError("main")

began = real.perf_counter()
try:
    testing.synctest(body)
except KeyError as exc:
    assert exc.args == ("main",)
    del exc
told("all ended:", n, began)
assert ended == [n], ended
""",
        procs,
    )


@pytest.mark.soak
@pytest.mark.timeout(600)
@PROCS
def test_explore_over_a_large_bubble(run_program, procs):
    """The same order for the same seed, whatever GOMAXPROCS is."""
    run(
        run_program,
        """
orders = []

def body():
    mu, order, wg = sync.Mutex(), [], sync.WaitGroup()
    def child(i):
        with mu:
            order.append(i)
        time.sleep(i % 7)
        with mu:
            order.append(-i)
    for i in range(2000):
        wg.go(child, i)
    wg.wait()
    assert now() == 6 and len(order) == 4000
    orders.append(hash(tuple(order)))

began = real.perf_counter()
testing.explore(body, seeds=range(20))
testing.explore(body, seeds=range(20))
assert orders[:20] == orders[20:]
assert len(set(orders)) == 20
told("explored:", 40 * 2000, began)
""",
        procs,
    )
