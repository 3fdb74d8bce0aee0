"""Ports of Go's tests of package sync: src/sync/*_test.go."""

import gc
import random
import weakref
from functools import partial

import pytest

from gopy import Chan, Panic, atomic, default, go, recv, runtime, select, sync
from gopy import time as gotime


def ready(ch):
    """Go's `select { case <-ch: true; default: false }`."""
    return select(recv(ch), default)[0] == 0


# mutex_test.go


def hammer_mutex(m, loops, cdone):
    for i in range(loops):
        if i % 3 == 0:
            if m.try_lock():
                m.unlock()
            continue
        m.lock()
        m.unlock()
    cdone.send(True)


def test_mutex():
    """sync/mutex_test.go, TestMutex"""
    m = sync.Mutex()
    m.lock()
    assert not m.try_lock()
    m.unlock()
    assert m.try_lock()
    m.unlock()
    c = Chan()
    for _ in range(10):
        go(hammer_mutex, m, 1000, c)
    for _ in range(10):
        c.recv()


MISUSES = {
    "Mutex.Unlock": (sync.Mutex, ["unlock"]),
    "Mutex.Unlock2": (sync.Mutex, ["lock", "unlock", "unlock"]),
    "RWMutex.Unlock": (sync.RWMutex, ["unlock"]),
    "RWMutex.Unlock2": (sync.RWMutex, ["rlock", "unlock"]),
    "RWMutex.Unlock3": (sync.RWMutex, ["lock", "unlock", "unlock"]),
    "RWMutex.RUnlock": (sync.RWMutex, ["runlock"]),
    "RWMutex.RUnlock2": (sync.RWMutex, ["lock", "runlock"]),
    "RWMutex.RUnlock3": (sync.RWMutex, ["rlock", "runlock", "runlock"]),
}


@pytest.mark.parametrize("name", MISUSES)
def test_mutex_misuse(name):
    """sync/mutex_test.go, TestMutexMisuse. Go's is fatal; ours can be caught, and changes nothing."""
    kind, calls = MISUSES[name]
    mu = kind()
    for call in calls[:-1]:
        getattr(mu, call)()
    before = repr(mu)
    with pytest.raises(Panic, match="unlocked"):
        getattr(mu, calls[-1])()
    assert repr(mu) == before


def test_mutex_fairness():
    """sync/mutex_test.go, TestMutexFairness"""
    mu, stop = sync.Mutex(), Chan()

    def hog():
        while True:
            mu.lock()
            gotime.sleep(100 * gotime.Microsecond)
            mu.unlock()
            if ready(stop):
                return

    hog_ = go(hog)
    done = Chan(1)

    def modest():
        for _ in range(10):
            gotime.sleep(100 * gotime.Microsecond)
            mu.lock()
            mu.unlock()
        done.send(True)

    go(modest)
    assert done.recv(timeout=10)
    stop.close()
    hog_.join()


# rwmutex_test.go


@pytest.mark.parametrize(("readers", "procs"), [(1, 4), (3, 4), (4, 2)])
def test_parallel_readers(gomaxprocs, readers, procs):
    """sync/rwmutex_test.go, TestParallelReaders"""
    gomaxprocs(procs)
    m = sync.RWMutex()
    clocked, cunlock, cdone = Chan(), Chan(), Chan()

    def parallel_reader():
        m.rlock()
        clocked.send(True)
        cunlock.recv()
        m.runlock()
        cdone.send(True)

    for _ in range(readers):
        go(parallel_reader)
    for _ in range(readers):
        clocked.recv()
    for _ in range(readers):
        cunlock.send(True)
    for _ in range(readers):
        cdone.recv()


def test_rwmutex():
    """sync/rwmutex_test.go, TestRWMutex, the part before the hammering"""
    m = sync.RWMutex()
    m.lock()
    assert not m.try_lock()
    assert not m.try_rlock()
    m.unlock()
    assert m.try_lock()
    m.unlock()
    assert m.try_rlock()
    assert m.try_rlock()
    assert not m.try_lock()
    m.runlock()
    m.runlock()


