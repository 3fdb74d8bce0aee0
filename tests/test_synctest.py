"""gopy.testing.synctest: what Go's own tests (go/test_synctest.py) do not say."""

import os
import threading
import time as real

import pytest
from bubbles import EACH_P, EACH_WAY, run

from gopy import (
    Chan,
    Panic,
    blocking,
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
    testing,
    time,
)
from gopy.time import now


def timed(fn, *args, **kwargs):
    """How long a call that raises TimeoutError takes."""
    before = now()
    with pytest.raises(TimeoutError):
        fn(*args, **kwargs)
    return now() - before


# What it returns and raises


@EACH_WAY
def test_what_the_function_raises_is_raised(way):
    async def body(w):
        await w.sleep(1)
        raise KeyError(now())

    with pytest.raises(KeyError, match="1.0"):
        run(way, body)


def test_the_traceback_begins_with_the_function():
    def body():
        raise KeyError

    with pytest.raises(KeyError) as caught:
        testing.synctest(body)
    names = [entry.name for entry in caught.traceback]
    assert names[-2:] == ["synctest", "body"]


def test_arguments_and_result():
    def body(*args, **kwargs):
        return args, kwargs

    assert testing.synctest(body, 1, 2, key=3) == ((1, 2), {"key": 3})


def test_a_coroutine_and_a_generator():
    async def coroutine(x):
        await time.asleep(3)
        return x, now()

    def generator(x):
        yield from time.asleep(3)
        return x, now()

    assert testing.synctest(coroutine, 1) == (1, 3)
    assert testing.synctest(coroutine(1)) == (1, 3)
    assert testing.synctest(generator, 1) == (1, 3)


def test_what_cannot_be_called():
    with pytest.raises(TypeError, match="`fn` must be callable"):
        testing.synctest(3)
    with pytest.raises(TypeError, match="`seed` must be an int or None, got str"):
        testing.synctest(print, seed="a")


def test_goexit_ends_the_function():
    assert testing.synctest(runtime.goexit) is None


@EACH_P
def test_a_panic_ends_the_others(gomaxprocs, procs):
    gomaxprocs(procs)
    ended = []

    def waits(ch):
        try:
            ch.recv()
        finally:
            ended.append(1)

    def panics():
        time.sleep(1)
        raise KeyError("mine")

    def body():
        for _ in range(10):
            go(waits, Chan())
        go(panics)
        Chan().recv()

    with pytest.raises(KeyError, match="mine") as caught:
        testing.synctest(body)
    assert len(ended) == 10
    assert any("panics" in note for note in caught.value.__notes__)


def test_what_fails_first_is_told():
    def fails(exc):
        raise exc

    def body():
        go(fails, KeyError())
        testing.wait()
        raise ValueError

    with pytest.raises(KeyError):
        testing.synctest(body)


def test_a_panic_handler_may_recover():
    seen = []
    before = runtime.set_panic_handler(lambda goroutine, exc: seen.append(exc) or True)
    try:
        testing.synctest(lambda: go(lambda: 1 / 0) and time.sleep(1))
    finally:
        runtime.set_panic_handler(before)
    assert isinstance(seen[0], ZeroDivisionError)


def test_a_deadlock_names_all_and_leaves_none():
    cleaned = []

    def stays(ch):
        try:
            ch.send(1)
        finally:
            cleaned.append(1)

    def body():
        go(stays, Chan())
        sync.WaitGroup().wait()
        wg = sync.WaitGroup()
        wg.add(1)
        wg.wait()

    with pytest.raises(Panic, match="all goroutines in bubble are blocked") as caught:
        testing.synctest(body)
    assert "[chan send]" in str(caught.value)
    assert "[sync.WaitGroup.Wait]" in str(caught.value)
    assert cleaned == [1]


def test_one_that_will_not_end_is_left():
    """It catches everything, and waits again. At last it is left waiting; here something wakes it."""
    ch, tries = [], []

    def stubborn():
        ch.append(Chan())
        while True:
            try:
                ch[0].recv()
                return
            except BaseException:
                tries.append(1)

    with pytest.raises(Panic, match="deadlock"):
        testing.synctest(stubborn)
    assert tries


test_one_that_will_not_end_is_left = pytest.mark.leaks(test_one_that_will_not_end_is_left)


# The clock


def test_it_begins_at_zero_each_time():
    for _ in range(2):
        assert testing.synctest(lambda: (now(), time.sleep(0.1), now())) == (0, None, 0.1)


