"""Everything that starts, stops, sleeps and wakes, at once: whatever goes to sleep must be woken again."""

import gc
import itertools
import random
import resource
import threading
import time

import pytest

from gopy import Chan, ClosedChannelError, default, go, recv, runtime, select, send
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


@pytest.mark.parametrize("procs", [1, 2, 4, 8])
def test_churn(gomaxprocs, procs, until):
    base = random.randrange(10**9)
    print("seeds from", base)
    for seed in range(base, base + ROUNDS):
        gomaxprocs(procs)
        churn(seed)
    until(lambda: runtime.num_goroutine() == 1)


class Mix:
    """All of it at once for a while, with the books kept: what is sent is received once, what is started ends."""

    def __init__(self, seed, seconds):
        self.seed = seed
        self.ends = time.monotonic() + seconds
        self.chans = [Chan(size) for size in (0, 0, 1, 3, 64)]
        self.received = [set() for _ in range(6)]
        self.sent = []
        self.ended = Chan(10_000)
        self.rounds = {}

    def on(self):
        return time.monotonic() < self.ends

    def sends(self, rand, base):
        """Sends numbers of its own, by every way there is; notes those that were taken."""
        taken = []
        for n in itertools.count(base):
            if not self.on():
                break
            ch, other = rand.sample(self.chans, 2)
            try:
                match rand.randrange(4):
                    case 0:
                        ch.send(n, timeout=1)
                    case 1:
                        ch.send(n, timeout=rand.choice((0, 1e-6, 1e-4)))
                    case 2:
                        select(send(ch, n), send(other, n), timeout=0.01)
                    case 3:
                        if select(send(ch, n), default)[0] == 1:
                            continue
            except TimeoutError:
                continue
            taken.append(n)
        self.sent.append(taken)

    def receives(self, rand, mine):
        while True:
            ch, other = rand.sample(self.chans, 2)
            try:
                match rand.randrange(3):
                    case 0:
                        value = ch.recv(timeout=0.001)
                    case 1:
                        value = select(recv(ch), recv(other), timeout=0.001)[1]
                    case 2:
                        index, value, _ = select(recv(other), recv(ch), default)
                        if index == 2:
                            runtime.gosched()
                            continue
            except TimeoutError:
                if self.over.is_set():
                    return
                continue
            assert value not in mine
            mine.add(value)

    def spawns(self, rand, _):
        """Generations of goroutines that park, are stolen, meet a close, and are joined."""
        while self.on():
            gate, full, n = Chan(), Chan(), rand.randint(1, 40)
            total = [0] * n

            def body(i):
                if i % 3:
                    with pytest.raises(ClosedChannelError):
                        full.send(i)
                else:
                    assert gate.recv_ok() == (None, False)
                total[i] = sum(range(rand.choice((10, 1000))))

            started = [go(body, i) for i in range(n)]
            if n % 2:
                gotime.sleep(rand.choice((0, 1e-5, 1e-3)))
            gate.close()
            full.close()
            for goroutine in started:
                goroutine.join(timeout=20)
            assert all(total)

    def locks(self, rand, _):
        """Threads that end with the goroutine that is locked to them."""
        while self.on():

            def body():
                runtime.lock_os_thread()
                gotime.sleep(rand.choice((0, 1e-5, 1e-4)))

            for goroutine in [go(body) for _ in range(rand.randint(1, 4))]:
                goroutine.join(timeout=20)

    def resizes(self, rand, _):
        while self.on():
            runtime.GOMAXPROCS(rand.randint(1, 8))
            gotime.sleep(rand.choice((1e-5, 1e-3)))

    def collects(self, rand, _):
        while self.on():
            gc.collect()
            gotime.sleep(rand.choice((0, 0.002, 0.02)))

    def rebinds(self, rand, _):
        """Functions that only a parked goroutine refers to."""
        for n in itertools.count():
            if not self.on():
                return
            space = {}
            exec(
                f"def f(): return {n}\ndef g(out, s, sleep):\n h = f\n out.send(0)\n sleep(s)\n out.send(h())",
                space,
            )
            out = Chan()
            go(space["g"], out, rand.choice((0, 1e-5, 1e-3)), gotime.sleep)
            out.recv()
            del space["f"], space["g"]
            assert out.recv(timeout=20) == n

    def sleeps(self, rand, _):
        while self.on():
            gotime.sleep(rand.choice((0, 1e-6, 3e-5, 1e-3)))

    def __call__(self, until):
        rand = random.Random(self.seed)
        self.over = threading.Event()
        failures = []

        def runs(body, *args):
            try:
                body(random.Random(rand.random()), *args)
            except BaseException as exc:
                failures.append(exc)
                self.ends = 0
            self.ended.send(None)

        receivers = [go(runs, self.receives, mine) for mine in self.received]
        senders = [go(runs, self.sends, i * 10**12) for i in range(1, 5)]
        kinds = [
            self.spawns,
            self.spawns,
            self.locks,
            self.resizes,
            self.collects,
            self.rebinds,
            self.rebinds,
        ]
        others = [go(runs, kind, None) for kind in kinds + [self.sleeps] * 8]
        threads = [threading.Thread(target=runs, args=(self.sends, i * 10**12)) for i in range(5, 7)]
        for thread in threads:
            thread.start()
        for _ in [*senders, *others, *threads]:
            self.ended.recv()
        self.over.set()
        for _ in receivers:
            self.ended.recv(timeout=20)
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        sent = [n for taken in self.sent for n in taken]
        left = [ch.recv() for ch in self.chans for _ in range(len(ch))]
        assert sorted([*itertools.chain(*self.received), *left]) == sorted(sent)
        until(lambda: runtime.num_goroutine() == 1)
        return len(sent)


def mix(until, seconds):
    seed = random.randrange(10**9)
    print("seed", seed)
    assert Mix(seed, seconds)(until) > 100


@pytest.mark.parametrize("procs", [2, 8])
def test_mix(gomaxprocs, procs, until):
    gomaxprocs(procs)
    mix(until, 1.5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mix_for_ten_minutes(gomaxprocs, until):
    gomaxprocs(8)
    resident = []
    for _ in range(20):
        mix(until, 30)
        gc.collect()
        resident.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    print("MiB after each", resident)
    assert resident[-1] < 2 * resident[4] + 50
    assert runtime.stats()["ms"] < 64