@pytest.mark.parametrize(
    ("procs", "readers"),
    [(1, 1), (1, 3), (1, 10), (4, 1), (4, 3), (4, 10), (10, 1), (10, 3), (10, 10), (10, 5)],
)
def test_rwmutex_hammer(gomaxprocs, procs, readers):
    """sync/rwmutex_test.go, HammerRWMutex; every hundredth round yields, where a GIL would let nobody in."""
    gomaxprocs(procs)
    activity, rwm, cdone = atomic.Int32(), sync.RWMutex(), Chan()
    iterations = 200
    wrong = []

    def work(i):
        if i % 10 == 0:
            runtime.gosched()

    def reader():
        for i in range(iterations):
            rwm.rlock()
            n = activity.add(1)
            if n < 1 or n >= 10000:
                wrong.append(n)
            work(i)
            activity.add(-1)
            rwm.runlock()
        cdone.send(True)

    def writer():
        for i in range(iterations):
            rwm.lock()
            n = activity.add(10000)
            if n != 10000:
                wrong.append(n)
            work(i)
            activity.add(-10000)
            rwm.unlock()
        cdone.send(True)

    go(writer)
    for _ in range(readers // 2):
        go(reader)
    go(writer)
    for _ in range(readers // 2, readers):
        go(reader)
    for _ in range(2 + readers):
        cdone.recv()
    assert not wrong


def test_rlocker():
    """sync/rwmutex_test.go, TestRLocker"""
    wl = sync.RWMutex()
    wlocked, rlocked = Chan(1), Chan(1)
    rl = wl.rlocker()
    n = 10

    def body():
        for _ in range(n):
            rl.lock()
            rl.lock()
            rlocked.send(True)
            wl.lock()
            wlocked.send(True)

    g = go(body)
    for _ in range(n):
        rlocked.recv()
        rl.unlock()
        assert not ready(wlocked), "RLocker() didn't read-lock it"
        rl.unlock()
        wlocked.recv()
        assert not ready(rlocked), "RLocker() didn't respect the write lock"
        wl.unlock()
    g.join()


# waitgroup_test.go


def test_wait_group():
    """sync/waitgroup_test.go, TestWaitGroup"""
    wg1, wg2 = sync.WaitGroup(), sync.WaitGroup()
    for _ in range(8):
        n = 16
        wg1.add(n)
        wg2.add(n)
        exited = Chan(n)

        def body(exited=exited):
            wg1.done()
            wg2.wait()
            exited.send(True)

        for _ in range(n):
            go(body)
        wg1.wait()
        for _ in range(n):
            assert not ready(exited), "WaitGroup released group too soon"
            wg2.done()
        for _ in range(n):
            exited.recv()


def test_wait_group_misuse():
    """sync/waitgroup_test.go, TestWaitGroupMisuse"""
    wg = sync.WaitGroup()
    wg.add(1)
    wg.done()
    with pytest.raises(Panic, match="^sync: negative WaitGroup counter$"):
        wg.done()


def test_wait_group_race():
    """sync/waitgroup_test.go, TestWaitGroupRace"""
    for _ in range(1000):
        wg, n = sync.WaitGroup(), atomic.Int32()

        def body(wg=wg, n=n):
            n.add(1)
            wg.done()

        wg.add(1)
        go(body)
        wg.add(1)
        go(body)
        wg.wait()
        assert n.load() == 2, "Spurious wakeup from Wait"


def test_wait_group_go():
    """sync/waitgroup_test.go, TestWaitGroupGo"""
    wg, i = sync.WaitGroup(), []
    wg.go(lambda: i.append(1))
    wg.wait()
    assert i == [1]


def test_issue_76126(run_program):
    """sync/waitgroup_test.go, TestIssue76126: a panic in WaitGroup.Go is not overtaken by the end of Wait."""
    done = run_program(
        """
        from gopy import sync

        def test():
            raise ValueError("test")

        wg = sync.WaitGroup()
        wg.go(test)
        wg.wait()  # the process should terminate here
        print("Wait returned")
        """
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "ValueError: test" in done.stderr


# once_test.go and oncefunc_test.go


def test_once():
    """sync/once_test.go, TestOnce"""
    o, once, c, seen = atomic.Int32(), sync.Once(), Chan(), []

    def run():
        once.do(lambda: o.add(1))
        seen.append(o.load())
        c.send(True)

    for _ in range(10):
        go(run)
    for _ in range(10):
        c.recv()
    assert seen == [1] * 10


def test_once_panic():
    """sync/once_test.go, TestOncePanic"""
    once = sync.Once()

    def fail():
        raise Panic("failed")

    with pytest.raises(Panic, match="failed"):
        once.do(fail)
    once.do(lambda: pytest.fail("Once.do called twice"))


def test_once_func():
    """sync/oncefunc_test.go, TestOnceFunc"""
    calls = []
    f = sync.once_func(lambda: calls.append(1))
    for _ in range(10):
        assert f() is None
    assert calls == [1]


def test_once_value():
    """sync/oncefunc_test.go, TestOnceValue"""
    calls = []

    def of():
        calls.append(1)
        return len(calls)

    f = sync.once_value(of)
    assert [f() for _ in range(10)] == [1] * 10
    assert calls == [1]


@pytest.mark.parametrize("maker", [sync.once_func, sync.once_value])
def test_once_func_panic(maker):
    """sync/oncefunc_test.go, TestOnceFuncPanic and TestOnceValuePanic"""
    calls = []

    def of():
        calls.append(1)
        raise Panic("x")

    f = maker(of)
    for _ in range(2):
        with pytest.raises(Panic, match="^x$"):
            f()
    assert calls == [1]


def test_once_func_goexit():
    """sync/oncefunc_test.go, TestOnceFuncGoexit: f is not called twice."""
    calls = []

    def of():
        calls.append(1)
        runtime.goexit()

    f = sync.once_func(of)
    for _ in range(2):
        wg = sync.WaitGroup()
        wg.go(f)
        wg.wait()
    assert calls == [1]


def test_once_func_panic_traceback():
    """sync/oncefunc_test.go, TestOnceFuncPanicTraceback: on the first call it goes to the origin. It does not grow."""

    def once_func_panic():
        raise Panic("x")

    f, lengths = sync.once_func(once_func_panic), []
    for _ in range(3):
        with pytest.raises(Panic) as info:
            f()
        names = [entry.name for entry in info.traceback]
        assert ("once_func_panic" in names) == (not lengths)
        lengths.append(len(names))
    assert lengths[1] == lengths[2] < lengths[0]


class Held:
    pass


class Function:
    """A callable object that refers to something by an attribute."""

    def __init__(self, fails):
        self.fails = fails
        self.held = Held()

    def __call__(self):
        if self.fails:
            try:
                raise KeyError("first")
            except KeyError as exc:
                raise Panic("x") from exc


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    "made_of",
    [
        lambda fn: fn,
        lambda fn: fn.__call__,
        lambda fn: lambda: fn(),
        lambda fn: partial(Function.__call__, fn),
    ],
    ids=["object", "method", "closure", "partial"],
)
@pytest.mark.parametrize("maker", [sync.once_func, sync.once_value])
def test_once_x_gc(maker, made_of, fails, until):
    """sync/oncefunc_test.go, TestOnceXGC: what f refers to lives until the first call, not longer."""
    fn = Function(fails)
    ref = weakref.ref(fn.held)
    f = maker(made_of(fn))
    del fn
    gc.collect()
    assert ref() is not None
    for _ in range(2):
        try:
            assert f() is None
            assert not fails
        except Panic as exc:
            assert fails
            assert repr(exc.__cause__) == "KeyError('first')"
        until(lambda: gc.collect() is not None and ref() is None)


# cond_test.go


def test_cond_signal():
    """sync/cond_test.go, TestCondSignal"""
    m = sync.Mutex()
    c = sync.Cond(m)
    n = 2
    running, awake = Chan(n), Chan(n)

    def body():
        m.lock()
        running.send(True)
        c.wait()
        awake.send(True)
        m.unlock()

    for _ in range(n):
        go(body)
    for _ in range(n):
        running.recv()
    for _ in range(n):
        assert not ready(awake), "goroutine not asleep"
        m.lock()
        c.signal()
        m.unlock()
        awake.recv()
        assert not ready(awake), "too many goroutines awake"
    c.signal()


def test_cond_signal_generations():
    """sync/cond_test.go, TestCondSignalGenerations"""
    m = sync.Mutex()
    c = sync.Cond(m)
    n = 100
    running, awake = Chan(n), Chan(n)

    def body(i):
        m.lock()
        running.send(True)
        c.wait()
        awake.send(i)
        m.unlock()

    for i in range(n):
        go(body, i)
        if i > 0:
            assert awake.recv() == i - 1, "wrong goroutine woke up"
        running.recv()
        m.lock()
        c.signal()
        m.unlock()
    assert awake.recv() == n - 1


def test_cond_broadcast():
    """sync/cond_test.go, TestCondBroadcast"""
    m = sync.Mutex()
    c = sync.Cond(m)
    n, rounds = 200, 20
    running, awake = Chan(n), Chan(n)
    leave = False

    def body(g):
        m.lock()
        while not leave:
            running.send(g)
            c.wait()
            awake.send(g)
        m.unlock()

    for i in range(n):
        go(body, i)
    for i in range(rounds):
        for _ in range(n):
            running.recv()
        if i == rounds - 1:
            m.lock()
            leave = True
            m.unlock()
        assert not ready(awake), "goroutine not asleep"
        m.lock()
        c.broadcast()
        m.unlock()
        assert sorted(awake.recv() for _ in range(n)) == list(range(n)), "goroutine woke up twice"
    assert not ready(running), "goroutine did not exit"
    c.broadcast()


def test_race():
    """sync/cond_test.go, TestRace"""
    x, wrong, done = 0, [], Chan()
    c = sync.Cond(sync.Mutex())

    def first():
        nonlocal x
        c.L.lock()
        x = 1
        c.wait()
        if x != 2:
            wrong.append("want 2")
        x = 3
        c.signal()
        c.L.unlock()
        done.send(True)

    def second():
        nonlocal x
        c.L.lock()
        while True:
            if x == 1:
                x = 2
                c.signal()
                break
            c.L.unlock()
            runtime.gosched()
            c.L.lock()
        c.L.unlock()
        done.send(True)

    def third():
        c.L.lock()
        while True:
            if x == 2:
                c.wait()
                if x != 3:
                    wrong.append("want 3")
                break
            if x == 3:
                break
            c.L.unlock()
            runtime.gosched()
            c.L.lock()
        c.L.unlock()
        done.send(True)

    for body in (first, second, third):
        go(body)
    for _ in range(3):
        done.recv()
    assert not wrong


def test_cond_signal_stealing():
    """sync/cond_test.go, TestCondSignalStealing"""
    for _ in range(300):
        m = sync.Mutex()
        cond = sync.Cond(m)
        ch, done = Chan(), []

        def waiter(m=m, cond=cond, ch=ch):
            m.lock()
            ch.send(None)
            cond.wait()
            m.unlock()
            ch.send(None)

        def second(m=m, cond=cond, done=done):
            m.lock()
            while not done:
                cond.wait()
            m.unlock()

        go(waiter)
        ch.recv()
        m.lock()
        m.unlock()
        go(cond.broadcast)
        go(second)
        ch.recv()
        m.lock()
        done.append(True)
        m.unlock()
        cond.broadcast()


# pool_test.go


def test_pool():
    """sync/pool_test.go, TestPool. Ours keeps its values over collections, and gets the last one put first."""
    p = sync.Pool()
    assert p.get() is None
    p.put("a")
    p.put("b")
    assert [p.get(), p.get(), p.get()] == ["b", "a", None]
    for _ in range(100):
        p.put("c")
    gc.collect()
    assert p.get() == "c"


def test_pool_new():
    """sync/pool_test.go, TestPoolNew"""
    i = 0

    def new():
        nonlocal i
        i += 1
        return i

    p = sync.Pool(new)
    assert [p.get(), p.get()] == [1, 2]
    p.put(42)
    assert [p.get(), p.get()] == [42, 3]


def test_pool_stress():
    """sync/pool_test.go, TestPoolStress"""
    p, done, wrong = sync.Pool(), Chan(), []

    def body():
        v = 0
        for j in range(2000):
            p.put(0 if v is None else v)
            if j % 50 == 0:
                runtime.gosched()
            v = p.get()
            if v is not None and v != 0:
                wrong.append(v)
                break
        done.send(True)

    for _ in range(10):
        go(body)
    for _ in range(10):
        done.recv()
    assert not wrong


# map_test.go


class RWMutexMap:
    """sync/map_reference_test.go, RWMutexMap"""

    def __init__(self):
        self.dict = {}

    def load(self, key):
        return self.dict.get(key), key in self.dict

    def store(self, key, value):
        self.dict[key] = value

    def load_or_store(self, key, value):
        loaded = key in self.dict
        return self.dict.setdefault(key, value), loaded

    def load_and_delete(self, key):
        loaded = key in self.dict
        return self.dict.pop(key, None), loaded

    def swap(self, key, value):
        was = self.load(key)
        self.dict[key] = value
        return was

    def compare_and_swap(self, key, old, new):
        if key not in self.dict or self.dict[key] != old:
            return False
        self.dict[key] = new
        return True

    def compare_and_delete(self, key, old):
        if key not in self.dict or self.dict[key] != old:
            return False
        del self.dict[key]
        return True

    def delete(self, key):
        self.dict.pop(key, None)

    def clear(self):
        self.dict.clear()

    def range(self, fn):
        for key, value in list(self.dict.items()):
            if not fn(key, value):
                break


CALLS = {
    "load": 1,
    "store": 2,
    "load_or_store": 2,
    "load_and_delete": 1,
    "delete": 1,
    "swap": 2,
    "compare_and_swap": 3,
    "compare_and_delete": 2,
    "clear": 0,
}


@pytest.mark.parametrize("seed", range(20))
def test_map_matches_rwmutex(seed):
    """sync/map_test.go, TestMapMatchesRWMutex and TestMapMatchesDeepCopy: random calls on both."""
    rand = random.Random(seed)
    maps = sync.Map(), RWMutexMap()
    for _ in range(2000):
        name = rand.choice(list(CALLS))
        if name == "clear" and rand.random() < 0.9:
            continue
        args = [rand.choice("abcdef") for _ in range(CALLS[name])]
        results = [getattr(m, name)(*args) for m in maps]
        assert results[0] == results[1], (name, args)
        final = [{}, {}]
        for m, into in zip(maps, final, strict=True):
            m.range(lambda k, v, into=into: into.setdefault(k, v) or True)
        assert final[0] == final[1] == dict(maps[0].items())


def test_concurrent_range():
    """sync/map_test.go, TestConcurrentRange"""
    size = 1 << 8
    m = sync.Map()
    for n in range(1, size + 1):
        m.store(n, n)
    done, wg = Chan(), sync.WaitGroup()

    def body(g):
        rand, i = random.Random(g), 0
        while not ready(done):
            for n in range(1, size):
                if rand.randrange(size) == 0:
                    m.store(n, n * i * g)
                else:
                    m.load(n)
            i += 1
            runtime.gosched()

    for g in range(1, 5):
        wg.go(body, g)
    for _ in range(16):
        seen = set()

        def each(k, v, seen=seen):
            assert v % k == 0, f"while storing multiples of {k}, range saw value {v}"
            assert k not in seen, f"range visited key {k} twice"
            seen.add(k)
            return True

        m.range(each)
        runtime.gosched()
        assert len(seen) == size
    done.close()
    wg.wait()


def test_issue_40999(until):
    """sync/map_test.go, TestIssue40999: a deleted key is not kept."""

    class Key:
        pass

    m, gone = sync.Map(), []
    m.store(None, ())

    def once():
        p = Key()
        weakref.finalize(p, gone.append, 1)
        m.store(p, ())
        m.delete(p)
        del p
        gc.collect()
        return gone

    until(once)


def test_map_range_nested_call():
    """sync/map_test.go, TestMapRangeNestedCall"""
    m = sync.Map()
    for i, v in enumerate(["hello", "world", "Go"]):
        m.store(i, v)

    def outer(key, value):
        def inner(key, value):
            assert m.load(key) == (value, True)
            assert not m.load_or_store(42, "dummy")[1]
            m.store(42, "sync.Map")
            assert m.load_and_delete(42) == ("sync.Map", True)
            return True

        m.range(inner)
        m.delete(key)
        return True

    m.range(outer)
    assert list(m.items()) == []


def test_compare_and_swap_non_existing_key():
    """sync/map_test.go, TestCompareAndSwap_NonExistingKey"""
    m = sync.Map()
    assert not m.compare_and_swap(m, None, 42)


def test_concurrent_clear():
    """sync/map_test.go, TestConcurrentClear"""
    m, wg = sync.Map(), sync.WaitGroup()
    for i in range(10):
        wg.go(m.store, i, i * 10)
    for i in range(10):
        wg.go(m.load, i)
    for _ in range(10):
        wg.go(m.clear)
    wg.wait()
    m.clear()
    assert list(m.items()) == []
