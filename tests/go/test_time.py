"""Ports of Go's src/time/{sleep,tick}_test.go. Waits are shorter than Go's where only their ratio matters."""

import gc
import itertools
import random
import time

import pytest

from gopy import Chan, default, go, nilchan, recv, runtime, select, send
from gopy.time import Hour, Millisecond, Minute, Second, Ticker, Timer, after, after_func, now, sleep, tick


class FuncTimer:
    """sleep_test.go newTimerFunc: an after_func() that behaves as a Timer."""

    def __init__(self, seconds):
        self.c = Chan(1)
        self.timer = after_func(seconds, self.fire)
        self.stop, self.reset = self.timer.stop, self.timer.reset

    def fire(self):
        select(send(self.c, now()), default)  # a second one, from a test that gave up, leaves no goroutine


KINDS = {"chan": Timer, "func": FuncTimer}
of_each_kind = pytest.mark.parametrize("kind", KINDS)


def ready(ch):
    return select(recv(ch), default)[0] == 0


def test_sleep():
    """sleep_test.go TestSleep"""
    start = now()
    sleep(0.05)
    assert now() - start >= 0.05


def test_after_func():
    """sleep_test.go TestAfterFunc"""
    i, c = 10, Chan()

    def f():
        nonlocal i
        i -= 1
        if i >= 0:
            after_func(0, f)
            sleep(0.02)
        else:
            c.send(True)

    after_func(0, f)
    c.recv()


@pytest.mark.parametrize("receivers", [1, 10])
def test_ticker_stress(receivers):
    """sleep_test.go TestTickerStress, TestTickerConcurrentStress"""
    stop = False

    def collect():
        while not stop:
            gc.collect(0)
            sleep(0.001)  # without a GIL each collection is of everything and stops every thread

    collecting, ticker = go(collect), Ticker(1e-9)

    def receive():
        for _ in range(100):
            ticker.c.recv()

    for g in [go(receive) for _ in range(receivers)]:
        g.join()
    ticker.stop()
    stop = True
    collecting.join()


def test_after_func_starvation(gomaxprocs):
    """sleep_test.go TestAfterFuncStarvation"""
    gomaxprocs(1)
    c, stop = Chan(1), False

    def pinging():
        for _ in c:
            pass

    def ponging():
        while not stop:
            c.send(True)
        c.close()

    def end():
        nonlocal stop
        stop = True

    goroutines = [go(pinging), go(ponging)]
    after_func(1e-6, end)
    for g in goroutines:
        g.join(timeout=20)


def test_after():
    """sleep_test.go TestAfter"""
    start = now()
    end = after(0.02).recv()
    assert now() - start >= 0.02
    assert end >= start + 0.02


def test_after_tick():
    """sleep_test.go TestAfterTick"""
    start = now()
    for _ in range(10):
        after(0.01).recv()
    assert now() - start >= 0.1 * 9 / 10


@of_each_kind
def test_after_stop(kind):
    """sleep_test.go TestAfterStop"""
    after_func(0.02, int)
    t0, c1 = KINDS[kind](5), Chan(1)
    t1 = after_func(5, c1.send, True)
    assert t0.stop()
    assert t1.stop()
    after(0.03).recv()
    assert not ready(t0.c)
    assert not ready(c1)
    assert not t1.stop()


@of_each_kind
def test_after_queuing(kind):
    """sleep_test.go TestAfterQueuing, with its retries"""
    slots = [5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0]
    for attempt in itertools.count():
        delta, result = (5 + attempt * 20) * Millisecond, Chan(len(slots))
        start = now()

        def wait(slot, c):
            result.send((slot, c.recv()))

        timers = [KINDS[kind](slot * delta) for slot in slots]
        for slot, timer in zip(slots, timers, strict=True):
            go(wait, slot, timer.c)
        got = [result.recv() for _ in slots]
        order = [slot for slot, _ in got]
        errors = [t - start - slot * delta for slot, t in got]
        if order == sorted(order) and all(-delta / 2 < e < delta * 10 for e in errors):
            return
        print(order, errors)


def test_timer_stop_stress():
    """sleep_test.go TestTimerStopStress"""
    fired = []

    def body(i):
        timer = after_func(5, fired.append, i)
        sleep(0.02)
        timer.stop()

    for g in [go(body, i) for i in range(100)]:
        g.join()
    assert fired == []


def test_sleep_zero_deadlock(gomaxprocs):
    """sleep_test.go TestSleepZeroDeadlock"""
    gomaxprocs(4)
    c = Chan()

    def collect():
        for _ in range(20):
            gc.collect(0)
        c.send(True)

    go(collect)
    for _ in range(100):
        sleep(0)
        tmp = Chan(1)
        tmp.send(True)
        tmp.recv()
    c.recv()


