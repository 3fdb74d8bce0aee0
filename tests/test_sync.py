"""Package sync: Mutex, RWMutex, WaitGroup, Once, Cond, Pool, Map, once_func, once_value."""

import gc
import random
import sys
import threading
import weakref

import pytest

from gopy import Chan, Panic, atomic, go, runtime, sync
from gopy import time as gotime

GIL = runtime.stats()["gil"]


def in_thread(fn, *args):
    """Start fn(*args) on a thread that gopy does not run."""
    thread = threading.Thread(target=fn, args=args)
    thread.start()
    return thread


def in_go(fn, *args):
    return go(fn, *args)


STARTERS = pytest.mark.parametrize("start", [in_go, in_thread])


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
    waiters = [start(body) for start in (in_go, in_thread) * 5]
    until(lambda: sum(g.state == "sync.Mutex.Lock" for g in waiters[::2]) == 5)
    assert done.load() == 0
    m.unlock()
    for g in waiters:
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

    readers = [start(reader) for start in (in_go, in_thread) * 5]
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
    until(lambda: writer.state == "sync.RWMutex.Lock")
    reader = go(lambda: (rw.rlock(), read.append(1), rw.runlock()))
    reader.join()
    assert failed and read
    writer.join()
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
    """Go detects it where it can; with one P the waiter cannot return in between."""
    gomaxprocs(1)
    wg, seen = sync.WaitGroup(), []

    def waiter():
        try:
            wg.wait()
        except Panic as panic:
            seen.append(str(panic))

    wg.add()
    g = go(waiter)
    until(lambda: g.state == "sync.WaitGroup.Wait")
    wg.done()
    wg.add()
    g.join()
    if GIL:  # else it may have run on another thread at once
        assert seen == ["sync: WaitGroup is reused before previous Wait has returned"]
    wg.done()


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


# Once


@STARTERS
def test_once_waits_for_the_first_call(start, until):
    once, gate, order = sync.Once(), Chan(), []

    def fn():
        order.append("begin")
        gate.recv()
        order.append("end")

    def second():
        once.do(fn)
        order.append("second")

    first = go(once.do, fn)
    until(lambda: order == ["begin"])
    others = [start(second) for _ in range(3)]
    if start is in_go:
        until(lambda: all(g.state == "sync.Mutex.Lock" for g in others))
    assert order == ["begin"]
    gate.close()
    for g in [first, *others]:
        g.join()
    assert order == ["begin", "end"] + ["second"] * 3


def test_once_exception_is_the_first_callers(in_goroutine):
    once = sync.Once()

    def fail():
        raise KeyError("x")

    with pytest.raises(KeyError):
        once.do(fail)
    assert once.do(fail) is None
    assert in_goroutine(once.do, fail) is None
    with pytest.raises(TypeError, match="`fn` must be callable, got int"):
        once.do(3)


@pytest.mark.parametrize("maker", [sync.once_func, sync.once_value])
def test_once_makers_keep_the_name(maker):
    def named():
        """Its docstring."""

    wrapped = maker(named)
    assert wrapped.__name__ == "named"
    assert wrapped.__doc__ == "Its docstring."
    with pytest.raises(TypeError, match="`fn` must be callable, got int"):
        maker(3)


def test_once_value_of_many(until):
    gate, calls = Chan(), []

    @sync.once_value
    def value():
        calls.append(1)
        gate.recv()
        return object()

    results = Chan(10)
    gs = [go(lambda: results.send(value())) for _ in range(10)]
    until(lambda: sum(g.state == "sync.Mutex.Lock" for g in gs) == 9)
    gate.close()
    assert len({id(results.recv()) for _ in range(10)}) == 1
    assert calls == [1]


# Cond


def lockers():
    rw = sync.RWMutex()

    class Own:
        """A Locker of one's own, whose unlock parks."""

        def __init__(self):
            self.ch = Chan(1)

        def lock(self):
            self.ch.send(None)

        def unlock(self):
            runtime.gosched()
            self.ch.recv()

    class Sub(sync.Mutex):
        pass

    return [sync.Mutex(), rw, rw.rlocker(), Own(), Sub()]


LOCKERS = pytest.mark.parametrize("which", range(5))


@LOCKERS
def test_cond_with_any_locker(which, until):
    locker = lockers()[which]
    cond, flag, awake = sync.Cond(locker), [], Chan(10)
    assert cond.L is locker

    def waiter():
        locker.lock()
        while not flag:
            cond.wait(timeout=20)
        awake.send(None)
        locker.unlock()

    gs = [go(waiter) for _ in range(5)]
    threads = [in_thread(waiter) for _ in range(2)]
    until(lambda: all(g.state == "sync.Cond.Wait" for g in gs))
    locker.lock()
    flag.append(1)
    cond.broadcast()
    locker.unlock()
    for g in gs + threads:
        g.join()
    assert len(awake) == 7


