"""Package sync: Mutex, RWMutex, WaitGroup, Once, Cond, Pool, Map, once_func, once_value."""

import gc
import random
import sys
import weakref

import pytest
from starters import STARTERS, in_thread

from gopy import Chan, Panic, atomic, go, runtime, sync
from gopy import time as gotime

GIL = runtime.stats()["gil"]


# Mutex


def test_mutex_states():
    m = sync.Mutex()
    assert not m.locked()
    assert m.lock() is None
    assert m.locked()
    assert not m.try_lock()
    assert m.unlock() is None
    assert m.try_lock()
    m.unlock()
    assert not m.locked()
    with m as nothing:
        assert nothing is None
        assert m.locked()
    assert not m.locked()


def test_mutex_is_released_by_an_exception():
    m = sync.Mutex()
    with pytest.raises(KeyError):
        with m:
            raise KeyError
    assert not m.locked()


def test_unlock_of_unlocked_keeps_the_first_exception():
    m = sync.Mutex()
    with pytest.raises(Panic, match="^sync: unlock of unlocked mutex$") as info:
        with m:
            m.unlock()
            raise KeyError("first")
    assert isinstance(info.value.__context__, KeyError)
    assert not m.locked()


def test_any_goroutine_may_unlock(in_goroutine):
    m = sync.Mutex()
    m.lock()
    in_goroutine(m.unlock)
    assert m.try_lock()


@STARTERS
def test_mutex_excludes(start, until):
    m, inside, most, rounds = sync.Mutex(), 0, 0, 200

    def body():
        nonlocal inside, most
        for i in range(rounds):
            with m:
                inside += 1
                most = max(most, inside)
                if i % 10 == 0:
                    gotime.sleep(0)
                inside -= 1

    for g in [start(body) for _ in range(8)]:
        g.join()
    assert (inside, most) == (0, 1)
    assert not m.locked()


def test_lock_says_why_it_waits(until):
    m = sync.Mutex()
    m.lock()
    g = go(m.lock)
    until(lambda: g.state == "sync.Mutex.Lock")
    m.unlock()
    g.join()
    m.unlock()


def test_a_waiter_gets_the_mutex_in_its_turn(until):
    """Those who wait while the mutex is held across waits get it in their order."""
    m, got = sync.Mutex(), []

    def body(i):
        with m:
            got.append(i)
            gotime.sleep(0.002)

    m.lock()
    gs = []
    for i in range(6):
        gs.append(go(body, i))
        until(lambda: gs[-1].state == "sync.Mutex.Lock")
    m.unlock()
    for g in gs:
        g.join()
    assert got == list(range(6))


def test_nobody_starves(until):
    """A goroutine that always has the mutex again at once does not keep others from it: see TestMutexFairness."""
    m, stop = sync.Mutex(), False

    def hog():
        while not stop:
            with m:
                gotime.sleep(0.0002)

    g = go(hog)
    until(m.locked)
    for _ in range(20):
        m.lock(timeout=10)
        m.unlock()
    stop = True
    g.join()


def test_mutex_timeout(until):
    m = sync.Mutex()
    m.lock()
    for timeout in (0, -1, 0.001, 1e-9):
        with pytest.raises(TimeoutError):
            m.lock(timeout=timeout)
    m.unlock()
    m.lock(timeout=0)  # it is free: no need to wait
    waiter = go(m.lock)
    until(lambda: waiter.state == "sync.Mutex.Lock")
    with pytest.raises(TimeoutError):
        m.lock(timeout=0.001)
    m.unlock()
    waiter.join()
    m.unlock()
    assert not m.locked()


def test_timed_out_waiters_leave_nothing_behind():
    m, failed = sync.Mutex(), []

    def body():
        try:
            m.lock(timeout=0.002)
        except TimeoutError:
            failed.append(1)

    m.lock()
    for g in [go(body) for _ in range(50)]:
        g.join()
    assert len(failed) == 50
    m.unlock()
    m.lock(timeout=0)
    m.unlock()


