"""All of gopy at once for a while, with the books kept: what is sent is received once, what is started ends.

Goroutines of both kinds, plain threads and asyncio tasks share channels while others come and go, use sync, net and
blocking(), collect garbage and change GOMAXPROCS; tasks are cancelled at any moment.
"""

import asyncio
import contextlib
import gc
import itertools
import os
import random
import resource
import threading
import time

import pytest

from gopy import (
    Chan,
    ClosedChannelError,
    ablocking,
    aselect,
    atomic,
    blocking,
    default,
    go,
    net,
    recv,
    runtime,
    select,
    send,
    sync,
)
from gopy import time as gotime

DELAYS = (0, 1e-6, 3e-5, 1e-3)


def generator(coroutine):
    """A coroutine as a generator goroutine."""
    yield from coroutine.__await__()


class Books:
    """What was sent, what was received, and when to stop."""

    def __init__(self, seconds):
        self.ends = time.monotonic() + seconds
        self.failed = False
        self.chans = [Chan(size) for size in (0, 0, 1, 3, 64)]
        self.stop = Chan()  # closed when nobody sends any more
        self.received = []
        self.sent = []
        self.unsure = []  # sends of tasks that were cancelled, perhaps after somebody had received
        self.numbers = itertools.count(1)

    def on(self):
        """Is it time yet, and has something been sent?"""
        return not self.failed and (time.monotonic() < self.ends or sum(map(len, self.sent)) <= 100)

    def own(self):
        """Numbers that nobody else sends."""
        return itertools.count(next(self.numbers) * 10**12)

    def note(self):
        """A set to put received values into."""
        mine = set()
        self.received.append(mine)
        return mine

    def balance(self):
        left = []
        for ch in self.chans:
            while (got := select(recv(ch), default))[0] == 0:
                left.append(got[1])
        received = sorted([*itertools.chain(*self.received), *left])
        sent = set(itertools.chain(*self.sent))
        assert len(received) == len(set(received)), "received twice"
        assert not sent.difference(received), "lost"
        assert set(received) <= sent.union(self.unsure), "never sent"
        return len(sent)


class Channels(Books):
    """Senders and receivers on the shared channels, of every kind, by every way there is."""

    def to_send(self, rand):
        for n in self.own():
            if not self.on():
                return
            yield n, *rand.sample(self.chans, 2)

    def sends(self, rand):
        taken = []
        self.sent.append(taken)
        for n, ch, other in self.to_send(rand):
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

    async def sends_awaiting(self, rand):
        taken = []
        self.sent.append(taken)
        for n, ch, other in self.to_send(rand):
            match rand.randrange(4):
                case 0:
                    await ch.asend(n)
                case 1:
                    ch.send(n)  # a blocking call within a step
                case 2:
                    await aselect(send(ch, n), send(other, n))
                case 3:
                    if (await aselect(send(ch, n), default))[0] == 1:
                        await runtime.agosched()
                        continue
            taken.append(n)

    def receives(self, rand):
        mine = self.note()
        while True:
            ch, other = rand.sample(self.chans, 2)
            try:
                match rand.randrange(3):
                    case 0:
                        value = ch.recv(timeout=0.001)
                    case 1:
                        index, value, _ = select(recv(ch), recv(other), recv(self.stop))
                        if index == 2:
                            return
                    case 2:
                        index, value, _ = select(recv(other), recv(ch), default)
                        if index == 2:
                            runtime.gosched()
                            continue
            except TimeoutError:
                continue
            assert value not in mine
            mine.add(value)

    async def receives_awaiting(self, rand):
        mine = self.note()
        while True:
            ch, other = rand.sample(self.chans, 2)
            index, value, _ = await aselect(recv(self.stop), recv(ch), recv(other))
            if index == 0:
                return
            assert value not in mine
            mine.add(value)

    def runs_a_loop(self, rand):
        """A thread with an asyncio loop, whose tasks are cancelled all the while."""

        async def receives():
            while True:
                value = await rand.choice(self.chans).arecv()
                assert value not in mine
                mine.add(value)

        async def selects():
            while True:
                _, value, _ = await aselect(*map(recv, rand.sample(self.chans, 2)))
                assert value not in mine
                mine.add(value)

        async def sends():
            for n in self.own():
                try:
                    await rand.choice(self.chans).asend(n)
                except asyncio.CancelledError:
                    self.unsure.append(n)
                    raise
                taken.append(n)

        async def locks():
            while True:
                async with mutex:
                    inside.append(1)
                    try:
                        await asyncio.sleep(0)
                        assert len(inside) == 1
                    finally:
                        inside.pop()

        async def offloads():
            while True:
                assert await ablocking(pow, 3, 2) == 9
                await gotime.asleep(rand.choice(DELAYS))

        async def main():
            tasks = [asyncio.create_task(body()) for body in bodies]
            while self.on():
                await asyncio.sleep(rand.choice(DELAYS))
                i = rand.randrange(len(tasks))
                await end(tasks[i])
                tasks[i] = asyncio.create_task(bodies[i]())
            for task in tasks:
                await end(task)

        async def end(task):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        mine, taken, inside, mutex = self.note(), [], [], sync.Mutex()
        self.sent.append(taken)
        bodies = [receives, receives, selects, sends, sends, locks, locks, offloads]
        asyncio.run(main())