def test_cond_signals_in_order(until):
    m, got, gs = sync.Mutex(), [], []
    cond = sync.Cond(m)

    def waiter(i):
        with m:
            cond.wait()
            got.append(i)

    for i in range(5):
        gs.append(go(waiter, i))
        until(lambda: gs[-1].state == "sync.Cond.Wait")
    for i in range(3):
        cond.signal()
        gs[i].join()
        assert got == list(range(i + 1))
    cond.broadcast()
    for g in gs:
        g.join()
    assert got == list(range(5))


@LOCKERS
def test_cond_timeout_locks_again(which):
    locker = lockers()[which]
    cond = sync.Cond(locker)
    locker.lock()
    for timeout in (0, -1, 0.001):
        with pytest.raises(TimeoutError):
            cond.wait(timeout=timeout)
    locker.unlock()  # it was locked
    cond.signal()


def test_a_signal_is_not_lost_to_one_that_has_timed_out(until):
    m, woken = sync.Mutex(), []
    cond = sync.Cond(m)

    def hasty():
        with m:
            try:
                cond.wait(timeout=0.001)
            except TimeoutError:
                woken.append("timeout")

    def patient():
        with m:
            cond.wait()
            woken.append("signal")

    hasty_ = go(hasty)
    until(lambda: hasty_.state == "sync.Cond.Wait" or woken)
    patient_ = go(patient)
    until(lambda: patient_.state == "sync.Cond.Wait" and woken)
    cond.signal()
    patient_.join()
    hasty_.join()
    assert woken == ["timeout", "signal"]


def test_cond_without_its_lock():
    for locker, message in zip(
        lockers()[:3],
        (
            "sync: unlock of unlocked mutex",
            "sync: Unlock of unlocked RWMutex",
            "sync: RUnlock of unlocked RWMutex",
        ),
        strict=True,
    ):
        cond = sync.Cond(locker)
        with pytest.raises(Panic, match=f"^{message}$"):
            cond.wait()
        cond.signal()  # nobody waits: it is lost, as it should be
        locker.lock()
        with pytest.raises(TimeoutError):
            cond.wait(timeout=0)
        locker.unlock()


def test_cond_arguments():
    for bad in (3, None, threading):
        with pytest.raises(TypeError, match=r"`l` must be a Locker, with lock\(\) and unlock\(\), got"):
            sync.Cond(bad)
    cond = sync.Cond(sync.Mutex())
    with pytest.raises(TypeError, match="must be a Locker"):
        cond.L = 3
    with pytest.raises(AttributeError):
        del cond.L
    other = sync.Mutex()
    cond.L = other
    assert cond.L is other
    with pytest.raises(TypeError):
        sync.Cond()


def test_ctrl_c_ends_waits_of_the_main_goroutine(run_program):
    """Of every primitive; a Cond has its lock again, a mutex has not."""
    done = run_program(
        """
        import os, signal
        from gopy import go, runtime, sync
        from gopy.time import sleep

        main = runtime.current()

        def interrupt(reason):
            while main.state != reason:
                sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)

        m, rw, wg, once = sync.Mutex(), sync.RWMutex(), sync.WaitGroup(), sync.Once()
        cond = sync.Cond(m)

        def interrupted(reason, call):
            g = go(interrupt, reason)
            try:
                call()
            except KeyboardInterrupt:
                print(reason)
            g.join()

        m.lock()
        interrupted("sync.Cond.Wait", cond.wait)
        assert m.locked()
        interrupted("sync.Mutex.Lock", m.lock)
        m.unlock()
        assert m.try_lock()
        m.unlock()
        rw.lock()
        interrupted("sync.RWMutex.Lock", rw.lock)
        interrupted("sync.RWMutex.RLock", rw.rlock)
        rw.unlock()
        assert rw.try_lock()
        wg.add()
        interrupted("sync.WaitGroup.Wait", wg.wait)
        wg.done()
        wg.wait(timeout=0)

        # A Cond whose lock another one has when Ctrl-C comes: not before it is free again.
        def holder():
            m.lock()
            interrupt("sync.Cond.Wait")
            while main.state != "sync.Mutex.Lock":
                sleep(0.001)
            print("waits for its lock")
            m.unlock()

        m.lock()
        go(holder)
        try:
            cond.wait()
        except KeyboardInterrupt:
            print("locked" if m.locked() else "unlocked")
        """
    )
    assert done.stderr == ""
    assert done.stdout.split("\n") == [
        "sync.Cond.Wait",
        "sync.Mutex.Lock",
        "sync.RWMutex.Lock",
        "sync.RWMutex.RLock",
        "sync.WaitGroup.Wait",
        "waits for its lock",
        "locked",
        "",
    ]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("m.lock(); m.lock()", "sync.Mutex.Lock"),
        ("rw.lock(); rw.rlock()", "sync.RWMutex.RLock"),
        ("rw.rlock(); rw.lock()", "sync.RWMutex.Lock"),
        ("wg.add(); wg.wait()", "sync.WaitGroup.Wait"),
        ("m.lock(); sync.Cond(m).wait()", "sync.Cond.Wait"),
        ("o.do(lambda: o.do(print))", "sync.Mutex.Lock"),
    ],
)
def test_waiting_for_nobody_is_a_deadlock(run_program, call, reason):
    done = run_program(
        f"""
        from gopy import sync, runtime
        m, rw, wg, o = sync.Mutex(), sync.RWMutex(), sync.WaitGroup(), sync.Once()
        {call}
        """
    )
    assert done.returncode == 1
    assert "all goroutines are asleep - deadlock!" in done.stderr
    assert reason in done.stderr


