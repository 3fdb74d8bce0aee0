"""A loop that is closed while its tasks wait: nothing is lost to them. What they would have got goes to the living."""

import asyncio
import gc
import itertools
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gopy import Chan, ablocking, aselect, default, go, net, recv, runtime, select, send, sync, time


@pytest.fixture
def loop(new_event_loop):
    loop = new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def started(loop):
    """started(make, n): n tasks in the loop, each of which waits for what make() returns. They are never collected."""
    tasks = []

    def started(make, n=1, got=None):
        async def body():
            value = await make()
            if got is not None:
                got.append(value)

        async def main():
            for _ in range(n):
                task = loop.create_task(body())
                task._log_destroy_pending = False
                tasks.append(task)
            for _ in range(3):
                await asyncio.sleep(0)
            assert got or not any(task.done() for task in tasks[-n:])

        loop.run_until_complete(main())
        return tasks

    yield started
    tasks.clear()


def in_loop(loop, what):
    """Have `what` called in the loop, which ends before a task that it has woken goes on, or about then."""

    async def main():
        what()
        loop.call_soon(loop.stop)
        await asyncio.Event().wait()

    task = loop.create_task(main())
    task._log_destroy_pending = False
    loop.run_forever()
    return task


# When the wait ends: never, before the loop is closed, as the loop stops.
WHEN = ["never", "before", "stopping"]

# What a task waits for on the channel.
RECEIVES = {
    "arecv": lambda ch: ch.arecv(),
    "arecv_ok": lambda ch: ch.arecv_ok(),
    "async for": lambda ch: aiter(ch).__anext__(),
    "aselect": lambda ch: aselect(recv(Chan()), recv(ch)),
    "aselect twice": lambda ch: aselect(recv(ch), recv(ch)),
}


@pytest.mark.parametrize("capacity", [0, 3])
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("receive", RECEIVES.values(), ids=RECEIVES)
def test_no_value_is_lost(loop, started, receive, when, capacity):
    ch, got = Chan(capacity), []
    started(lambda: receive(ch), 3, got)
    values = list(range(5))
    if when == "before":
        for i in range(2):
            ch.send(values[i])
    elif when == "stopping":
        keep = in_loop(loop, lambda: [ch.send(values[i]) for i in range(2)])
    loop.close()
    sent = 0 if when == "never" else 2
    sender = go(lambda: [ch.send(value) for value in values[sent:]])
    taken = len(got)  # uvloop may have let them go on
    received = [ch.recv(timeout=10) for _ in values[taken:]]
    sender.join()
    assert received == values[taken:]
    assert len(ch) == 0
    keep = None  # noqa: F841


@pytest.mark.parametrize("when", WHEN)
def test_a_value_goes_to_a_receiver_that_waits_behind(loop, started, when, until):
    ch, taken, got = Chan(), [], []
    started(ch.arecv, 2, taken)
    receiver = go(lambda: got.extend(ch))
    until(lambda: receiver.state == "chan receive")
    if when == "before":
        ch.send(1), ch.send(2)
    elif when == "stopping":
        in_loop(loop, lambda: (ch.send(1), ch.send(2)))
    loop.close()
    if when == "never":
        ch.send(1), ch.send(2)
    ch.close()
    receiver.join()
    assert sorted(taken + got) == [1, 2]


@pytest.mark.parametrize("when", WHEN)
def test_what_was_not_received_was_not_sent(loop, started, when):
    for sending in (lambda ch: ch.asend("dead"), lambda ch: aselect(recv(Chan()), send(ch, "dead"))):
        ch = Chan()
        started(lambda: sending(ch), 2)
        if when != "never":
            assert ch.recv() == "dead"  # one of them has sent
    loop.close()
    assert len(ch) == 0
    with pytest.raises(TimeoutError):
        ch.recv(timeout=0)


LOCKS = {
    "Mutex": (sync.Mutex, lambda lock: lock.alock()),
    "RWMutex": (sync.RWMutex, lambda lock: lock.alock()),
    "RWMutex to read": (sync.RWMutex, lambda lock: lock.arlock()),
    "rlocker": (sync.RWMutex, lambda lock: lock.rlocker().alock()),
}


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("behind", [True, False], ids=["somebody behind", "nobody behind"])
@pytest.mark.parametrize(("new", "acquire"), LOCKS.values(), ids=LOCKS)
def test_a_lock_goes_to_somebody_alive(loop, started, until, new, acquire, behind, when):
    lock = new()
    lock.lock()
    tasks = started(lambda: acquire(lock), 2)
    follower = go(lock.lock) if behind else None
    until(lambda: follower is None or follower.state.startswith("sync."))
    if when == "before":
        lock.unlock()
    elif when == "stopping":
        tasks.append(in_loop(loop, lock.unlock))
    done = [task.done() for task in tasks[:2]]
    loop.close()
    if when == "never":
        lock.unlock()
    for _ in range(sum(done)):  # those have it
        lock.runlock() if "r" in acquire.__code__.co_names[0] else lock.unlock()
    if follower is not None:
        follower.join()
        assert not lock.try_lock()
        lock.unlock()
    assert lock.try_lock()