@EACH_P
def test_bubbles_side_by_side_have_clocks_of_their_own(gomaxprocs, procs):
    gomaxprocs(procs)
    times = Chan(100)

    def body(n):
        for _ in range(20):
            time.sleep(n)
        return now()

    def runs(n):
        times.send((n, testing.synctest(body, n)))

    wg = sync.WaitGroup()
    for n in range(1, 21):
        wg.go(runs, n)
    wg.wait()
    times.close()
    assert dict(times) == {n: 20 * n for n in range(1, 21)}


def test_outside_nothing_changes():
    """While a bubble is far ahead."""

    def body():
        time.sleep(10**6)
        return now()

    before = now()
    assert testing.synctest(body) == 10**6
    assert 0 <= now() - before < 1000


def test_every_timeout():
    def body():
        ch, wg, mu, rw = Chan(), sync.WaitGroup(), sync.Mutex(), sync.RWMutex()
        cond = sync.Cond(sync.Mutex())
        wg.add(1)
        mu.lock()
        rw.lock()
        goroutine = go(time.sleep, 1000)
        with cond.L:
            took = [
                timed(ch.recv, timeout=1),
                timed(ch.send, 1, timeout=2),
                timed(select, recv(ch), timeout=3),
                timed(wg.wait, timeout=4),
                timed(cond.wait, timeout=5),
                timed(mu.lock, timeout=6),
                timed(rw.lock, timeout=7),
                timed(rw.rlock, timeout=8),
                timed(goroutine.join, timeout=9),
            ]
        assert took == list(range(1, 10))

    testing.synctest(body)


def test_contexts():
    def body():
        ctx, _ = context.with_deadline(context.background(), 5)
        inner, _ = context.with_timeout(ctx, 7)
        ended = []
        context.after_func(inner, lambda: ended.append(now()))
        inner.done().recv_ok()
        testing.wait()
        assert isinstance(inner.err(), context.DeadlineExceeded)
        assert (now(), ended, inner.deadline()) == (5, [5], 5)

    testing.synctest(body)


def test_a_context_that_is_dropped():
    """Its timer is stopped after the bubble's end, from outside."""
    kept = testing.synctest(lambda: context.with_timeout(context.background(), 5))
    kept[1]()
    del kept


@EACH_WAY
def test_a_ticker_and_a_slow_receiver(way):
    async def body(w):
        ticker = time.Ticker(1)
        got = [await w.recv(ticker.c)]
        await w.sleep(2.5)
        got += [await w.recv(ticker.c), await w.recv(ticker.c)]
        assert (got, now()) == ([1, 2, 4], 4)

    run(way, body)


def test_packages_made_of_these():
    def body():
        started = []
        group, ctx = errgroup.with_context(context.background())
        group.go(time.sleep, 1)
        group.go(lambda: select(recv(time.after(2)), recv(ctx.done())))
        group.wait()
        started.append(now())
        weighted = semaphore.Weighted(1)
        weighted.acquire(1)
        limited, _ = context.with_timeout(context.background(), 3)
        with pytest.raises(context.DeadlineExceeded):
            weighted.acquire(1, ctx=limited)
        started.append(now())
        flight = singleflight.Group()
        wg = sync.WaitGroup()
        for _ in range(5):
            wg.go(lambda: flight.do("key", lambda: time.sleep(4)))
        wg.wait()
        started.append(now())
        once = sync.Once()
        for _ in range(5):
            wg.go(once.do, lambda: time.sleep(5))
        wg.wait()
        started.append(now())
        assert started == [2, 5, 9, 14]

    testing.synctest(body)


def test_a_lock_that_is_held_while_its_holder_sleeps():
    """Unlike in Go, to wait for a lock of the bubble's own is durable."""

    def body():
        mu, rw, wg = sync.Mutex(), sync.RWMutex(), sync.WaitGroup()

        def holds(lock):
            with lock:
                time.sleep(1)

        for _ in range(3):
            wg.go(holds, mu)
            wg.go(holds, rw)
        wg.wait()
        assert now() == 3

    testing.synctest(body)


def test_locks_taken_in_two_orders_are_a_deadlock():
    def body():
        a, b = sync.Mutex(), sync.Mutex()

        def takes(first, second):
            with first:
                time.sleep(1)
                with second:
                    pass

        go(takes, a, b)
        go(takes, b, a)

    with pytest.raises(Panic, match="deadlock"):
        testing.synctest(body)


def test_goroutines_that_are_left_go_on_for_a_day():
    ended = []
    testing.synctest(lambda: go(lambda: (time.sleep(3600), ended.append(now()))) and None)
    assert ended == [3600]

    def for_ever():
        while True:
            time.sleep(1000)

    with pytest.raises(Panic, match="main bubble goroutine has exited"):
        testing.synctest(lambda: go(for_ever) and None)


