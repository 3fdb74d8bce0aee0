"""Ports of the tests of golang.org/x/sync: errgroup, semaphore, singleflight."""

import random

import pytest

from gopy import (
    Chan,
    Panic,
    atomic,
    context,
    default,
    errgroup,
    go,
    recv,
    runtime,
    select,
    semaphore,
    singleflight,
    sync,
)
from gopy import time as gotime


class Failed(Exception):
    pass


def result_of(call, *args):
    """Go's `err := call(args)`."""
    try:
        call(*args)
    except Exception as exc:
        return exc
    return None


def same(exc, other):
    """`==` of two errors. Without a GIL waits after the first one raise a copy."""
    return exc is other or (type(exc) is type(other) and exc.args == other.args)


def work(err):
    if err is not None:
        raise err


# errgroup/errgroup_test.go


def test_zero_group():
    """errgroup/errgroup_test.go, TestZeroGroup"""
    err1, err2 = Failed("errgroup_test: 1"), Failed("errgroup_test: 2")
    for errs in [], [None], [err1], [err1, None], [err1, None, err2]:
        g = errgroup.Group()
        first = None
        for err in errs:
            g.go(work, err)
            if first is None and err is not None:
                first = err
            assert same(result_of(g.wait), first)


DOOM = Failed("group_test: doomed")
CASES = [([], None), ([None], None), ([DOOM], DOOM), ([DOOM, None], DOOM)]


@pytest.mark.parametrize(("errs", "want"), CASES)
def test_with_context(errs, want):
    """errgroup/errgroup_test.go, TestWithContext"""
    g, ctx = errgroup.with_context(context.background())
    for err in errs:
        g.go(work, err)
    assert result_of(g.wait) is want
    assert select(recv(ctx.done()), default)[0] == 0


def test_try_go():
    """errgroup/errgroup_test.go, TestTryGo"""
    g, n, ch = errgroup.Group(), 42, Chan()
    g.set_limit(n)

    def fn():
        ch.send(None)

    def receive(n):
        for _ in range(n):
            ch.recv()

    for _ in range(n):
        assert g.try_go(fn)
    assert not g.try_go(fn)
    go(receive, n)
    g.wait()
    assert g.try_go(fn)
    go(receive, 1)
    g.wait()
    g.set_limit(1)
    assert g.try_go(fn)
    assert not g.try_go(fn)
    go(receive, 1)
    g.wait()
    g.set_limit(0)
    for _ in range(1 << 10):
        assert not g.try_go(fn)
    g.wait()


def test_go_limit():
    """errgroup/errgroup_test.go, TestGoLimit"""
    limit = 10
    g, active = errgroup.Group(), atomic.Int32()
    g.set_limit(limit)

    def fn():
        n = active.add(1)
        if n > limit:
            raise Failed(f"saw {n} active goroutines; want <= {limit}")
        gotime.sleep(1 * gotime.Microsecond)
        active.add(-1)

    for _ in range((1 << 10) + 1):
        g.go(fn)
    g.wait()


@pytest.mark.parametrize(("errs", "want"), CASES)
def test_cancel_cause(errs, want):
    """errgroup/errgroup_test.go, TestCancelCause"""
    g, ctx = errgroup.with_context(context.background())
    for err in errs:
        assert g.try_go(work, err)
    assert result_of(g.wait) is want
    if want is None:
        assert isinstance(context.cause(ctx), context.Canceled)
    else:
        assert context.cause(ctx) is want


def test_example_parallel():
    """errgroup/errgroup_test.go, ExampleGroup_parallel"""
    g, _ctx = errgroup.with_context(context.background())
    kinds = ["web", "image", "video"]
    results = [None] * len(kinds)

    def search(i):
        results[i] = f'{kinds[i]} result for "golang"'

    for i in range(len(kinds)):
        g.go(search, i)
    g.wait()
    assert results == [f'{kind} result for "golang"' for kind in kinds]


# semaphore/semaphore_test.go


def test_weighted(gomaxprocs):
    """semaphore/semaphore_test.go, TestWeighted"""
    n = gomaxprocs(4) and 4
    loops = 1000 // n
    sem, wg = semaphore.Weighted(n), sync.WaitGroup()

    def hammer(weight):
        for _ in range(loops):
            sem.acquire(weight)
            gotime.sleep(random.random() * gotime.Millisecond / 4)
            sem.release(weight)

    for i in range(n):
        wg.go(hammer, i)
    wg.wait()
    assert sem.try_acquire(n)