def test_kinds_of_waiters_at_once(until):
    m, done = sync.Mutex(), atomic.Int32()

    def body():
        with m:
            done.add(1)

    m.lock()
    waiters = [start(body) for start in (go, in_thread) * 5]
    until(lambda: sum(g.state == "sync.Mutex.Lock" for g in waiters[::2]) == 5)
    assert done.load() == 0
    m.unlock()
    # The goroutines first: some have started on this thread, which the join of a thread blocks.
    for g in waiters[::2] + waiters[1::2]:
        g.join()
    assert done.load() == 10


# RWMutex


def test_rwmutex_is_a_mutex():
    rw = sync.RWMutex()
    assert isinstance(rw, sync.Mutex)
    sync.Mutex.lock(rw)
    assert rw.locked() and sync.Mutex.locked(rw)
    assert not rw.try_rlock() and not sync.Mutex.try_lock(rw)
    sync.Mutex.unlock(rw)
    assert not rw.locked() and not sync.Mutex.locked(rw)
    with pytest.raises(Panic, match="^sync: Unlock of unlocked RWMutex$"):
        sync.Mutex.unlock(rw)
    rw.rlock()
    assert not sync.Mutex.try_lock(rw)
    rw.runlock()
    with rw:
        assert rw.locked()
    with pytest.raises(TimeoutError), rw:
        sync.Mutex.lock(rw, timeout=0)


def test_rwmutex_misuse():
    rw = sync.RWMutex()
    for call, message in (
        (rw.unlock, "^sync: Unlock of unlocked RWMutex$"),
        (rw.runlock, "^sync: RUnlock of unlocked RWMutex$"),
        (rw.rlocker().unlock, "^sync: RUnlock of unlocked RWMutex$"),
    ):
        with pytest.raises(Panic, match=message):
            call()
    assert rw.try_lock()


def test_readers_read_together(until):
    rw, gate = sync.RWMutex(), Chan()
    reading = atomic.Int32()

    def reader():
        with rw.rlocker():
            reading.add(1)
            gate.recv()

    readers = [start(reader) for start in (go, in_thread) * 5]
    until(lambda: reading.load() == 10)
    assert not rw.try_lock()
    assert not rw.locked()
    gate.close()
    for g in readers:
        g.join()
    assert rw.try_lock()


def test_a_waiting_writer_holds_back_readers(until):
    rw, order = sync.RWMutex(), []

    def write():
        with rw:
            order.append("writer")

    def read():
        with rw.rlocker():
            order.append("reader")

    rw.rlock()
    writer = go(write)
    until(lambda: writer.state == "sync.RWMutex.Lock")
    assert not rw.try_rlock()
    reader = go(read)
    until(lambda: reader.state == "sync.RWMutex.RLock")
    assert order == []
    rw.runlock()
    writer.join()
    reader.join()
    assert order == ["writer", "reader"]


def test_readers_come_between_two_writers(until):
    rw, order = sync.RWMutex(), []

    def body(name, lock, unlock):
        lock()
        order.append(name)
        unlock()

    rw.lock()
    gs = []
    for name in ("w1", "w2"):
        gs.append(go(body, name, rw.lock, rw.unlock))
        until(lambda: gs[-1].state == "sync.RWMutex.Lock")
    for name in ("r1", "r2"):
        gs.append(go(body, name, rw.rlock, rw.runlock))
        until(lambda: gs[-1].state == "sync.RWMutex.RLock")
    rw.unlock()
    for g in gs:
        g.join()
    assert sorted(order[:2]) == ["r1", "r2"]
    assert order[2:] == ["w1", "w2"]


def test_a_writer_that_gives_up_lets_readers_in(until):
    rw, failed, read = sync.RWMutex(), [], []

    def write():
        try:
            rw.lock(timeout=0.05)
        except TimeoutError:
            failed.append(1)

    rw.rlock()
    writer = go(write)
    until(lambda: writer.state == "sync.RWMutex.Lock" or failed)  # this thread may be held up for as long
    reader = go(lambda: (rw.rlock(), read.append(1), rw.runlock()))
    writer.join()
    reader.join()
    assert failed and read
    rw.runlock()
    rw.lock(timeout=0)
    for call in (rw.rlock, rw.rlocker().lock, rw.lock):
        with pytest.raises(TimeoutError):
            call(timeout=0.001)
    rw.unlock()
    assert "readers=0" in repr(rw)