def reset_once(kind, d):
    t0 = KINDS[kind](2 * d)
    sleep(d)
    if not t0.reset(3 * d):
        return "resetting unfired timer returned false"
    sleep(2 * d)
    if ready(t0.c):
        return "timer fired early"
    sleep(2 * d)
    if not ready(t0.c):
        return "reset timer did not fire"
    if t0.reset(0.05):
        return "resetting expired timer returned true"
    t0.stop()
    return None


@of_each_kind
def test_reset(kind):
    """sleep_test.go TestReset, with its retries"""
    d = 1 * Millisecond
    while (error := reset_once(kind, d)) is not None:
        d *= 2
        assert d < 10 * Second, error


def test_overflow_sleep():
    """sleep_test.go TestOverflowSleep"""
    big = float("inf")
    go_on = Chan()
    after_func(big, go_on.close).stop()
    assert select(recv(after(big)), recv(after(0.01)))[0] == 1
    assert select(recv(after(-big)), recv(after(20)))[0] == 0


def test_issue_5745():
    """sleep_test.go TestIssue5745: the function may use the timer's own package."""
    ran = Chan()
    after_func(0, lambda: (after_func(0, int), ran.close()))
    ran.recv(timeout=20)


def test_timer_modified_earlier():
    """sleep_test.go TestTimerModifiedEarlier"""
    for _ in range(100):
        timer = FuncTimer(Hour)
        for _ in range(10):
            if not timer.stop():
                timer.c.recv()
            timer.reset(-1e9)
        assert select(recv(timer.c), recv(after(10)))[0] == 0


def test_adjust_timers():
    """sleep_test.go TestAdjustTimers"""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rnd = random.Random(seed)
    timers, states, indices = [None] * 100, [0] * 100, list(range(100))
    while indices:
        at = rnd.randrange(len(indices))
        i = indices[at]
        timer, state = timers[i], states[i]
        states[i] += 1
        if state == 0:
            timers[i] = FuncTimer(0)
        elif state == 1:
            timer.c.recv()
        elif state in (2, 4, 6):
            assert not timer.reset({2: 1, 4: 3, 6: 2}[state] * Minute)
        elif state in (3, 5, 7):
            assert timer.stop()
        elif state == 8:
            assert not timer.reset(0)
        elif state == 9:
            timer.c.recv(timeout=20)
        else:
            indices[at] = indices[-1]
            indices.pop()


@pytest.mark.parametrize("what", ["stop", "reset"])
def test_stop_and_reset_result(what):
    """sleep_test.go TestStopResult, TestResetResult"""
    start = Chan()

    def end(timer):
        return timer.stop() if what == "stop" else timer.reset(Hour)

    def body():
        start.recv()
        for _ in range(20):
            timers = Timer(0.001), Timer(0.001)
            i = select(recv(timers[0].c), recv(timers[1].c))[0]
            if not end(timers[1 - i]):
                pytest.fail("its value cannot have been received")

    goroutines = [go(body) for _ in range(100)]
    start.close()
    for g in goroutines:
        g.join()


def test_multi_wakeup_ticker():
    """sleep_test.go TestMultiWakeupTicker"""
    ticker = Ticker(1e-6)

    def body():
        for _ in range(5000):
            select(recv(ticker.c), recv(after(0.001)))

    for g in [go(body) for _ in range(runtime.GOMAXPROCS())]:
        g.join()


def test_multi_wakeup_timer():
    """sleep_test.go TestMultiWakeupTimer"""
    timer = Timer(1e-9)

    def body():
        for _ in range(5000):
            ready(timer.c)
            timer.reset(1e-9)

    for g in [go(body) for _ in range(runtime.GOMAXPROCS())]:
        g.join()


def test_ticker():
    """tick_test.go TestTicker, with its retries"""
    for delta in (0.005, 0.02, 0.5):
        ticker, start = Ticker(delta), now()
        for _ in range(5):
            ticker.c.recv()
        ticker.reset(delta * 2)
        for _ in range(5):
            ticker.c.recv()
        ticker.stop()
        took, target = now() - start, 15 * delta
        sleep(2 * delta)
        assert not ready(ticker.c), "Ticker did not shut down"
        if abs(took - target) <= target * 3 / 10:
            return
    pytest.fail(f"took {took}, expected {target}")


def test_teardown():
    """tick_test.go TestTeardown"""
    for _ in range(3):
        ticker = Ticker(0.01)
        ticker.c.recv()
        ticker.stop()


def test_tick():
    """tick_test.go TestTick"""
    assert tick(-1) == nilchan


def test_new_ticker_lt_zero_duration():
    """tick_test.go TestNewTickerLtZeroDuration"""
    with pytest.raises(ValueError, match="non-positive interval for NewTicker"):
        Ticker(-1)


def test_ticker_reset_lt_zero_duration():
    """tick_test.go TestTickerResetLtZeroDuration"""
    ticker = Ticker(1)
    with pytest.raises(ValueError, match=r"non-positive interval for Ticker\.Reset"):
        ticker.reset(0)


