"""Ports of Go's internal/synctest/synctest_test.go and testing/synctest/example_test.go, for each kind of goroutine.

What differs: time begins at 0; WaitGroups and Conds are a bubble's if they are made in it, not by their first use, and
using them elsewhere is no error; what happens at the same moment is shuffled by a seed only; a bubble's clock goes on
after its function has returned, but for tickers. What of Go's tests is of its memory, its race detector or package
reflect has no port.
"""

import threading

import pytest
from bubbles import EACH_WAY, run

from gopy import Chan, Panic, default, go, recv, runtime, select, sync, testing, time
from gopy.time import Millisecond, Second, Timer, after_func, now


@EACH_WAY
def test_now(way):
    """TestNow"""
    times = []

    async def child(w):
        times.append(now())

    async def body(w):
        times.append(now())
        w.go(child)
        await w.sleep(1)
        times.append(now())

    run(way, body)
    assert times == [0, 0, 1]


@EACH_WAY
def test_run_empty(way):
    """TestRunEmpty"""

    async def body(w):
        pass

    run(way, body)


@EACH_WAY
def test_simple_wait(way):
    """TestSimpleWait"""

    async def body(w):
        await w.pause()

    run(way, body)


@EACH_WAY
def test_wait(way):
    """TestGoroutineWait, TestWait: wait waits for all goroutines to exit before it returns."""
    done = []

    async def f(w, ch):
        count = await w.recv(ch)
        if count == 0:
            done.append(True)
        else:
            w.go(f, ch)
            await w.send(ch, count - 1)

    async def body(w):
        ch = Chan()
        w.go(f, ch)
        await w.send(ch, 100)
        await w.pause()
        assert done

    run(way, body)


@EACH_WAY
def test_timer_read_before_deadline(way):
    """TestTimerReadBeforeDeadline"""

    async def body(w):
        await w.recv(Timer(5).c)
        assert now() == 5

    run(way, body)


@EACH_WAY
def test_timer_read_after_deadline(way):
    """TestTimerReadAfterDeadline"""

    async def body(w):
        tm = Timer(1)
        await w.sleep(2)
        assert await w.recv(tm.c) == 1

    run(way, body)


@EACH_WAY
def test_timer_reset(way):
    """TestTimerReset"""

    async def body(w):
        tm = Timer(1)
        assert await w.recv(tm.c) == 1
        tm.reset(2)
        assert await w.recv(tm.c) == 3
        tm.reset(3)
        await w.sleep(1)
        tm.reset(3)
        assert await w.recv(tm.c) == 7

    run(way, body)


@EACH_WAY
def test_time_after(way):
    """TestTimeAfter: what after_func starts, and what that starts, is in the bubble."""
    seen = []

    async def later(w):
        await w.sleep(1)
        seen.append(2)

    def fn():
        seen.append(1)
        way.go(later)

    async def body(w):
        after_func(1, fn)
        await w.sleep(3)
        await w.pause()
        assert seen == [1, 2]

    run(way, body)


def test_timer_after_bubble_exit():
    """TestTimerAfterBubbleExit"""
    ran = []
    timers = []
    testing.synctest(lambda: timers.append(after_func(1, ran.append, 1)))
    assert not ran
    assert timers[0].stop() is False


def test_timer_from_outside_bubble():
    """TestTimerFromOutsideBubble"""
    tm = Timer(10 * Millisecond)
    testing.synctest(tm.c.recv)
    assert not tm.stop()


@EACH_WAY
def test_timer_runs_immediately(way):
    """TestTimerRunsImmediately"""

    async def body(w):
        assert select(recv(Timer(0).c), default)[:2] == (0, 0)

    run(way, body)


@EACH_WAY
def test_timer_ran_in_past(way):
    """TestTimerRanInPast"""

    async def body(w):
        tm = Timer(1)
        await w.sleep(2)
        assert select(recv(tm.c), default)[:2] == (0, 1)

    run(way, body)


@EACH_WAY
def test_after_func_runs_immediately(way):
    """TestAfterFuncRunsImmediately"""
    ran = []

    async def body(w):
        after_func(0, ran.append, 1)
        while not ran:
            await w.gosched()

    run(way, body)