def test_rlocker():
    rw = sync.RWMutex()
    rl = rw.rlocker()
    assert rl == rw.rlocker() and hash(rl) == hash(rw.rlocker())
    assert rl != sync.RWMutex().rlocker() and rl != rw
    with rl, rl:
        assert "readers=2" in repr(rw)
    assert rw.try_lock()


# WaitGroup


def test_wait_returns_at_zero(until):
    wg = sync.WaitGroup()
    wg.wait()
    wg.add()
    wg.add(2)
    waiters = [go(wg.wait) for _ in range(3)] + [in_thread(wg.wait)]
    until(lambda: all(g.state == "sync.WaitGroup.Wait" for g in waiters[:3]))
    wg.done()
    wg.add(delta=-1)
    assert waiters[0].state == "sync.WaitGroup.Wait"
    wg.done()
    for g in waiters:
        g.join()


def test_negative_counter_changes_nothing(until):
    wg = sync.WaitGroup()
    wg.add(2)
    waiter = go(wg.wait)
    until(lambda: waiter.state == "sync.WaitGroup.Wait")
    with pytest.raises(Panic, match="^sync: negative WaitGroup counter$"):
        wg.add(-3)
    assert "counter=2" in repr(wg)
    wg.add(-2)
    waiter.join()


def test_counter_limits():
    wg = sync.WaitGroup()
    for delta in (2**31, -(2**31), 2**63, -(2**70)):
        with pytest.raises(ValueError, match="`delta` is out of range"):
            wg.add(delta)
    wg.add(2**31 - 1)
    with pytest.raises(ValueError, match="`delta` is out of range"):
        wg.add(1)
    wg.add(-(2**31 - 1))
    wg.wait()


def test_wait_timeout():
    wg = sync.WaitGroup()
    wg.add()
    for timeout in (0, -1, 0.001):
        with pytest.raises(TimeoutError):
            wg.wait(timeout=timeout)
    wg.done()
    wg.wait(timeout=0)
    assert "counter=0" in repr(wg)


def test_reuse_before_wait_has_returned(gomaxprocs, until):
    """
    Go detects it where it can.

    With one P the waiter does not return in between, but where the system holds this thread up
    there for longer than a time slice. Without a GIL it may run on another thread at once.
    """
    gomaxprocs(1)
    seen = []

    def waiter(wg):
        try:
            wg.wait()
        except Panic as panic:
            seen.append(str(panic))

    def reuse():
        wg = sync.WaitGroup()
        wg.add()
        g = go(waiter, wg)
        until(lambda: g.state == "sync.WaitGroup.Wait")
        wg.done()
        wg.add()
        g.join()
        wg.done()

    reuse()
    while GIL and not seen:
        reuse()
    assert seen in ([], ["sync: WaitGroup is reused before previous Wait has returned"])


def test_wait_group_go_passes_arguments_and_kinds():
    wg, got = sync.WaitGroup(), []

    async def coroutine(x):
        got.append(x)
        await runtime.agosched()
        got.append(x)

    def generator(x):
        yield runtime.agosched()
        got.append(x)

    wg.go(got.append, 1)
    wg.go(lambda *args, **kwargs: got.append((args, kwargs)), 2, 3, key=4)
    wg.go(lambda: got.append("none"))
    wg.go(coroutine, "c")
    wg.go(generator, "g")
    wg.go(coroutine("d"))
    assert wg.wait() is None
    expected = [1, ((2, 3), {"key": 4}), "none", "c", "c", "g", "d", "d"]
    assert sorted(map(str, got)) == sorted(map(str, expected))


def test_wait_group_go_of_what_cannot_run():
    wg = sync.WaitGroup()
    for bad in (3, None):
        with pytest.raises(TypeError, match="`fn` must be callable"):
            wg.go(bad)
    with pytest.raises(TypeError, match="missing"):
        wg.go()
    wg.wait(timeout=0)


def test_wait_group_go_is_done_however_it_ends():
    """Also by a panic that a handler takes: the counter does not stay up."""
    wg, seen = sync.WaitGroup(), []

    def handler(goroutine, exc):
        seen.append((goroutine.name, str(exc), repr(wg).endswith("counter=1>")))
        return True

    def panics():
        raise ValueError("x")

    async def apanics():
        raise ValueError("y")

    before = runtime.set_panic_handler(handler)
    try:
        for fn in (panics, runtime.goexit, apanics):
            wg.go(fn)
            wg.wait(timeout=10)
    finally:
        runtime.set_panic_handler(before)
    assert [text for _, text, _ in seen] == ["x", "y"]
    assert all(reported_first for _, _, reported_first in seen)