def test_weighted_panic():
    """semaphore/semaphore_test.go, TestWeightedPanic"""
    with pytest.raises(Panic):
        semaphore.Weighted(1).release(1)


def test_weighted_try_acquire():
    """semaphore/semaphore_test.go, TestWeightedTryAcquire"""
    sem = semaphore.Weighted(2)
    sem.acquire(1)
    tries = [sem.try_acquire(1), sem.try_acquire(1)]
    sem.release(2)
    tries.append(sem.try_acquire(1))
    sem.acquire(1)
    tries.append(sem.try_acquire(1))
    assert tries == [True, False, True, False]


def test_weighted_acquire():
    """semaphore/semaphore_test.go, TestWeightedAcquire"""
    sem = semaphore.Weighted(2)

    def try_acquire(n, seconds):
        ctx, cancel = context.with_timeout(context.background(), seconds)
        try:
            return result_of(sem.acquire, n, ctx) is None
        finally:
            cancel()

    there, not_there = gotime.Hour, 10 * gotime.Millisecond  # to acquire what is there may take a while
    sem.acquire(1)
    tries = [try_acquire(1, there), try_acquire(1, not_there)]
    sem.release(2)
    tries.append(try_acquire(1, there))
    sem.acquire(1)
    tries.append(try_acquire(1, not_there))
    assert tries == [True, False, True, False]


def test_weighted_doesnt_block_if_too_big():
    """semaphore/semaphore_test.go, TestWeightedDoesntBlockIfTooBig"""
    n = 2
    sem = semaphore.Weighted(n)
    ctx, cancel = context.with_cancel(context.background())
    too_big = go(lambda: result_of(sem.acquire, n + 1, ctx))
    g, group_ctx = errgroup.with_context(context.background())

    def fn():
        sem.acquire(1, group_ctx)
        gotime.sleep(1 * gotime.Millisecond)
        sem.release(1)

    for _ in range(n * 3):
        g.go(fn)
    g.wait()
    cancel()
    too_big.join()


def test_large_acquire_doesnt_starve():
    """semaphore/semaphore_test.go, TestLargeAcquireDoesntStarve"""
    n, running = 4, True
    sem, wg = semaphore.Weighted(n), sync.WaitGroup()

    def body():
        try:
            while running:
                gotime.sleep(1 * gotime.Millisecond)
                sem.release(1)
                sem.acquire(1)
        finally:
            sem.release(1)

    for _ in range(n):
        sem.acquire(1)
        wg.go(body)
    sem.acquire(n)
    running = False
    sem.release(n)
    wg.wait()


def test_alloc_cancel_doesnt_starve():
    """semaphore/semaphore_test.go, TestAllocCancelDoesntStarve"""
    sem = semaphore.Weighted(10)
    sem.acquire(1)
    ctx, cancel = context.with_cancel(context.background())
    go(lambda: result_of(sem.acquire, 10, ctx))
    while sem.try_acquire(1):
        sem.release(1)
        runtime.gosched()
    go(cancel)
    sem.acquire(1)
    sem.release(1)


def test_weighted_acquire_canceled():
    """semaphore/semaphore_test.go, TestWeightedAcquireCanceled (go.dev/issue/63615)"""
    sem = semaphore.Weighted(2)
    ctx, cancel = context.with_cancel(context.background())
    sem.acquire(1)
    ch = Chan()

    def other():
        while sem.try_acquire(1):
            sem.release(1)
            runtime.gosched()
        cancel()
        sem.release(1)
        ch.close()

    go(other)
    with pytest.raises(context.Canceled):
        sem.acquire(2, ctx)
    ch.recv_ok()
    assert sem.try_acquire(2)
    sem.release(2)
    with pytest.raises(context.Canceled):
        sem.acquire(1, ctx)


# singleflight/singleflight_test.go


def test_panic_error_unwrap():
    """singleflight/singleflight_test.go, TestPanicErrorUnwrap: ours needs no wrapper around a panic."""
    for value in (Panic("string value"), Failed("error value")):
        with pytest.raises(type(value)) as info:
            singleflight.Group().do("key", lambda: work(value))
        assert info.value is value


