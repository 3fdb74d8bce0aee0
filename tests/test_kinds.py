"""Goroutines of all kinds, plain threads and asyncio tasks on the same channels: every pair of kinds."""

import contextlib
import itertools
import random
import socket
import threading

import pytest
from kinds import KINDS, Blocking

import gopy
from gopy import (
    Chan,
    ClosedChannelError,
    errgroup,
    go,
    net,
    recv,
    runtime,
    semaphore,
    send,
    singleflight,
    sync,
    time,
)

PAIRS = list(itertools.product(KINDS, KINDS))


pairs = pytest.mark.parametrize(("one", "other"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
each = pytest.mark.parametrize("kind", KINDS)


@pairs
@pytest.mark.parametrize("capacity", [0, 3])
def test_values_arrive_in_order(kinds, one, other, capacity):
    ch, got = Chan(capacity), []

    async def sender(how):
        for i in range(50):
            await how.send(ch, i)
        ch.close()

    async def receiver(how):
        async for value in how.range(ch):
            got.append(value)

    kinds.start(one, sender)
    kinds.start(other, receiver)
    kinds.join()
    assert got == list(range(50))


@pairs
def test_round_trips(kinds, one, other):
    ping, pong = Chan(), Chan()

    async def ask(how):
        for i in range(50):
            await how.send(ping, i)
            assert await how.recv_ok(pong) == (i, True)
        ping.close()

    async def answer(how):
        async for value in how.range(ping):
            await how.send(pong, value)

    kinds.start(one, ask)
    kinds.start(other, answer)
    kinds.join()


@pairs
def test_select_meets_select(kinds, one, other):
    a, b = Chan(), Chan(1)
    counts = {"sent": 0, "received": 0}

    async def sends(how):
        for i in range(60):
            await how.select(send(a, i), send(b, i))
            counts["sent"] += 1
        await how.select(recv(stop))

    async def receives(how):
        for _ in range(60):
            _, _, ok = await how.select(recv(a), recv(b))
            assert ok
            counts["received"] += 1
        await how.select(send(stop, None))

    stop = Chan()
    kinds.start(one, sends)
    kinds.start(other, receives)
    kinds.join()
    assert counts == {"sent": 60, "received": 60}


@pairs
def test_close_wakes_both(kinds, one, other):
    ch, idle = Chan(), Chan()

    async def receiver(how):
        assert await how.recv_ok(ch) == (None, False)
        with pytest.raises(ClosedChannelError):
            await how.send(idle, 1)

    async def selector(how):
        assert await how.select(recv(ch), recv(Chan())) == (0, None, False)
        with pytest.raises(ClosedChannelError):
            await how.select(send(idle, 1), recv(Chan()))

    kinds.start(one, receiver)
    kinds.start(other, selector)
    time.sleep(0.001)
    ch.close()
    time.sleep(0.001)
    idle.close()
    kinds.join()


@pairs
def test_waiters_of_both_kinds_are_served_first_come_first_served(kinds, one, other, until):
    ch, got, queued = Chan(), [], Chan(100)

    async def receiver(how, i):
        queued.send(None)
        got.append((i, await how.recv(ch)))

    for i, kind in enumerate([one, other] * 3):
        handle = kinds.start(kind, receiver, i)
        queued.recv()
        if kind in ("task", "thread"):
            time.sleep(0.003)  # between the line above and its place in the queue nothing can be seen
        else:
            until(lambda handle=handle: handle.state == "chan receive")
    for i in range(6):
        ch.send(i)
    kinds.join()
    if "task" not in (one, other) and "thread" not in (one, other):
        assert sorted(got) == [(i, i) for i in range(6)]
    assert sorted(value for _, value in got) == list(range(6))


@each
def test_each_kind_sleeps_yields_and_joins(kinds, kind):
    async def body(how):
        await how.sleep(0.002)
        await how.gosched()
        goroutine = go(time.sleep, 0.002)
        await how.join(goroutine)
        assert goroutine.state == "dead"

    kinds.start(kind, body)
    kinds.join()


# Timeouts


def full():
    ch = Chan(1)
    ch.send(1)
    return ch


def held(lock, how="lock"):
    getattr(lock, how)()
    return lock


def counted():
    group = sync.WaitGroup()
    group.add()
    return group


def notify(cond):
    with cond.L:
        cond.broadcast()


def reading():
    ours, theirs = socket.socketpair()
    return runtime, "wait_read", (ours,), theirs.close


def writing():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while ours.send(bytes(65536)):
            pass
    return runtime, "wait_write", (ours,), theirs.close


# A call that waits: what it is a call of, its name and arguments, and what lets it go on.
WAITS = {
    "send": lambda: (ch := full(), "send", (2,), ch.recv),
    "recv": lambda: (ch := Chan(), "recv", (), lambda: go(ch.send, 1)),
    "recv_ok": lambda: (ch := Chan(), "recv_ok", (), lambda: go(ch.send, 1)),
    "select": lambda: (gopy, "select", (recv(ch := Chan()), recv(Chan())), lambda: go(ch.send, 1)),
    "join": lambda: (go((ch := Chan()).recv_ok), "join", (), ch.close),
    "Mutex.lock": lambda: (lock := held(sync.Mutex()), "lock", (), lock.unlock),
    "RWMutex.lock": lambda: (lock := held(sync.RWMutex(), "rlock"), "lock", (), lock.runlock),
    "RWMutex.rlock": lambda: (lock := held(sync.RWMutex()), "rlock", (), lock.unlock),
    "rlocker.lock": lambda: ((lock := held(sync.RWMutex())).rlocker(), "lock", (), lock.unlock),
    "WaitGroup.wait": lambda: (group := counted(), "wait", (), group.done),
    "Cond.wait": lambda: (cond := sync.Cond(held(sync.Mutex())), "wait", (), lambda: go(notify, cond)),
    "wait_read": reading,
    "wait_write": writing,
}


@each
@pytest.mark.parametrize("make", WAITS.values(), ids=WAITS)
def test_each_kind_waits_for_so_long(kinds, kind, make):
    owner, name, args, let_go_on = make()

    async def body(how):
        for timeout in (0, 0.002):
            with pytest.raises(TimeoutError):
                await how.call(owner, name, *args, timeout=timeout)
        let_go_on()
        await how.call(owner, name, *args, timeout=20)
        with pytest.raises(TypeError, match="`timeout` must be"):
            await how.call(owner, name, *args, timeout="1")

    kinds.start(kind, body)
    kinds.join()
    for arg in args:
        if isinstance(arg, socket.socket):
            arg.close()


# sync


@pairs
def test_a_mutex_excludes(kinds, one, other):
    mutex, inside, total = sync.Mutex(), [], []

    async def body(how):
        for i in range(30):
            await how.lock(mutex)
            inside.append(1)
            assert len(inside) == 1
            if i % 7 == 0:
                await how.gosched()
            inside.pop()
            total.append(1)
            mutex.unlock()

    for kind in (one, other, one, other):
        kinds.start(kind, body)
    kinds.join()
    assert len(total) == 120
    assert not mutex.locked()


@pairs
def test_an_rwmutex_lets_readers_in_together_and_a_writer_alone(kinds, one, other):
    rw, readers, writers = sync.RWMutex(), [], []

    async def reader(how):
        for _ in range(20):
            await how.rlock(rw)
            readers.append(1)
            assert not writers
            await how.gosched()
            readers.pop()
            rw.runlock()

    async def writer(how):
        for _ in range(20):
            await how.lock(rw)
            writers.append(1)
            assert len(writers) == 1
            assert not readers
            await how.gosched()
            writers.pop()
            rw.unlock()

    for kind in (one, other):
        kinds.start(kind, reader)
        kinds.start(kind, reader)
        kinds.start(kind, writer)
    kinds.join()


@pairs
def test_a_waitgroup_and_a_cond_wake_both(kinds, one, other):
    group, mutex = sync.WaitGroup(), sync.Mutex()
    cond, items, got = sync.Cond(mutex), [], []
    group.add(2)

    async def consumer(how):
        for _ in range(20):
            await how.lock(mutex)
            while not items:
                await how.wait(cond)
                assert mutex.locked()
            got.append(items.pop())
            mutex.unlock()
        group.done()

    async def waiter(how):
        await how.wait(group)
        assert len(got) == 40

    kinds.start(one, consumer)
    kinds.start(other, consumer)
    kinds.start(one, waiter)
    kinds.start(other, waiter)
    for i in range(40):
        with mutex:
            items.append(i)
        cond.signal()
        if i % 5 == 0:
            time.sleep(0.0002)
    kinds.join()
    assert sorted(got) == list(range(40))


@each
def test_each_kind_blocks(kinds, kind):
    def fn(x):
        return threading.get_ident(), x + 1

    def fail():
        raise ValueError("fn")

    async def body(how):
        me = threading.get_ident()
        ident, value = await how.blocking(fn, 1)
        assert (ident != me, value) == (True, 2)
        with pytest.raises(ValueError, match="fn"):
            await how.blocking(fail)
        assert len([await how.blocking(fn, i) for i in range(20)]) == 20

    kinds.start(kind, body)
    kinds.join()


@pytest.mark.parametrize("procs", [1, 2, 4, 8])
def test_random_programs_of_all_kinds_lose_nothing(kinds, gomaxprocs, procs):
    """Producers and consumers of random kinds on a few channels; those that can are timed out or cancelled."""
    gomaxprocs(procs)
    seed = random.randrange(10**9)
    print("seed", seed)
    rand = random.Random(seed)
    for _ in range(6):
        chans = [Chan(rand.choice((0, 0, 1, 5))) for _ in range(rand.randint(1, 3))]
        n, values, got, quit_ = 40, 0, Chan(10_000), Chan()

        async def produce(how, base, rand, chans=chans, n=n):
            for i in range(n):
                if rand.random() < 0.3:
                    await how.select(*(send(ch, base + i) for ch in chans))
                elif rand.random() < 0.3 and isinstance(how, Blocking):
                    ch = rand.choice(chans)
                    while True:
                        try:
                            ch.send(base + i, timeout=rand.choice((0, 1e-5, 1e-3)))
                            break
                        except TimeoutError:
                            await how.gosched()
                else:
                    await how.send(rand.choice(chans), base + i)
                if rand.random() < 0.1:
                    await how.gosched()

        async def consume(how, rand, chans=chans, got=got, quit_=quit_):
            while True:
                i, value, _ = await how.select(recv(quit_), *(recv(ch) for ch in chans))
                if i == 0:
                    return
                got.send(value)
                if rand.random() < 0.1:
                    await how.sleep(rand.choice((0, 1e-5, 2e-4)))

        async def take_one(how, rand, chans=chans, got=got, quit_=quit_):
            got.send(await how.recv(rand.choice(chans)))

        for kind in rand.choices(KINDS, k=rand.randint(2, 6)):
            kinds.start(kind, produce, values, random.Random(rand.random()))
            values += n
        for kind in rand.choices(KINDS, k=rand.randint(2, 6)):
            kinds.start(kind, consume, random.Random(rand.random()))
        received = []
        for _ in range(values):
            if rand.random() < 0.2:
                # A task that takes one value, or is cancelled before it has: then the value is somebody else's.
                kinds.start("task", take_one, random.Random(rand.random())).cancel()
            received.append(got.recv(timeout=20))
        assert sorted(received) == list(range(values))
        quit_.close()
        kinds.join()


@pairs
def test_a_semaphore_and_a_group_with_a_limit_serve_both(kinds, one, other):
    sem, group, inside, most = semaphore.Weighted(2), errgroup.Group(), [], []
    group.set_limit(2)

    async def body(how):
        for i in range(20):
            await how.call(sem, "acquire", n=1 + i % 2)
            inside.append(1)
            most.append(len(inside))
            await how.gosched()
            inside.pop()
            sem.release(1 + i % 2)
            await how.call(group, "go", time.sleep, 0)
            await how.call(group, "go", stepping, 0)

    async def stepping(seconds):
        await time.asleep(seconds)

    for kind in (one, other, one, other):
        kinds.start(kind, body)
    kinds.join()
    assert max(most) <= 2
    assert sem.try_acquire(2)

    async def wait(how):
        await how.call(group, "wait")

    kinds.start(one, wait)
    kinds.start(other, wait)
    kinds.join()
    group.set_limit(0)


@pairs
def test_both_kinds_share_a_call(kinds, one, other, until):
    group, go_on, results = singleflight.Group(), Chan(), Chan(4)
    once, called = sync.Once(), []

    async def do(how):
        await how.call(once, "do", lambda: called.append(1))
        # What is awaited is to be awaited by the one kind, and not by the other.
        wait = go_on.recv_ok if isinstance(how, Blocking) else go_on.arecv_ok
        results.send(await how.call(group, "do", "key", wait))

    for kind in (one, other, one, other):
        kinds.start(kind, do)
    until(lambda: "key" in group._calls and group._calls["key"].dups == 3)
    go_on.close()
    kinds.join()
    assert [results.recv() for _ in range(4)] == [((None, False), True)] * 4
    assert called == [1]


# net


@pairs
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_both_kinds_meet_on_a_connection(kinds, one, other, secure, certificates):
    data = random.Random(1).randbytes(100_000)
    ready = Chan(1)

    async def serve(how):
        tls = certificates.context(server_side=True) if secure else None
        listener = await how.call(net, "listen", "tcp", "127.0.0.1:0", tls=tls)
        await how.send(ready, str(listener.addr))
        conn = await how.call(listener, "accept")
        buffer = bytearray(5)
        assert await how.call(conn, "read_into", buffer) == 5
        assert await how.call(conn, "write", buffer) == 5
        assert await how.call(conn, "read_full", len(data)) == data
        assert await how.call(conn, "read") == b""
        await how.call(conn, "write", data)
        await how.call(conn, "close")
        listener.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            await how.call(listener, "accept")

    async def dial(how):
        address = await how.recv(ready)
        conn = await how.call(net, "dial", "tcp", address, timeout=20)
        if secure:
            conn = await how.call(conn, "start_tls", certificates.context(), server_hostname="localhost")
        await how.call(conn, "write", b"hello")
        assert await how.call(conn, "read_full", 5) == b"hello"
        assert await how.call(conn, "write", data) == len(data)
        await how.call(conn, "close_write")
        assert await how.call(conn, "read_full", len(data)) == data
        with pytest.raises(EOFError):
            await how.call(conn, "read_full", 1)
        await how.call(conn, "close")

    kinds.start(one, serve)
    kinds.start(other, dial)
    kinds.join()


@each
def test_each_kind_dials_with_tls_and_is_told_what_fails(kinds, kind, certificates):
    async def body(how):
        tls = certificates.context(server_side=True)
        with await how.call(net, "listen", "tcp", "127.0.0.1:0", tls=tls) as listener:
            serving = go(listener.serve, lambda conn: conn.write(conn.read()))
            conn = await how.call(
                net, "dial", "tcp", f"localhost:{listener.addr.port}", tls=certificates.context()
            )
            await how.call(conn, "write", b"x")
            assert await how.call(conn, "read") == b"x"
            await how.call(conn, "close")
        await how.join(serving)
        with pytest.raises(ConnectionRefusedError, match="dial tcp"):
            await how.call(net, "dial", "tcp", str(listener.addr))
        with pytest.raises(ValueError, match="network"):
            await how.call(net, "dial", "tpc", "localhost:1")
        with pytest.raises(TypeError, match="`timeout`"):
            await how.call(net, "dial", "tcp", "localhost:1", timeout="1")
        assert "127.0.0.1" in await how.call(net, "lookup_host", "127.0.0.1")

    kinds.start(kind, body)
    kinds.join()


@pairs
def test_both_kinds_exchange_datagrams(kinds, one, other):
    a, b = Chan(1), Chan(1)

    async def talk(how, mine, theirs, first):
        packets = await how.call(net, "listen_packet", "udp", "127.0.0.1:0")
        await how.send(mine, packets.local_addr)
        to = await how.recv(theirs)
        if first:
            assert await how.call(packets, "write_to", b"ping", to) == 4
            assert await how.call(packets, "read_from") == (b"pong", to)
        else:
            assert await how.call(packets, "read_from", n=100) == (b"ping", to)
            await how.call(packets, "write_to", b"pong", str(to))
        packets.close()

    kinds.start(one, talk, a, b, True)
    kinds.start(other, talk, b, a, False)
    kinds.join()