def test_wait_group_go_done_once_too_often(until):
    wg, seen = sync.WaitGroup(), []
    before = runtime.set_panic_handler(lambda goroutine, exc: seen.append(str(exc)) or True)
    try:
        done = Chan()
        wg.go(lambda: (wg.done(), done.close()))
        done.recv()
        until(lambda: seen)
    finally:
        runtime.set_panic_handler(before)
    assert seen == ["sync: negative WaitGroup counter"]


# Objects


KINDS = [sync.Mutex, sync.RWMutex, sync.WaitGroup, sync.Once, sync.Map]


@pytest.mark.parametrize("kind", KINDS)
def test_objects(kind):
    with pytest.raises(TypeError, match="takes no arguments"):
        kind(1)
    with pytest.raises(TypeError):
        kind(x=1)

    class Sub(kind):
        def __init__(self, value):
            self.value = value

    o = Sub(3)
    assert o.value == 3
    assert weakref.ref(o)() is o
    assert weakref.ref(kind()) is not None
    assert kind.__module__ == "gopy.sync"


BAD_CALLS = [
    ("lock() got an unexpected keyword argument 'x'", lambda: sync.Mutex().lock(x=1)),
    ("lock() takes 0 positional arguments but 1 was given", lambda: sync.Mutex().lock(1)),
    ("`timeout` must be a number of seconds or None, got str", lambda: sync.Mutex().lock(timeout="1")),
    ("`timeout` must be a number of seconds or None, got str", lambda: sync.RWMutex().rlock(timeout="1")),
    ("`timeout` must be a number of seconds or None, got str", lambda: sync.WaitGroup().wait(timeout="1")),
    ("wait() got an unexpected keyword argument 'x'", lambda: sync.Cond(sync.Mutex()).wait(x=1)),
    ("`delta` must be an int, got float", lambda: sync.WaitGroup().add(1.0)),
    ("add() got an unexpected keyword argument 'x'", lambda: sync.WaitGroup().add(x=1)),
    ("add() takes at most 1 argument (2 given)", lambda: sync.WaitGroup().add(1, 2)),
    ("store() takes 2 positional arguments but 1 was given", lambda: sync.Map().store(1)),
    ("compare_and_swap() takes 3 positional arguments but 0 were given", sync.Map().compare_and_swap),
]


@pytest.mark.parametrize(("message", "call"), BAD_CALLS, ids=[text for text, _ in BAD_CALLS])
def test_bad_calls(message, call):
    with pytest.raises(TypeError) as info:
        call()
    assert str(info.value) == message


def test_cycles_are_collected():
    class Sub(sync.RWMutex):
        pass

    refs = []
    for make in (
        lambda: sync.Cond(sync.Mutex()),
        sync.Map,
        Sub,
    ):
        o = make()
        if isinstance(o, sync.Cond):
            m = type("M", (sync.Mutex,), {})()
            m.cond = o
            o.L = m
        elif isinstance(o, sync.Map):
            o.store("self", o)
        else:
            o.reader = o.rlocker()
        refs.append(weakref.ref(o))
    del o, m
    gc.collect()
    assert [ref() for ref in refs] == [None] * 3