# What is outside


def test_the_clock_waits_for_blocking_calls():
    def body():
        go(time.sleep, 1000)
        blocking(real.sleep, 0.01)
        assert now() == 0

    testing.synctest(body)


def test_a_timeout_on_what_is_outside_is_real():
    outside = Chan()

    def body():
        before = real.monotonic()
        with pytest.raises(TimeoutError):
            outside.recv(timeout=0.01)
        assert now() == 0
        assert real.monotonic() - before >= 0.01

    testing.synctest(body)


def test_descriptors_have_the_real_clock():
    def body():
        a, b = os.pipe()
        try:
            with pytest.raises(TimeoutError):
                runtime.wait_read(a, timeout=0.01)
            go(lambda: blocking(real.sleep, 0.01) or os.write(b, b"x"))
            runtime.wait_read(a)
            assert now() == 0
        finally:
            os.close(a)
            os.close(b)

    testing.synctest(body)


def test_from_a_plain_thread():
    result = []
    thread = threading.Thread(target=lambda: result.append(testing.synctest(lambda: time.sleep(5) or now())))
    thread.start()
    thread.join()
    assert result == [5]


def test_in_a_goroutine_of_any_kind(in_goroutine):
    def body():
        time.sleep(5)
        return now()

    async def stackless():
        out.send(testing.synctest(body))

    out = Chan(1)
    assert in_goroutine(testing.synctest, body) == 5
    go(stackless)
    assert out.recv() == 5


def test_a_system_call_is_no_durable_wait():
    """A goroutine that sleeps outside Python."""

    def body():
        go(real.sleep, 0.01)
        time.sleep(10)

    before = real.monotonic()
    testing.synctest(body)
    assert real.monotonic() - before >= 0.01


def test_ctrl_c(run_program):
    finished = run_program("""
        import os, signal
        from gopy import blocking, go, runtime, testing, time
        import time as real

        def body():
            go(lambda: blocking(real.sleep, 0.1) or os.kill(os.getpid(), signal.SIGINT))
            a, b = os.pipe()
            runtime.wait_read(a)

        try:
            testing.synctest(body)
        except KeyboardInterrupt:
            print("interrupted")
        testing.synctest(time.sleep, 5)
        assert runtime.num_goroutine() == 1, runtime.stack(all=True)
        print("ended")
        """)
    assert (finished.stdout, finished.stderr) == ("interrupted\nended\n", "")


def test_a_child_that_is_forked_in_a_bubble(run_program):
    program = """
        import os
        from gopy import go, testing, time

        def body():
            go(time.sleep, 50)
            pid = os.fork()
            time.sleep(5)
            if pid == 0:
                os._exit(int(time.now()))
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        print(testing.synctest(body))
        """
    # From CPython 3.15 on the warning of a fork beside threads is raised where it is an error.
    finished = run_program(program, flags=["-W", "ignore::DeprecationWarning"])
    assert (finished.stdout, finished.stderr) == ("5\n", "")


@pytest.mark.soak
@pytest.mark.parametrize("procs", ["1", "2"])
def test_after_ten_seconds_it_says_who_waits(run_program, procs):
    finished = run_program(
        """
        import time as real
        from gopy import go, testing, time

        def body():
            go(time.sleep, 5)
            real.sleep(15)

        testing.synctest(body)
        """,
        env={"GOMAXPROCS": procs},
    )
    assert finished.returncode == 0
    assert "nothing has happened in a bubble for 10 seconds" in finished.stderr
    assert "real.sleep(15)" in finished.stderr
    assert "[sleep]" not in finished.stderr


# Seeds


def order(seed):
    """In which order goroutines come and cases are chosen."""
    seen = []

    def child(n, ch):
        for i in range(3):
            seen.append((n, i))
            runtime.gosched()
        ch.send(n)

    def body():
        chans = [Chan() for _ in range(4)]
        for n, ch in enumerate(chans):
            go(child, n, ch)
        for _ in chans:
            seen.append(select(*map(recv, chans))[:2])

    testing.synctest(body, seed=seed)
    return seen


@EACH_P
def test_a_seed_is_an_order(gomaxprocs, procs):
    """The same each time, whatever GOMAXPROCS is."""
    gomaxprocs(1)
    expected = [order(seed) for seed in range(20)]
    gomaxprocs(procs)
    assert [order(seed) for seed in range(20)] == expected
    assert len({tuple(each) for each in expected}) > 10