class Lives(Channels):
    """What comes and goes beside them."""

    def spawns(self, rand):
        """Generations of goroutines of both kinds that park, are stolen, meet a close, and are joined."""
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

            async def awaiting(i):
                if i % 3:
                    with pytest.raises(ClosedChannelError):
                        await full.asend(i)
                else:
                    assert await gate.arecv_ok() == (None, False)
                await runtime.agosched()
                total[i] = sum(range(rand.choice((10, 1000))))

            started = [go(rand.choice((body, awaiting)), i) for i in range(n - n // 8)]
            started += [go(generator(awaiting(i))) for i in range(n - n // 8, n)]
            if n % 2:
                gotime.sleep(rand.choice(DELAYS))
            gate.close()
            full.close()
            for goroutine in started:
                goroutine.join(timeout=20)
            assert all(total)

    def locks_threads(self, rand):
        """Threads that end with the goroutine that is locked to them."""
        while self.on():

            def body():
                runtime.lock_os_thread()
                gotime.sleep(rand.choice(DELAYS))

            for goroutine in [go(body) for _ in range(rand.randint(1, 4))]:
                goroutine.join(timeout=20)

    def resizes(self, rand):
        while self.on():
            runtime.GOMAXPROCS(rand.randint(1, 8))
            gotime.sleep(rand.choice((1e-5, 1e-3)))

    def collects(self, rand):
        while self.on():
            gc.collect()
            gotime.sleep(rand.choice((0.001, 0.002, 0.02)))

    def rebinds(self, rand):
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
            go(space["g"], out, rand.choice(DELAYS), gotime.sleep)
            out.recv()
            del space["f"], space["g"]
            assert out.recv(timeout=20) == n

    def sleeps(self, rand):
        while self.on():
            gotime.sleep(rand.choice(DELAYS))


class Packages(Lives):
    """sync, atomic, net and blocking()."""

    def guards(self, rand):
        """A crowd of both kinds adds up under a lock; readers never see it half done."""
        while self.on():
            mutex, rw, wg, first = sync.Mutex(), sync.RWMutex(), sync.WaitGroup(), sync.Once()
            total, pair, calls, count = [0], [0, 0], [], atomic.Int64()

            def adds():
                for _ in range(20):
                    with mutex:
                        total[0] += 1
                    try:
                        rw.lock(timeout=rand.choice((1e-6, 5)))
                    except TimeoutError:
                        rw.lock()
                    pair[0] += 1
                    if rand.random() < 0.1:
                        runtime.gosched()
                    pair[1] += 1
                    rw.unlock()
                    with rw.rlocker():
                        assert pair[0] == pair[1]
                    first.do(lambda: calls.append(1))
                    count.add(1)

            async def adds_awaiting():
                for _ in range(20):
                    async with mutex:
                        before = total[0]
                        if rand.random() < 0.1:
                            await runtime.agosched()
                        total[0] = before + 1
                    async with rw:
                        pair[0] += 1
                        await gotime.asleep(0)
                        pair[1] += 1
                    async with rw.rlocker():
                        assert pair[0] == pair[1]
                    count.add(1)

            n = rand.randint(2, 12)
            for _ in range(n):
                wg.go(rand.choice((adds, adds_awaiting)))
            wg.wait(timeout=20)
            assert total == [20 * n] and pair == [20 * n] * 2 and count.load() == 20 * n and len(calls) <= 1

    def signals(self, rand):
        """A queue of a Cond's, between goroutines that wait for an item and ones that wait for room."""
        while self.on():
            mutex, items, got, n = sync.Mutex(), [], [], rand.randint(10, 100)
            changed = sync.Cond(mutex)

            def puts():
                for i in range(n):
                    with mutex:
                        while len(items) >= 3:
                            changed.wait()
                        items.append(i)
                        changed.broadcast()

            async def takes():
                for _ in range(n):
                    async with mutex:
                        while not items:
                            await changed.await_()
                        got.append(items.pop(0))
                        changed.broadcast()

            started = [go(body) for body in (puts, takes, takes, puts)]
            for goroutine in started:
                goroutine.join(timeout=20)
            assert sorted(got) == sorted([*range(n), *range(n)])

    def connects(self, rand):
        """Loopback connections that are written to, time out, and are closed under a parked reader."""

        def echoes(conn):
            with conn, contextlib.suppress(ConnectionError):
                while data := conn.read():
                    conn.write(data)

        async def echoes_awaiting(conn):
            with conn, contextlib.suppress(ConnectionError):
                while data := await conn.aread():
                    await conn.awrite(data)

        with net.listen("tcp", "127.0.0.1:0") as ln:
            server = go(ln.serve, rand.choice((echoes, echoes_awaiting)))
            while self.on():
                with net.dial("tcp", str(ln.addr)) as conn:
                    for _ in range(rand.randint(0, 20)):
                        data = os.urandom(4) * rand.choice((1, 1000, 50_000))
                        writer = go(conn.write, data)
                        assert conn.read_full(len(data)) == data
                        writer.join(timeout=20)
                    conn.set_read_deadline(rand.choice((0, 1e-5, 1e-3)))
                    with pytest.raises(TimeoutError):
                        conn.read()
                    conn.set_read_deadline(None)
                    reader = go(self.reads_a_closed, conn)
                    gotime.sleep(rand.choice(DELAYS))
                    conn.set_linger(0)  # no TIME_WAIT: ports would run out
                reader.join(timeout=20)
            ln.close()
            server.join(timeout=20)

    def reads_a_closed(self, conn):
        with pytest.raises(OSError):
            conn.read()

    def offloads(self, rand):
        def fails(n):
            time.sleep(rand.choice((0, 1e-4)))
            raise LookupError(n)

        for n in itertools.count():
            if not self.on():
                return
            assert blocking(lambda n=n: n + 1) == n + 1
            with pytest.raises(LookupError):
                blocking(fails, n)

    async def offloads_awaiting(self, rand):
        while self.on():
            assert await ablocking(sum, (1, 2)) == 3
            await gotime.asleep(rand.choice(DELAYS))


class Mix(Packages):
    def __call__(self, seed, until):
        rand = random.Random(seed)
        failures, ended = [], Chan(10_000)
        before = runtime.num_goroutine()

        def failed(exc):
            failures.append(exc)
            self.failed = True

        def runs(body):
            try:
                body(random.Random(rand.random()))
            except BaseException as exc:
                failed(exc)
            ended.send(None)

        async def awaits(body):
            try:
                await body(random.Random(rand.random()))
            except BaseException as exc:
                failed(exc)
            await ended.asend(None)

        receivers = [go(runs, self.receives) for _ in range(4)]
        receivers += [go(awaits, self.receives_awaiting) for _ in range(2)]
        receivers += [go(generator(awaits(self.receives_awaiting)))]
        bodies = [self.sends] * 3 + [self.spawns, self.rebinds, self.guards, self.connects] * 2
        bodies += [self.locks_threads, self.resizes, self.collects, self.signals, self.offloads]
        bodies += [self.sleeps] * 8
        others = [go(runs, body) for body in bodies]
        others += [go(awaits, body) for body in (self.sends_awaiting, self.offloads_awaiting)]
        others += [go(generator(awaits(self.sends_awaiting)))]
        threads = [threading.Thread(target=runs, args=(body,)) for body in (self.sends, self.runs_a_loop)]
        for thread in threads:
            thread.start()
        for _ in [*others, *threads]:
            ended.recv()
        self.stop.close()
        for _ in receivers:
            ended.recv(timeout=20)
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        sent = self.balance()
        until(lambda: runtime.num_goroutine() <= before)
        return sent


def mix(until, seconds):
    seed = random.randrange(10**9)
    print("seed", seed)
    assert Mix(seconds)(seed, until) > 100


@pytest.mark.slow
@pytest.mark.parametrize("procs", [2, 8])
def test_mix(gomaxprocs, procs, until):
    gomaxprocs(procs)
    mix(until, 1.5)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_mix_for_ten_minutes(gomaxprocs, until):
    gomaxprocs(8)
    resident, descriptors = [], []
    for _ in range(20):
        mix(until, 30)
        gc.collect()
        resident.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        descriptors.append(len(os.listdir("/proc/self/fd")))
    print("MiB after each", resident, "descriptors", descriptors)
    assert resident[-1] < 2 * resident[4] + 50
    assert descriptors[-1] < descriptors[0] + 20
    assert runtime.stats()["ms"] < 64