def test_in_the_child_of_a_fork(run_program):
    """Waiters of the parent are not there; a mutex that was free, or is the forking goroutine's, works."""
    done = run_program(
        """
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads may run
        from gopy import go, runtime, sync
        from gopy.time import sleep

        m, wg = sync.Mutex(), sync.WaitGroup()
        m.lock()
        waiters = [go(m.lock) for _ in range(3)]
        while not all(g.state == "sync.Mutex.Lock" for g in waiters):
            sleep(0.001)
        pid = os.fork()
        if pid == 0:
            m.unlock()
            for i in range(4):
                def body():
                    with m:
                        runtime.gosched()
                wg.go(body)
            wg.wait(timeout=10)
            m.lock(timeout=0)
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")


# Pool and Map


def test_pool_is_bounded():
    pool = sync.Pool()
    for i in range(5000):
        pool.put(i)
    kept = 0
    while pool.get() is not None:
        kept += 1
    assert kept == 1024


def test_pool_arguments():
    pool = sync.Pool(list)
    pool.put(None)
    assert pool.get() == []
    with pytest.raises(TypeError, match="`new` must be callable, got int"):
        sync.Pool(3)


def test_map_of_any_hashable_key():
    m = sync.Map()
    m.store(None, None)
    assert m.load(None) == (None, True)
    assert m.load(1) == (None, False)
    for call in (m.load, m.delete, m.load_and_delete):
        with pytest.raises(TypeError, match="unhashable"):
            call([])
    with pytest.raises(TypeError, match="unhashable"):
        m.store([], 1)
    assert m.swap(1, "a") == (None, False)
    assert m.swap(1, "b") == ("a", True)
    m.delete("nothing")
    assert sorted(m.items(), key=str) == [(1, "b"), (None, None)]


def test_map_range_stops_and_raises():
    m, seen = sync.Map(), []
    for i in range(10):
        m.store(i, i)
    m.range(lambda k, v: seen.append(k) or k < 4)
    assert seen == [0, 1, 2, 3, 4]
    with pytest.raises(ZeroDivisionError):
        m.range(lambda k, v: 1 / 0)
    with pytest.raises(TypeError, match="`fn` must be callable"):
        m.range(None)
    items = m.items()
    assert next(items) == (0, 0)
    m.delete(1)
    assert next(items) == (2, 2)


class Key:
    """Its comparison yields, and uses the map it is in."""

    def __init__(self, m):
        self.m = m

    def __hash__(self):
        return 1

    def __eq__(self, other):
        runtime.gosched()
        self.m.load("x")
        self.m.store("x", 1)
        return isinstance(other, Key)


def test_map_is_atomic_whatever_the_keys_do():
    """One load_or_store wins, and compare_and_swap loses nothing, while comparisons switch goroutines."""
    m, won, wg = sync.Map(), atomic.Int32(), sync.WaitGroup()

    def body(i):
        if not m.load_or_store(Key(m), 0)[1]:
            won.add(1)
        for _ in range(20):
            while True:
                value, _ = m.load(Key(m))
                if m.compare_and_swap(Key(m), value, value + 1):
                    break

    for i in range(5):
        wg.go(body, i)
    wg.wait()
    assert won.load() == 1
    assert m.load(Key(m)) == (100, True)


def test_map_values_may_use_it_as_they_die():
    m, seen = sync.Map(), []

    class Value:
        def __del__(self):
            seen.append(m.load("other"))
            m.store("dead", True)

    m.store("other", 1)
    for drop in (
        lambda: m.store("k", 2),
        lambda: m.swap("k", 2),
        lambda: m.delete("k"),
        lambda: m.load_and_delete("k"),
        m.clear,
    ):
        m.store("k", Value())
        drop()
        gc.collect()
    assert len(seen) == 5


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
