"""Random programs over channels, checked against what channels promise: each value that was sent is received
exactly once, in order for each sender, receiver and channel; close loses nothing; nothing hangs."""

import random
import threading

import pytest

from gopy import Chan, go, recv, runtime, select, send
from gopy.time import sleep


def play(seed):
    rng = random.Random(seed)
    chans = [Chan(rng.choice((0, 0, 1, 3, 10))) for _ in range(rng.randint(1, 3))]
    senders, receivers, each = rng.randint(1, 5), rng.randint(1, 5), rng.randint(1, 30)
    log = Chan(10_000)

    def pause(rng):
        what = rng.random()
        if what < 0.1:
            runtime.gosched()
        elif what < 0.13:
            sleep(rng.random() * 1e-4)
        elif what < 0.16:
            go(int)

    def sender(me):
        rng = random.Random(f"{seed} s {me}")
        for i in range(each):
            pause(rng)
            while True:
                timeout = rng.choice((None, None, None, 0, 1e-5, 1e-4))
                try:
                    if rng.random() < 0.5:
                        rng.choice(chans).send((me, i), timeout=timeout)
                    else:
                        select(*(send(ch, (me, i)) for ch in rng.sample(chans, len(chans))), timeout=timeout)
                    break
                except TimeoutError:
                    runtime.gosched()

    def receiver(me):
        rng = random.Random(f"{seed} r {me}")
        live = list(range(len(chans)))
        while live:
            pause(rng)
            timeout = rng.choice((None, None, None, 0, 1e-5, 1e-4))
            try:
                if rng.random() < 0.3:
                    k = rng.choice(live)
                    value, ok = chans[k].recv_ok(timeout=rng.choice((0, 1e-5, 1e-4)))
                else:
                    index, value, ok = select(*(recv(chans[k]) for k in live), timeout=timeout)
                    k = live[index]
            except TimeoutError:
                runtime.gosched()
                continue
            if ok:
                log.send((k, me, value))
            else:
                live.remove(k)

    def run(fn, me, over):
        def body():
            try:
                fn(me)
            finally:
                over.send(None)

        if rng.random() < 0.15:
            threading.Thread(target=body).start()
        else:
            go(body)

    # Thread.join() would block this thread, and with it the goroutines that have started on it.
    received, sent = Chan(receivers), Chan(senders)
    for me in range(receivers):
        run(receiver, me, received)
    for me in range(senders):
        run(sender, me, sent)
    for _ in range(senders):
        sent.recv(timeout=60)
    for ch in chans:
        ch.close()
    for _ in range(receivers):
        received.recv(timeout=60)
    log.close()
    entries = list(log)
    assert sorted(value for _, _, value in entries) == [
        (s, i) for s in range(senders) for i in range(each)
    ], seed
    last = {}
    for k, me, (s, i) in entries:
        assert i > last.get((k, me, s), -1), (seed, k, me, s)
        last[k, me, s] = i


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("procs", [1, 2, 4, 8])
def test_random_programs(procs):
    was = runtime.GOMAXPROCS(procs)
    start = random.randrange(10**9)
    try:
        for seed in range(start, start + 300):
            try:
                play(seed)
            except BaseException:
                print(f"play({seed}) with GOMAXPROCS={procs}")
                raise
    finally:
        runtime.GOMAXPROCS(was)


@pytest.mark.timeout(300)
def test_random_programs_while_GOMAXPROCS_changes():
    was, rng = runtime.GOMAXPROCS(), random.Random()
    try:
        for _ in range(200):
            runtime.GOMAXPROCS(rng.choice((1, 2, 3, 8)))
            play(rng.randrange(10**9))
    finally:
        runtime.GOMAXPROCS(was)