def test_long_adjust_timers():
    """tick_test.go TestLongAdjustTimers, a hundredth of it"""
    sleepers = [go(sleep, 1e-5) for _ in range(5000)]
    for _ in range(50):
        sleep(1e-6)
    done, inq, outq = Chan(), Chan(), Chan()
    limit = after_func(60, done.close)

    def queuing():
        q = []
        while True:
            i, value, ok = select(recv(inq), recv(done), *([send(outq, q[0])] if q else []))
            if i == 1 or not ok:
                return
            if i == 0:
                q.append(value)
            else:
                q.pop(0)

    g = go(queuing)
    for _ in range(100):
        for i in range(20):
            inq.send(i)
        for _ in range(20):
            assert select(recv(outq), recv(after(30)), recv(done))[0] == 0
    inq.close()
    for each in (g, *sleepers):
        each.join()
    assert limit.stop()


@pytest.mark.parametrize("what", ["after", "tick", "Timer", "Ticker", "Timer.stop", "Ticker.stop"])
def test_timer_gc(what):
    """tick_test.go TestTimerGC"""
    name, _, stop = what.partition(".")
    make = {"after": after, "tick": tick, "Timer": Timer, "Ticker": Ticker}[name]
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(10_000):
        made = make(Hour)
        if stop:
            made.stop()
    gc.collect()
    assert len(gc.get_objects()) - before < 5000
    assert runtime.stats()["timers"] == 0


class TickerTimer:
    """tick_test.go tickerTimer: a Ticker with the results of a Timer's methods."""

    def __init__(self, seconds):
        self.ticker, self.stopped = Ticker(seconds), False
        self.c = self.ticker.c

    def stop(self):
        pending, self.stopped = not self.stopped, True
        self.ticker.stop()
        return pending

    def reset(self, seconds):
        pending, self.stopped = not self.stopped, False
        self.ticker.reset(seconds)
        return pending


NS = 1e-9
SCHED = 0.003


@pytest.mark.parametrize("make", [Timer, TickerTimer])
def test_chan(make, until):
    """tick_test.go TestChan, testTimerChan"""
    tim, is_ticker = make(10000), make is TickerTimer
    c = tim.c

    def no_tick():
        assert not ready(c), "extra tick"

    def assert_tick():
        until(lambda: ready(c))

    # Simple stop; modify of a timer that nobody waits for.
    tim.stop()
    no_tick()
    tim.reset(10000)
    no_tick()
    tim.reset(NS)
    sleep(SCHED)
    assert (len(c), c.cap) == (0, 0)
    assert_tick()
    # If it is a ticker there is a second tick by now, which reset takes back.
    sleep(SCHED)
    tim.reset(10000)
    no_tick()

    # While a goroutine waits on it.
    def waiting():
        c.recv()
        done.close()

    tim.reset(10000)
    done = Chan()
    g = go(waiting)
    until(lambda: g.state == "chan receive")
    tim.reset(20000)
    sleep(SCHED)
    assert not ready(done)
    tim.reset(NS)
    done.recv(timeout=20)
    if is_ticker:
        assert_tick()
    else:
        no_tick()
    tim.stop()
    no_tick()

    # Two goroutines wait in a select.
    tim.reset(10000)
    done, stop, ended = Chan(2), Chan(), Chan(2)

    def selecting():
        if select(recv(c), recv(stop))[0] == 0:
            done.send(True)
        ended.send(True)

    gs = [go(selecting), go(selecting)]
    until(lambda: [g.state for g in gs] == ["select", "select"])
    assert not ready(done)
    tim.reset(SCHED / 2)
    done.recv(timeout=20)
    tim.stop()
    stop.close()
    for _ in gs:
        ended.recv(timeout=20)
    assert len(done) == 0 or is_ticker
    no_tick()

    # They wait while it is stopped.
    done, stop = Chan(2), Chan()
    gs = [go(selecting), go(selecting)]
    until(lambda: [g.state for g in gs] == ["select", "select"])
    stop.close()
    for _ in gs:
        ended.recv(timeout=20)
    assert len(done) == 0

    # stop and reset keep old values from being received (go.dev/issue/37196).
    tim.reset(NS)
    sleep(SCHED)
    assert tim.stop()
    no_tick()
    tim.reset(Hour)
    no_tick()
    assert tim.reset(NS)
    assert_tick()
    sleep(SCHED)
    if is_ticker:
        assert_tick()
        sleep(SCHED)
    else:
        no_tick()
    assert tim.reset(Hour) is is_ticker
    no_tick()


@pytest.mark.parametrize("make", [after, tick])
def test_after_and_tick_times(make):
    """tick_test.go TestAfterTimes, TestTickTimes: the value is when it was due, not when it was received."""
    start = now()
    c = make(0.01)
    made = now()
    time.sleep(0.1)
    assert start + 0.01 <= c.recv() <= made + 0.01