def test_do():
    """singleflight/singleflight_test.go, TestDo"""
    assert singleflight.Group().do("key", lambda: "bar") == ("bar", False)


def test_do_err():
    """singleflight/singleflight_test.go, TestDoErr"""
    err = Failed("Some error")
    assert result_of(singleflight.Group().do, "key", lambda: work(err)) is err


def test_do_dup_suppress():
    """singleflight/singleflight_test.go, TestDoDupSuppress"""
    g, wg1, wg2 = singleflight.Group(), sync.WaitGroup(), sync.WaitGroup()
    c, calls, got = Chan(1), atomic.Int32(), []

    def fn():
        if calls.add(1) == 1:
            wg1.done()
        v = c.recv()
        c.send(v)
        gotime.sleep(10 * gotime.Millisecond)
        return v

    def body():
        wg1.done()
        got.append(g.do("key", fn)[0])

    n = 10
    wg1.add(1)
    for _ in range(n):
        wg1.add(1)
        wg2.go(body)
    wg1.wait()
    c.send("bar")
    wg2.wait()
    assert got == ["bar"] * n
    assert 0 < calls.load() < n


def test_forget():
    """singleflight/singleflight_test.go, TestForget (golang/go#31420)"""
    g = singleflight.Group()
    first_started, unblock_first, first_finished, unblock_second = Chan(), Chan(), Chan(), Chan()

    def first():
        first_started.close()
        unblock_first.recv_ok()
        first_finished.close()

    go(g.do, "key", first)
    first_started.recv_ok()
    g.forget("key")
    second_result = g.do_chan("key", lambda: unblock_second.recv_ok() and 2)
    unblock_first.close()
    first_finished.recv_ok()
    third_result = g.do_chan("key", lambda: 3)
    unblock_second.close()
    second_result.recv()
    assert third_result.recv().val == 2


def test_do_chan():
    """singleflight/singleflight_test.go, TestDoChan"""
    result = singleflight.Group().do_chan("key", lambda: "bar").recv()
    assert (result.val, result.err) == ("bar", None)


def test_panic_do():
    """singleflight/singleflight_test.go, TestPanicDo (golang/go#41133)"""
    g, n, caught = singleflight.Group(), 5, Chan(5)

    def fn():
        raise Panic("invalid memory address or nil pointer dereference")

    for _ in range(n):
        go(lambda: caught.send(result_of(g.do, "key", fn)))
    for _ in range(n):
        assert isinstance(caught.recv(timeout=10), Panic)


def test_goexit_do():
    """singleflight/singleflight_test.go, TestGoexitDo"""
    g, n, done = singleflight.Group(), 5, Chan(5)

    def body():
        returned = False
        try:
            g.do("key", runtime.goexit)
            returned = True
        finally:
            done.send(returned)

    for _ in range(n):
        go(body)
    for _ in range(n):
        assert done.recv(timeout=10) is False


def test_panic_do_chan(run_program):
    """singleflight/singleflight_test.go, TestPanicDoChan. Go's program crashes, since a panic is no error; here an
    exception is both, and the channel receives it."""
    finished = run_program("""
        from gopy import singleflight
        def fn():
            raise Exception("Panicking in DoChan")
        print(singleflight.Group().do_chan("", fn).recv().err)
    """)
    assert (finished.returncode, finished.stdout) == (0, "Panicking in DoChan\n")


def test_panic_do_shared_by_do_chan():
    """singleflight/singleflight_test.go, TestPanicDoSharedByDoChan: as above."""
    g, blocked, unblock = singleflight.Group(), Chan(), Chan()

    def fn():
        blocked.close()
        unblock.recv_ok()
        raise Panic("Panicking in Do")

    go(result_of, g.do, "", fn)
    blocked.recv_ok()
    ch = g.do_chan("", lambda: pytest.fail("DoChan unexpectedly executed callback"))
    unblock.close()
    assert str(ch.recv().err) == "Panicking in Do"


def test_example_group():
    """singleflight/singleflight_test.go, ExampleGroup"""
    g, block = singleflight.Group(), Chan()

    def call(name):
        block.recv_ok()
        return name

    res1c = g.do_chan("key", lambda: call("func 1"))
    res2c = g.do_chan("key", lambda: call("func 2"))
    block.close()
    res1, res2 = res1c.recv(), res2c.recv()
    assert res2.shared
    assert res1.val == res2.val == "func 1"