@pytest.mark.parametrize("when", ["never", "signalled", "locking", "stopping"])
@pytest.mark.parametrize("new", [sync.Mutex, sync.RWMutex], ids=["Mutex", "RWMutex"])
def test_a_cond(loop, until, new, when):
    """The signal reaches somebody alive, and L is free."""
    lock = new()
    cond = sync.Cond(lock)
    ended = []

    async def waits():
        async with lock:
            try:
                await cond.await_()
            finally:
                ended.append(1)

    def follows():
        with lock:
            cond.wait()

    async def main():
        task = loop.create_task(waits())
        task._log_destroy_pending = False
        while lock.locked() or not task.get_coro().cr_frame:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task

    task = loop.run_until_complete(main())
    follower = go(follows)
    until(lambda: follower.state == "sync.Cond.Wait")
    if when == "signalled":
        cond.signal()
    elif when == "locking":
        lock.lock()
        keep = in_loop(loop, cond.signal)
        keep2 = in_loop(loop, lambda: None)
        lock.unlock()
    elif when == "stopping":
        keep = in_loop(loop, cond.signal)
    went_on = task.done()
    loop.close()
    if when == "never" or went_on:
        cond.signal()
    follower.join()
    assert lock.try_lock()
    lock.unlock()
    del task
    assert len(ended) == went_on
    keep = keep2 = None  # noqa: F841


@pytest.mark.parametrize("when", WHEN)
def test_a_wait_group_and_a_join(loop, started, when):
    group, ch = sync.WaitGroup(), Chan()
    group.add()
    goroutine = go(ch.recv)
    started(group.await_, 2)
    started(goroutine.ajoin, 2)

    def end():
        group.done()
        ch.send(None)

    keep = None
    if when == "before":
        end()
    elif when == "stopping":
        keep = in_loop(loop, end)
    loop.close()
    if when == "never":
        end()
    group.wait()
    goroutine.join()
    group.add()  # nobody is counted as waiting for the round before
    group.done()
    group.wait()
    del keep


@pytest.mark.parametrize("when", WHEN)
def test_descriptors(loop, started, when):
    reader, writer = os.pipe()
    with net.listen("tcp", "127.0.0.1:0") as ln, net.dial("tcp", str(ln.addr)) as conn, ln.accept() as peer:
        started(lambda: runtime.await_read(reader))
        got = []
        started(lambda: conn.aread(), 2, got)

        def end():
            os.write(writer, b"x")
            peer.write(b"one")

        if when == "before":
            end()
        loop.close()
        if when != "before":
            end()
        runtime.wait_read(reader, timeout=10)
        conn.set_deadline(10)
        assert conn.read() == b"one"
        assert got == []
    os.close(reader)
    os.close(writer)


def test_the_others(loop, started):
    event = threading.Event()
    started(lambda: time.asleep(1000))
    started(lambda: time.asleep(float("inf")))
    started(lambda: ablocking(event.wait))
    started(lambda: aselect())
    loop.close()
    event.set()


def test_tasks_go_with_their_loop(loop, until):
    """Nothing else refers to them: they are destroyed, and let go of what they hold."""
    mutex, ch, ended = sync.Mutex(), Chan(), []

    async def body():
        async with mutex:
            try:
                await ch.arecv()
            finally:
                ended.append(1)

    async def main():
        loop.create_task(body())._log_destroy_pending = False
        while not mutex.locked():
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    loop.close()
    until(lambda: ended)
    assert mutex.lock(timeout=10) is None


def test_a_loop_that_runs_is_not_closed(loop):
    ch = Chan()

    async def main():
        task = loop.create_task(body())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            loop.close()
        await ch.asend(1)
        assert await task == 1

    async def body():
        return await ch.arecv()

    loop.run_until_complete(main())
    loop.close()
    loop.close()
    assert loop.is_closed()
    assert "close" not in vars(loop)


