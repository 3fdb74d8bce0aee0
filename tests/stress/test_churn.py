"""Everything that starts, stops, sleeps and wakes, at once: whatever goes to sleep must be woken again."""

import random
import threading

import pytest

from gopy import Chan, go, recv, runtime, select
from gopy import time as gotime

ROUNDS = 400


def churn(seed):
    """One round: goroutines that sleep, spawn, lock their thread, change GOMAXPROCS and meet plain threads."""
    rand = random.Random(seed)
    finished: Chan[int] = Chan(12)  # nobody who has locked the main thread may wait for it
    quit_: Chan[None] = Chan()
    kinds = [rand.choice("ssstlgpw") for _ in range(rand.randint(1, 12))]
    delays = [rand.choice((0, 1e-6, 2e-5, 3e-4, 2e-3)) for _ in kinds]

    def sleeper(i):
        gotime.sleep(delays[i])
        finished.send(i)

    def waiter(i):
        with pytest.raises(TimeoutError):
            select(recv(quit_), timeout=delays[i])
        finished.send(i)

    def locked(i):
        runtime.lock_os_thread()
        gotime.sleep(delays[i])
        finished.send(i)
        if i % 2:
            runtime.unlock_os_thread()

    def resizer(i):
        runtime.GOMAXPROCS(1 + i % 5)
        sleeper(i)

    def spawner(i):
        go(sleeper, i)

    bodies = {"s": sleeper, "w": waiter, "l": locked, "g": resizer, "p": spawner}
    threads = []
    for i, kind in enumerate(kinds):
        if kind == "t":
            threads.append(threading.Thread(target=sleeper, args=(i,)))
            threads[-1].start()
        else:
            go(bodies[kind], i)
    assert sorted(finished.recv(timeout=20) for _ in kinds) == list(range(len(kinds)))
    for thread in threads:
        thread.join()


@pytest.mark.timeout(300)  # who is not woken is found out by recv(timeout=20)
@pytest.mark.parametrize("procs", [1, 2, 4, 8])
def test_churn(gomaxprocs, procs, until):
    base = random.randrange(10**9)
    before = runtime.num_goroutine()
    print("seeds from", base)
    for seed in range(base, base + ROUNDS):
        gomaxprocs(procs)
        churn(seed)
    until(lambda: runtime.num_goroutine() <= before)