@pytest.mark.skipif(not GIL, reason="reference counts are exact only with a GIL")
def test_reference_counts_are_flat(until):
    class Value:
        pass

    value, m, rw, wg = Value(), sync.Mutex(), sync.RWMutex(), sync.WaitGroup()
    cond, once, pool, smap = sync.Cond(m), sync.Once(), sync.Pool(), sync.Map()

    def nothing(*args, **kwargs):
        pass

    def attempt(call):
        try:
            call()
        except (TimeoutError, Panic, TypeError, KeyError):
            pass

    def fail():
        raise KeyError(value)

    def everything(n):
        for _ in range(n):
            with m, rw:
                attempt(lambda: m.lock(timeout=0))
                attempt(lambda: m.lock(timeout=1e-9))
                attempt(lambda: rw.rlock(timeout=1e-9))
                attempt(lambda: cond.wait(timeout=1e-9))
            with rw.rlocker():
                attempt(lambda: rw.lock(timeout=1e-9))
            attempt(m.unlock)
            attempt(cond.wait)
            attempt(lambda: wg.add(value))
            wg.go(nothing, value, key=value)
            wg.go(nothing)
            attempt(lambda: wg.go(value))
            wg.wait()
            once.do(lambda: value)
            attempt(lambda: sync.Once().do(fail))
            attempt(sync.once_func(fail))
            sync.once_value(lambda: value)()
            pool.put(value)
            pool.get()
            smap.store(value, value)
            smap.swap(value, value)
            smap.load(value), smap.load_or_store(value, value), smap.load_or_store(1, value)
            smap.compare_and_swap(value, value, value), smap.compare_and_delete(1, 2)
            smap.range(lambda k, v: True), list(smap.items())
            smap.load_and_delete(1), smap.delete(value), smap.delete(value)
            smap.store(value, value)
            smap.clear()

    everything(20)
    gc.collect()
    before = [sys.getrefcount(o) for o in (value, m, rw, wg, cond, smap, sync.RWMutex)]
    everything(1000)
    gc.collect()
    assert [sys.getrefcount(o) for o in (value, m, rw, wg, cond, smap, sync.RWMutex)] == before


# Everything at once


@pytest.mark.parametrize("procs", [1, 2, 8])
@pytest.mark.parametrize("seed", range(3))
def test_random_programs(gomaxprocs, procs, seed):
    """Goroutines and threads on shared locks, with timeouts: what they guard stays whole."""
    gomaxprocs(procs)
    rounds = 120
    mutexes = [sync.Mutex() for _ in range(2)]
    rws = [sync.RWMutex() for _ in range(2)]
    inside = [0, 0]  # how many hold the mutex; never more than one
    readers, writers = [0, 0], [0, 0]
    counting = [sync.Mutex(), sync.Mutex()]  # of readers
    items, queue_lock = [], sync.Mutex()
    nonempty = sync.Cond(queue_lock)
    produced, consumed = atomic.Int64(), atomic.Int64()
    wrong = []

    def check(ok, what):
        if not ok:
            wrong.append(what)

    def pause(rand):
        match rand.randrange(8):
            case 0:
                gotime.sleep(rand.random() / 5000)
            case 1:
                gotime.sleep(0)

    def use_mutex(rand, timeout):
        i = rand.randrange(2)
        mutexes[i].lock(timeout=timeout)
        inside[i] += 1
        check(inside[i] == 1, "mutex")
        pause(rand)
        inside[i] -= 1
        mutexes[i].unlock()

    def use_rw(rand, timeout):
        i = rand.randrange(2)
        if rand.random() < 0.3:
            rws[i].lock(timeout=timeout)
            writers[i] += 1
            check(writers[i] == 1 and readers[i] == 0, "writer")
            pause(rand)
            check(readers[i] == 0, "reader beside writer")
            writers[i] -= 1
            rws[i].unlock()
        else:
            rws[i].rlock(timeout=timeout)
            with counting[i]:
                readers[i] += 1
            check(writers[i] == 0, "writer beside reader")
            pause(rand)
            with counting[i]:
                readers[i] -= 1
            rws[i].runlock()

    def use_cond(rand, timeout):
        if rand.random() < 0.5:
            with queue_lock:
                items.append(1)
                produced.add(1)
            nonempty.signal()
        else:
            with queue_lock:
                while not items:
                    nonempty.wait(timeout=rand.random() / 1000)
                items.pop()
                consumed.add(1)

    def body(k):
        rand = random.Random(seed * 1000 + k)
        for _ in range(rounds):
            timeout = None if rand.random() < 0.5 else rand.random() / 2000
            try:
                rand.choice((use_mutex, use_rw, use_cond))(rand, timeout)
            except TimeoutError:
                pass

    wg = sync.WaitGroup()
    for k in range(12):
        wg.go(body, k)
    threads = [in_thread(body, 100 + k) for k in range(3)]
    wg.wait()
    for thread in threads:
        thread.join()
    assert not wrong
    assert produced.load() - consumed.load() == len(items)
    for m in mutexes + rws + counting:
        m.lock(timeout=0)
        m.unlock()