OUTSIDE = {
    "read closed": (lambda ch: ch.close(), lambda ch: ch.recv()),
    "read value": (lambda ch: ch.send(0), lambda ch: ch.recv()),
    "write value": (lambda ch: ch.recv(), lambda ch: ch.send(0)),
    "select outside only": (lambda ch: ch.close(), lambda ch: select(recv(ch), recv(Chan()))),
    "select mixed": (lambda ch: ch.close(), lambda ch: select(recv(ch), recv(Chan()))),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_channel_from_outside_bubble(case):
    """TestChannelFromOutsideBubble"""
    outside, inside = OUTSIDE[case]
    ch = Chan()
    after_func(1 * Millisecond, outside, ch)
    testing.synctest(inside, ch)


MOVED = {
    "receive": (lambda ch: ch.recv(), "receive on synctest channel from outside bubble"),
    "receive at once": (lambda ch: ch.recv_ok(timeout=0), "receive on synctest channel from outside bubble"),
    "select": (lambda ch: select(recv(ch), default), "receive on synctest channel from outside bubble"),
    "range": (list, "receive on synctest channel from outside bubble"),
    "send": (lambda ch: ch.send(None), "send on synctest channel from outside bubble"),
    "close": (lambda ch: ch.close(), "close of synctest channel from outside bubble"),
}


@pytest.mark.parametrize("case", MOVED)
def test_channel_moved_out_of_bubble(case, in_goroutine):
    """TestChannelMovedOutOfBubble: to no bubble, to a thread, and to another bubble."""
    f, message = MOVED[case]
    ch = testing.synctest(Chan)
    errors = [in_goroutine(f, ch)]

    def caught():
        try:
            f(ch)
        except Panic as exc:
            errors.append(exc)

    thread = threading.Thread(target=caught)
    thread.start()
    thread.join()
    testing.synctest(caught)
    assert [str(error) for error in errors] == [message] * 3


@pytest.mark.parametrize("name", ["Stop", "Reset", "read channel"])
def test_timer_from_inside_bubble(name):
    """TestTimerFromInsideBubble"""
    tm = testing.synctest(Timer, 1)
    f, message = {
        "Stop": (tm.stop, "stop of synctest timer from outside bubble"),
        "Reset": (lambda: tm.reset(1), "reset of synctest timer from outside bubble"),
        "read channel": (tm.c.recv, "receive on synctest channel from outside bubble"),
    }[name]
    with pytest.raises(Panic, match=message):
        f()


@EACH_WAY
def test_deadlock_root(way):
    """TestDeadlockRoot"""

    async def body(w):
        await w.select()

    with pytest.raises(Panic, match="deadlock: all goroutines in bubble are blocked") as caught:
        run(way, body)
    assert "[select (no cases)]" in str(caught.value)


@EACH_WAY
def test_deadlock_child(way):
    """TestDeadlockChild"""

    async def child(w):
        await w.select()

    async def body(w):
        w.go(child)

    with pytest.raises(Panic, match="main bubble goroutine has exited but blocked goroutines remain"):
        run(way, body)


@EACH_WAY
def test_deadlock_ticker(way):
    """TestDeadlockTicker"""
    ticks = []

    async def child(w):
        async for tick in w.range(time.tick(1)):
            ticks.append(tick)

    async def body(w):
        w.go(child)

    with pytest.raises(Panic, match="main bubble goroutine has exited but blocked goroutines remain"):
        run(way, body)
    assert not ticks


@EACH_WAY
def test_cond(way):
    """TestCond"""
    done = []

    async def signals(w, mu, cond):
        for signal in (cond.signal, cond.broadcast):
            await w.sleep(1 * Millisecond)
            await w.lock(mu)
            signal()
            mu.unlock()

    async def waits(w, mu, cond):
        await w.lock(mu)
        await w.wait(cond)
        mu.unlock()
        done.append(now())

    async def body(w):
        mu = sync.Mutex()
        cond = sync.Cond(mu)
        w.go(signals, mu, cond)
        await waits(w, mu, cond)
        w.go(waits, mu, cond)
        await waits(w, mu, cond)
        await w.pause()
        assert done == [0.001, 0.002, 0.002]

    run(way, body)


@EACH_WAY
def test_iterator(way):
    """TestIteratorPush, TestIteratorPull"""
    got = []

    async def child(w):
        async def seq():
            while True:
                yield now()
                await w.sleep(1)

        async for t in seq():
            got.append(t)
            if len(got) >= 3:
                break

    async def body(w):
        w.go(child)
        await w.sleep(5)
        await w.pause()
        assert got == [0, 1, 2]

    run(way, body)


@EACH_WAY
def test_waitgroup_in_bubble(way):
    """TestWaitGroupInBubble"""

    async def child(w, wg):
        await w.sleep(1)
        wg.done()

    async def body(w):
        wg = sync.WaitGroup()
        wg.add(1)
        w.go(child, wg)
        await w.wait(wg)
        assert now() == 1

    run(way, body)


def test_waitgroup_out_of_bubble():
    """TestWaitGroupOutOfBubble: to wait for one that was made outside is not durable."""
    wg = sync.WaitGroup()
    wg.add(1)
    done = Chan()

    def body():
        wg.wait()
        assert now() == 0

    def runs():
        testing.synctest(body)
        done.close()

    go(runs)
    assert select(recv(done), recv(time.after(1 * Millisecond)))[0] == 1
    wg.done()
    done.recv()


@pytest.mark.parametrize("outside", [False, True], ids=["between bubbles", "out of one"])
def test_waitgroup_moved_with_zero_count(outside):
    """TestWaitGroupMovedBetweenBubblesWithZeroCount, TestWaitGroupMovedBetweenBubblesAfterWait"""
    groups = []

    def use():
        wg = groups[0]
        wg.go(runtime.gosched)
        wg.wait()

    def body():
        groups.append(sync.WaitGroup())
        use()

    testing.synctest(body)
    if outside:
        use()
    else:
        testing.synctest(use)


@EACH_WAY
def test_timer_nondeterminism(way):
    """TestTimerNondeterminism: timers of the same moment fire in any order, here each seed's own."""

    seen = set()

    async def body(w):
        timers = Timer(1), Timer(1)
        seen.add((await w.select(recv(timers[0].c), recv(timers[1].c)))[0])

    for seed in range(50):
        run(way, body, seed=seed)
    assert seen == {0, 1}


@EACH_WAY
def test_sleep_nondeterminism(way):
    """TestSleepNondeterminism: so do those that sleep until the same moment."""

    async def sleeps(w, order, i):
        await w.sleep(1)
        order.append(i)

    async def body(w):
        order = []
        w.go(sleeps, order, 1)
        w.go(sleeps, order, 2)
        await w.sleep(1)
        await w.pause()
        orders.add(tuple(order))

    orders = set()
    for seed in range(50):
        run(way, body, seed=seed)
    assert orders == {(1, 2), (2, 1)}


def test_happens_before():
    """TestHappensBefore"""
    v1, v2 = [], []

    def children(start, *blocked):
        for v in (v1, v2):

            def child(v=v):
                v.append(1)
                for ch in blocked:
                    ch.recv()

            start(child)
        testing.wait()

    def body():
        children(go)
        ch1 = Chan()
        children(go, ch1)
        ch1.close()
        children(lambda fn: after_func(0, fn))
        ch2 = Chan()
        children(lambda fn: after_func(0, fn), ch2)
        ch2.close()

    testing.synctest(body)
    testing.synctest(lambda: [go(go, v.append, 1) for v in (v1, v2)] and None)
    assert (len(v1), len(v2)) == (5, 5)


# testing/synctest/example_test.go


@EACH_WAY
def test_example_time(way):
    """TestTime"""
    log = []

    async def child(w):
        await w.sleep(1)
        log.append(now())

    async def body(w):
        w.go(child)
        await w.sleep(2)
        log.append(now())

    run(way, body)
    assert log == [1, 2]


@EACH_WAY
def test_example_context_after_func(way):
    """TestContextAfterFunc"""
    from gopy import context

    called = []

    async def body(w):
        ctx, cancel = context.with_cancel(context.background())
        context.after_func(ctx, called.append, 1)
        await w.pause()
        assert not called
        cancel()
        await w.pause()
        assert called

    run(way, body)


@EACH_WAY
def test_example_context_with_timeout(way):
    """TestContextWithTimeout"""
    from gopy import context

    async def body(w):
        ctx, cancel = context.with_timeout(context.background(), 5 * Second)
        await w.sleep(5 * Second - time.Nanosecond)
        await w.pause()
        assert ctx.err() is None
        await w.sleep(time.Nanosecond)
        await w.pause()
        assert isinstance(ctx.err(), context.DeadlineExceeded)
        cancel()

    run(way, body)


def test_wait_outside():
    """testing/synctest: Wait outside a bubble."""
    with pytest.raises(RuntimeError, match="goroutine is not in a bubble"):
        testing.wait()


def test_run_nested():
    """testing/synctest: Run in a bubble."""
    with pytest.raises(RuntimeError, match="within a synctest bubble"):
        testing.synctest(testing.synctest, print)


def test_wait_twice():
    """testing/synctest: Wait while another goroutine of the bubble waits."""

    def body():
        busy = [True]

        def spins():
            while busy:
                runtime.gosched()

        go(spins)
        go(testing.wait)
        runtime.gosched()
        try:
            testing.wait()
        finally:
            busy.clear()

    with pytest.raises(Panic, match="wait already in progress"):
        testing.synctest(body)