@EACH_P
def test_a_seed_is_an_order_however_long_it_takes(gomaxprocs, procs):
    """Also if a goroutine has had its time slice while one that is outside waits for the thread."""
    gomaxprocs(procs)
    over, seen = [], []

    def outside():
        while not over:
            time.sleep(0.0005)

    def child(n, slow):
        for i in range(4):
            seen.append((n, i))
            until = real.monotonic() + (0.05 if n == slow else 0)
            while real.monotonic() < until:
                pass
            runtime.gosched()

    def body(slow):
        for n in range(4):
            go(child, n, slow)

    def order(slow):
        seen.clear()
        testing.synctest(body, slow, seed=7)
        return seen.copy()

    other = go(outside)
    expected = order(None)
    assert [order(slow) for slow in range(4)] == [expected] * 4
    over.append(True)
    other.join()


@EACH_P
@EACH_WAY
def test_a_seeded_bubble_does_all_that_another_does(gomaxprocs, way, procs):
    gomaxprocs(procs)

    async def child(w, n, ch, mu, log):
        await w.sleep(n % 3)
        await w.lock(mu)
        await w.gosched()
        log.append(n)
        mu.unlock()
        await w.send(ch, n)

    async def body(w):
        ch, mu, log = Chan(), sync.Mutex(), []
        for n in range(10):
            w.go(child, n, ch, mu, log)
        got = [await w.recv(ch) for _ in range(10)]
        await w.pause()
        assert sorted(got) == sorted(log) == list(range(10))
        assert now() == 2

    for seed in range(20):
        run(way, body, seed=seed)


def test_a_seeded_bubble_and_what_is_outside():
    def body():
        ch = Chan()
        for _ in range(3):
            go(lambda: blocking(ch.__class__) and ch.send(1))
        for _ in range(3):
            ch.recv()

    for seed in range(10):
        testing.synctest(body, seed=seed)


def lost_wakeup():
    """The condition is looked at before the lock is held."""
    mu = sync.Mutex()
    cond = sync.Cond(mu)
    ready = []

    def waiter():
        if not ready:
            mu.lock()
            cond.wait()
            mu.unlock()

    def signaller():
        with mu:
            ready.append(True)
        cond.signal()

    go(waiter)
    go(signaller)


def double_close():
    """Whoever finishes last closes the channel, if it is not closed yet."""
    done, state = Chan(), {"closed": False}
    mu = sync.Mutex()

    def finish():
        with mu:
            closed = state["closed"]
        if not closed:
            with mu:
                state["closed"] = True
            done.close()

    go(finish)
    go(finish)


def check_then_act():
    """Two take from an account what only one may."""
    account = {"balance": 100}
    mu = sync.RWMutex()

    def withdraw(amount):
        with mu.rlocker():
            enough = account["balance"] >= amount
        if enough:
            with mu:
                account["balance"] -= amount

    wg = sync.WaitGroup()
    wg.go(withdraw, 80)
    wg.go(withdraw, 80)
    wg.wait()
    assert account["balance"] >= 0


@EACH_P
@pytest.mark.parametrize(
    ("bug", "error"), [(lost_wakeup, Panic), (double_close, Panic), (check_then_act, AssertionError)]
)
def test_explore_finds_it_and_the_seed_replays_it(gomaxprocs, procs, bug, error):
    gomaxprocs(procs)
    with pytest.raises(error) as caught:
        testing.explore(bug)
    note = caught.value.__notes__[-1]
    seed = int(note.partition("seed ")[2].partition(";")[0])
    assert f"synctest({bug.__qualname__}, seed={seed}) replays it" in note
    for _ in range(3):
        with pytest.raises(error):
            testing.synctest(bug, seed=seed)
    for earlier in range(seed):
        testing.synctest(bug, seed=earlier)


def test_explore_tries_each_seed():
    seen = []
    testing.explore(lambda: seen.append(select(default)[0]), seeds=range(7))
    assert len(seen) == 7


# What it costs


@pytest.mark.quiet
def test_an_empty_bubble_takes_less_than_50_us():
    best = 1.0
    for _ in range(20):
        before = real.perf_counter()
        for _ in range(100):
            testing.synctest(int)
        best = min(best, (real.perf_counter() - before) / 100)
    assert best < 50e-6


@pytest.mark.quiet
def test_100_000_timer_events_take_less_than_a_second():
    def sleeps():
        for _ in range(100):
            time.sleep(1)

    def body():
        wg = sync.WaitGroup()
        for _ in range(1000):
            wg.go(sleeps)
        wg.wait()

    took = []
    while not took or (took[-1] >= 1 and len(took) < 20):  # a tenth is usual
        before = real.perf_counter()
        testing.synctest(body)
        took.append(real.perf_counter() - before)
    assert min(took) < 1