class World:
    """Channels and locks that tasks of loops share with goroutines and threads. Loops die, the world goes on."""

    def __init__(self, seed):
        self.rand = random.Random(seed)
        self.chans = [Chan(), Chan(), Chan(2)]
        self.mutex, self.rw = sync.Mutex(), sync.RWMutex()
        self.cond = sync.Cond(self.mutex)
        self.numbers = itertools.count()
        self.sent, self.got, self.tasks = [], [], []

    def send_all(self, n):
        for _ in range(n):
            value = next(self.numbers)
            self.rand.choice(self.chans).send(value)
            self.sent.append(value)
            with self.mutex:
                self.cond.signal()

    def receive_all(self):
        for ch in self.chans:
            self.got.extend(ch)

    async def body(self):
        one, other = self.rand.sample(self.chans, 2)
        while True:
            match self.rand.randrange(7):
                case 0:
                    self.got.append(await one.arecv())
                case 1:
                    self.got.append((await aselect(recv(one), recv(other), recv(one)))[1])
                case 2:
                    value = next(self.numbers)  # `sent` only if the task learns of it
                    await one.asend(value)
                    self.sent.append(value)
                case 3:
                    await self.mutex.alock()
                    self.mutex.unlock()
                case 4:
                    await self.rw.alock()
                    self.rw.unlock()
                case 5:
                    await self.rw.arlock()
                    self.rw.runlock()
                case 6:
                    await self.mutex.alock()
                    await self.cond.await_()
                    self.mutex.unlock()

    def live(self, loop, run):
        """A loop's life, of which a few of the tasks are still known afterwards."""
        for _ in range(10):
            task = loop.create_task(self.body())
            task._log_destroy_pending = False
            self.tasks.append(task)

        async def some_rounds():
            for _ in range(self.rand.randrange(1, 8)):
                await asyncio.sleep(0)

        run(lambda: loop.run_until_complete(some_rounds()))
        loop.close()
        self.rand.shuffle(self.tasks)
        del self.tasks[20:]


@pytest.mark.slow
@pytest.mark.parametrize("procs", [1, 2, 8])
@pytest.mark.parametrize("seed", range(2))
def test_what_is_shared_with_tasks_that_die(gomaxprocs, new_event_loop, procs, seed):
    """Every value that was sent is received, once, and every lock is free at the end."""
    gomaxprocs(procs)
    world = World(seed)
    senders = [go(world.send_all, 300) for _ in range(2)]
    thread = threading.Thread(target=world.send_all, args=(300,))
    thread.start()
    with ThreadPoolExecutor(1) as pool:  # its thread lives on, and waits in C, as its loops are closed
        while thread.is_alive() or any(sender.state != "dead" for sender in senders):
            world.live(new_event_loop(), lambda run: run())
            world.live(new_event_loop(), lambda run: pool.submit(run).result())
            time.sleep(0.0001)
            _, value, received = select(*map(recv, world.chans), default)
            if received and value is not None:
                world.got.append(value)
    thread.join()
    for ch in world.chans:
        ch.close()
    world.receive_all()
    assert len(set(world.got)) == len(world.got)
    assert set(world.sent) <= set(world.got)
    world.mutex.lock(timeout=10)
    world.rw.lock(timeout=10)


def test_a_closed_loop_leaves_no_descriptor(new_event_loop, until):
    """Also one with a task in Cond.await_, which is kept for good, as it must not go on without its lock."""
    cond = sync.Cond(sync.Mutex())

    async def waits():
        async with cond.L:
            await cond.await_()

    def live():
        loop = new_event_loop()
        task = loop.create_task(waits())
        task._log_destroy_pending = False
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    live()
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        live()
    until(lambda: gc.collect() >= 0 and len(os.listdir("/proc/self/fd")) <= before)


@pytest.mark.parametrize("how", ["received", "cancelled", "waiting"])
def test_closing_a_loop_closes_its_descriptor(how, new_event_loop, until):
    """Whatever still refers to the loop, and without the collector."""
    ch = Chan()
    tasks, loops = [], []

    async def body():
        task = asyncio.ensure_future(receive())
        tasks.append(task)
        await asyncio.sleep(0)
        if how == "received":
            go(ch.send, 1)
            await task
        elif how == "cancelled":
            task.cancel()
            await asyncio.wait([task])
        task._log_destroy_pending = False

    async def receive():
        await ch.arecv()

    def live():
        loops.append(new_event_loop())
        loops[-1].run_until_complete(body())
        loops[-1].close()

    live()
    before = len(os.listdir("/proc/self/fd"))
    gc.disable()
    try:
        for _ in range(10):
            live()
        until(lambda: len(os.listdir("/proc/self/fd")) <= before)
    finally:
        gc.enable()
