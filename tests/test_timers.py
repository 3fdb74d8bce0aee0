"""Timers and tickers beyond Go's own tests: collection, memory, precision, forks, threads, wrong arguments."""

import asyncio
import contextvars
import gc
import os
import threading
import time
import weakref

import pytest

from gopy import Chan, RecvChan, default, go, nilchan, recv, runtime, select
from gopy.testing import synctest
from gopy.time import Hour, Ticker, Timer, after, after_func, now, sleep, tick


def ready(ch):
    return select(recv(ch), default)[0] == 0


def timers():
    return runtime.stats()["timers"]


# What they are


def test_now_is_monotonic_time():
    before = time.monotonic()
    t = now()
    assert before <= t <= time.monotonic()


def test_the_channel_is_one_sided():
    function = after_func(Hour, int)
    function.stop()
    for c in (Timer(1).c, Ticker(1).c, after(1), tick(1), function.c):
        assert isinstance(c, RecvChan)
        assert not hasattr(c, "send")
        assert not hasattr(c, "close")
        assert (len(c), c.cap, bool(c)) == (0, 0, True)
    timer = Timer(1)
    assert timer.c is timer.c
    with pytest.raises(AttributeError):
        timer.c = None


def test_a_value_is_the_time_at_which_it_was_due():
    for wait in (
        lambda c: c.recv(),
        lambda c: c.recv_ok()[0],
        lambda c: next(iter(c)),
        lambda c: select(recv(c))[1],
    ):
        before = time.monotonic()
        value = wait(after(0.005))
        assert isinstance(value, float)
        assert before + 0.005 <= value <= time.monotonic()


def test_iterating_a_ticker():
    ticks, start = [], now()
    for t in Ticker(0.002).c:
        ticks.append(t)
        if len(ticks) == 5:
            break
    steps = [(t - start) // 0.002 for t in ticks]
    assert steps == sorted(set(steps))
    assert steps[0] >= 1


def test_slow_receivers_lose_ticks_and_the_rest_keep_step():
    ticker = Ticker(0.002)
    first = ticker.c.recv()
    received = now()
    time.sleep(0.02)
    kept, following = ticker.c.recv(), ticker.c.recv()
    assert first < kept <= received + 0.002  # the first tick after that
    assert following - first >= 0.019
    for value in kept, following:
        assert (value - first) / 0.002 == pytest.approx(round((value - first) / 0.002), abs=1e-3)


def test_the_mean_period_of_a_ticker():
    """Whatever each single tick's delay: by the times that are sent, as ticks may be lost."""
    start = now()
    ticker, made = Ticker(0.01), now()
    first = ticker.c.recv()
    assert start + 0.01 - 1e-6 <= first <= made + 0.01 + 1e-6
    for _ in range(40):
        last = ticker.c.recv()
    periods = round((last - first) / 0.01)
    assert periods >= 40
    assert abs(last - first - periods * 0.01) < 1e-6


@pytest.mark.quiet
def test_ticks_are_received_when_they_are_due(machine_delay):
    """The least delay of many: the machine may be busy with others."""
    ticker = Ticker(0.01)
    delay = min(-ticker.c.recv() + now() for _ in range(40))
    assert delay < 0.0004 + machine_delay()


@pytest.mark.parametrize(
    "seconds", [0, -1, -0.0, -1e300, float("-inf"), -(10**400)], ids=lambda s: str(s)[:6]
)
def test_no_time_is_due_at_once(seconds):
    timer = Timer(seconds)
    assert ready(timer.c)
    assert not timer.reset(seconds)
    assert ready(timer.c)
    assert ready(after(seconds))
    ran = Chan()
    after_func(seconds, ran.close)
    ran.recv(timeout=20)
    assert tick(seconds) == nilchan


@pytest.mark.parametrize("seconds", [1e10, 1e300, float("inf"), 10**400], ids=lambda s: str(s)[:6])
def test_for_ever(seconds):
    timer, ticker, function = Timer(seconds), Ticker(seconds), after_func(seconds, int)
    assert not ready(timer.c)
    assert not ready(ticker.c)
    for c in (timer.c, ticker.c):
        with pytest.raises(TimeoutError):
            c.recv(timeout=0.001)
    for each in (timer, function):
        assert each.reset(seconds)
        assert each.stop()
        assert not each.stop()


def test_stop_while_somebody_waits(until):
    timer, got = Timer(Hour), Chan(1)
    g = go(lambda: got.send(timer.c.recv()))
    until(lambda: g.state == "chan receive")
    assert timers() >= 1
    assert timer.stop()
    assert not timer.reset(0.001)
    assert got.recv(timeout=20) <= now()
    g.join()


def test_a_stopped_timer_wakes_nobody():
    def body():
        timer, got = Timer(2), Chan(1)
        g = go(lambda: got.send(timer.c.recv()))
        sleep(1)
        assert timer.stop()
        sleep(9)
        assert g.state == "chan receive"
        assert not timer.reset(1)
        assert got.recv() == 11

    synctest(body)


def test_of_several_receivers_one_gets_it(until):
    timer, got = Timer(Hour), Chan(10)
    gs = [go(lambda: got.send(timer.c.recv())) for _ in range(5)]
    until(lambda: all(g.state == "chan receive" for g in gs))
    for i in range(5):
        assert timer.reset(0.001) is (i == 0)
        got.recv(timeout=20)
        sleep(0.002)
        assert len(got) == 0
    for g in gs:
        g.join()


# Collection


def test_nobody_refers_to_it():
    refs = [weakref.ref(each) for each in (Timer(Hour), Ticker(Hour), Timer(Hour).c, after(Hour), tick(Hour))]
    gc.collect()
    assert [r() for r in refs] == [None] * 5


def test_a_receiver_keeps_it():
    """All that is left is the channel, in the hands of a parked goroutine."""
    got = Chan(3)
    gs = [
        go(lambda: got.send(after(0.02).recv())),
        go(lambda: got.send(select(recv(after(0.02)), recv(Chan()))[1])),
        go(lambda: got.send(next(iter(Ticker(0.02).c)))),
    ]
    while len(got) < 3:
        gc.collect()
        sleep(0.001)
    for g in gs:
        g.join()


def test_a_function_is_kept_until_it_fired_or_was_stopped(until):
    ran, ref = Chan(), []
    ref.append(weakref.ref(after_func(0.01, ran.close)))
    ref.append(weakref.ref(after_func(Hour, ran.close)))
    gc.collect()
    ran.recv(timeout=20)
    gc.collect()
    assert ref[1]().stop()
    until(lambda: gc.collect() + 1 and [r() for r in ref] == [None, None])


def test_methods_of_the_class_on_a_timer_with_a_function():
    """Timer.stop(t) is t.stop(), also if t is what after_func() returned."""
    ran = Chan(1)
    t = after_func(Hour, ran.send, True)
    assert Timer.stop(t) and not Timer.stop(t)
    assert not Timer.reset(t, 0)
    assert ran.recv(timeout=30)
    with pytest.raises(TypeError):
        Timer.reset(t, "soon")
    with pytest.raises(TypeError):
        Ticker.stop(t)


def test_a_cycle_through_a_fired_function_is_collected(until):
    class Holder:
        def __init__(self):
            self.ran = Chan()
            self.timer = after_func(0, self.method)

        def method(self):
            self.ran.close()

    holder = Holder()
    holder.ran.recv(timeout=20)
    ref = weakref.ref(holder)
    del holder
    until(lambda: gc.collect() + 1 and ref() is None)


def test_twenty_thousand_selects_leave_nothing():
    ch = Chan(1)
    gc.collect()
    before = len(gc.get_objects())
    for i in range(10_000):
        ch.send(i)
        select(recv(ch), recv(after(Hour)))
        go(ch.send, i)
        select(recv(ch), recv(after(Hour)))
    assert timers() == 0
    gc.collect()
    assert len(gc.get_objects()) - before < 1000


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_what_a_million_cost(run_program):
    """Pending timers, tickers and functions: at most 300 bytes each, and no goroutine."""
    done = run_program(
        """
        import gc, psutil
        from gopy import runtime
        from gopy.time import Timer, Ticker, after, after_func
        gc.disable()  # else most of the time goes to the collector
        rss = psutil.Process().memory_info
        kinds = {"Timer": Timer, "after": after, "Ticker": Ticker, "after_func": lambda s: after_func(s, print)}
        for name, make in kinds.items():
            n = 1_000_000 if name == "Timer" else 100_000
            made = [None] * n
            make(3600)
            before = rss().rss
            for i in range(n):
                made[i] = make(3600 + i)
            each = (rss().rss - before) / n
            assert each <= 300, (name, each)
            if name == "after_func":
                assert runtime.stats()["timers"] > n
                for timer in made:
                    timer.stop()
            assert runtime.num_goroutine() == 1
            del made
        print("ok")
        """,
        timeout=180,
    )
    assert (done.stdout, done.stderr) == ("ok\n", "")


# after_func


def test_arguments_context_and_goroutine():
    var, got = contextvars.ContextVar("var", default=0), Chan(10)

    def body(*args):
        got.send((args, var.get(), runtime.current().id))
        var.set(2)

    var.set(1)
    timer = after_func(0, body, 1, "b", None)
    first = got.recv(timeout=20)
    timer.reset(0)
    second = got.recv(timeout=20)
    assert first[:2] == second[:2] == ((1, "b", None), 1)
    assert len({first[2], second[2], runtime.current().id}) == 3


def test_keyword_arguments():
    ran = Chan(4)

    def body(*args, **kwargs):
        ran.send((args, kwargs))

    timer = after_func(0, body, 1, b=2)
    assert ran.recv(timeout=20) == ((1,), {"b": 2})
    timer.reset(0)
    assert ran.recv(timeout=20) == ((1,), {"b": 2})
    after_func(0, body, a=1)
    assert ran.recv(timeout=20) == ((), {"a": 1})

    async def coroutine(value):
        await ran.asend(value)

    after_func(0, coroutine, value=3)
    assert ran.recv(timeout=20) == 3


def test_a_timer_that_fires_again_before_it_was_started(gomaxprocs):
    gomaxprocs(1)
    ran = Chan(10)
    timer = after_func(0, ran.send, 1)
    for _ in range(5):
        sleep(1e-6)
        timer.reset(0)
    count = 0
    while count < 2:
        ran.recv(timeout=20)
        count += 1
    sleep(0.005)
    timer.stop()
    assert len(ran) + count <= 6


def test_a_burst_of_functions():
    ran = Chan(20_000)
    for i in range(20_000):
        after_func(0.01 + (i % 7) * 1e-3, ran.send, i)
    assert sorted(ran.recv(timeout=20) for _ in range(20_000)) == list(range(20_000))
    assert timers() == 0


def test_a_stackless_function():
    ran = Chan(2)

    async def coroutine(value):
        await ran.asend(value)

    def generator(value):
        yield ran.asend(value)

    after_func(0, coroutine, 1)
    after_func(0, generator, 2)
    assert {ran.recv(timeout=20), ran.recv(timeout=20)} == {1, 2}


def test_a_panic_in_a_function():
    seen = Chan(1)
    was = runtime.set_panic_handler(lambda g, exc: seen.send((g.name, exc)) or True)
    try:

        def fails():
            raise KeyError("in a timer")

        after_func(0, fails)
        name, exc = seen.recv(timeout=20)
    finally:
        runtime.set_panic_handler(was)
    assert name.endswith("fails")
    assert exc.args == ("in a timer",)


def test_from_a_plain_thread_while_everything_is_parked(run_program):
    """No M runs, and none waits for a timer: somebody must be woken up for this one, or it comes after an hour."""
    done = run_program(
        """
        import threading, time
        from gopy import Chan, go, runtime
        from gopy.time import after, after_func, sleep
        main, sleeper, ran, heard = runtime.current(), go(sleep, 3600), Chan(), Chan()
        def body():
            while (main.state, sleeper.state) != ("chan receive", "sleep"):
                time.sleep(0.001)
            time.sleep(0.05)  # by now their threads sleep, too
            after_func(0.02, ran.send, "ran")
            after(0.01).recv()
            heard.send("heard")
        threading.Thread(target=body).start()
        print(ran.recv(), heard.recv())
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran heard\n", "")


def test_a_program_of_plain_threads_only(run_program):
    done = run_program(
        """
        import threading
        from gopy.time import Ticker, after, after_func
        ran = threading.Event()
        def body():
            after_func(0.01, ran.set)
            assert ran.wait(20)
            after(0.01).recv()
            ticker = Ticker(0.001)
            for _ in range(20):
                ticker.c.recv()
            print("ok")
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


# The scheduler


@pytest.mark.parametrize("before", [2, 8])
def test_timers_survive_fewer_processors(gomaxprocs, before):
    gomaxprocs(before)
    got, ran = Chan(200), Chan(200)

    def body(i):
        after_func(0.01 + i * 1e-4, ran.send, i)
        got.send((i, after(0.01 + i * 1e-4).recv()))

    gs = [go(body, i) for i in range(100)]
    sleep(0.001)
    gomaxprocs(1)
    assert sorted(got.recv(timeout=20)[0] for _ in gs) == list(range(100))
    assert sorted(ran.recv(timeout=20) for _ in gs) == list(range(100))
    for g in gs:
        g.join()


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_reset_and_stop_race_with_receivers(gomaxprocs, procs):
    """Nothing is received that was not due: after each reset the value is at least that reset's."""
    gomaxprocs(procs)
    timer, over = Timer(Hour), Chan()
    early = []

    def receiver():
        while select(recv(over), recv(timer.c), recv(after(0.001)))[0] != 0:
            pass

    def resetter(seed):
        for i in range(300):
            if (i * seed) % 3:
                timer.reset((i * seed % 7) * 1e-5)
            else:
                timer.stop()
            if i % 50 == 0:
                sleep(1e-4)

    def checker():
        mine = Timer(Hour)
        for i in range(300):
            due = now() + i % 5 * 1e-5
            mine.reset(i % 5 * 1e-5)
            if i % 2:
                value = mine.c.recv()
                if value < due:
                    early.append((due, value))

    gs = [go(receiver) for _ in range(4)]
    rs = [go(resetter, i) for i in range(1, 4)] + [go(checker) for _ in range(2)]
    for g in rs:
        g.join()
    over.close()
    for g in gs:
        g.join()
    assert early == []
    assert timers() == 0


def test_a_pending_timer_that_can_wake_somebody_is_life(run_program):
    done = run_program(
        """
        from gopy import Chan, Deadlock
        from gopy.time import Ticker, Timer, after, after_func
        assert after(0.3).recv()
        done = Chan()
        after_func(0.3, done.close)
        done.recv()
        unused = Timer(3600), Ticker(3600)
        stopped = Timer(3600)
        stopped.stop()
        for ch in (Chan(), stopped.c, after(float("inf"))):
            try:
                ch.recv()
            except Deadlock as exc:
                print(str(exc).splitlines()[0])
        """
    )
    assert done.stdout == "all goroutines are asleep - deadlock!\n" * 3
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("procs", [1, 2])
def test_fork(run_program, procs):
    """The child's timers on channels go on, the parent's functions do not run there, and both can be used anew."""
    done = run_program(
        """
        import os
        from gopy import Chan, go, default, select, recv, runtime
        from gopy.time import Ticker, Timer, after, after_func, sleep
        ran = Chan(10)
        waited = Timer(3600)
        waiting = go(waited.c.recv)
        while waiting.state != "chan receive":
            sleep(0.001)
        # None of them is due before the fork, though it may take a while.
        waited.reset(1)
        timer, ticker, function = Timer(1), Ticker(0.01), after_func(1, ran.send, "parent")
        pid = os.fork()
        if pid == 0:
            assert runtime.stats()["timers"] == 0
            assert timer.c.recv() and ticker.c.recv() and ticker.c.recv()
            assert waited.c.recv()
            assert not waited.reset(0.001) and waited.c.recv()
            sleep(0.05)
            assert len(ran) == 0
            assert function.stop() is False
            assert function.reset(0.001) is False
            assert ran.recv() == "parent"
            after_func(0.001, ran.send, "child")
            assert ran.recv() == "child" and after(0.001).recv()
            del timer, ticker, function, waited
            os._exit(0)
        assert ran.recv() == "parent" and timer.c.recv()
        waiting.join()
        print(os.waitpid(pid, 0)[1])
        """,
        env={"GOMAXPROCS": str(procs)},
        flags=["-W", "ignore::DeprecationWarning"],
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_on_plain_threads():
    ticker, got = Ticker(0.001), Chan(100)

    def body():
        for _ in range(5):
            got.send(ticker.c.recv())
            got.send(select(recv(after(0.001)), recv(Chan()))[1])

    threads = [threading.Thread(target=body) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert len(got) == 40
    ticker.stop()
    assert timers() == 0


def test_a_timeout_takes_the_timer_out_again():
    timer = Timer(Hour)
    for _ in range(10):
        with pytest.raises(TimeoutError):
            timer.c.recv(timeout=1e-4)
        with pytest.raises(TimeoutError):
            select(recv(timer.c), recv(timer.c), timeout=1e-4)
    assert timers() == 0
    assert timer.stop()


# async


def test_awaited_in_a_goroutine():
    got = Chan(3)

    async def body():
        await got.asend(await after(0.001).arecv())
        ticker = Ticker(0.001)
        async for t in ticker.c:
            await got.asend(t)
            break

    g = go(body)
    first, second = got.recv(timeout=20), got.recv(timeout=20)
    assert isinstance(first, float)
    assert isinstance(second, float)
    g.join()


def test_awaited_in_asyncio():
    async def main():
        before = now()
        assert await after(0.002).arecv() >= before + 0.002
        value, ok = await after(0.001).arecv_ok()
        assert isinstance(value, float) and ok
        timer = Timer(Hour)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(timer.c.arecv(), 0.005)
        assert timer.reset(0.001)
        assert isinstance(await timer.c.arecv(), float)

    asyncio.run(main())
    assert timers() == 0


def test_cancelled_with_the_value_on_its_way():
    """It goes back to the timer, unless that was reset in between."""

    async def main(reset):
        timer = Timer(Hour)
        task = asyncio.ensure_future(timer.c.arecv())
        await asyncio.sleep(0.01)
        timer.reset(0)
        end = now() + 5
        while timers() and now() < end:  # another thread has it run
            time.sleep(0.001)
        if reset:
            timer.reset(Hour)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return ready(timer.c)

    assert asyncio.run(main(True)) is False
    assert asyncio.run(main(False)) in (True, False)


# Wrong arguments


@pytest.mark.parametrize("seconds", [None, "1", b"1", [], 1j, object()])
def test_a_duration_is_a_number(seconds):
    timer, ticker, function = Timer(Hour), Ticker(Hour), after_func(Hour, int)
    calls = [
        Timer,
        Ticker,
        after,
        tick,
        timer.reset,
        ticker.reset,
        function.reset,
        lambda s: after_func(s, int),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"`seconds` must be a number of seconds, got \w+"):
            call(seconds)
        with pytest.raises(ValueError, match="`seconds` must be a number of seconds, got nan"):
            call(float("nan"))
    assert timer.stop()
    assert function.stop()


@pytest.mark.parametrize("seconds", [0, -1, -0.0, float("-inf")])
def test_a_ticker_needs_a_positive_interval(seconds):
    with pytest.raises(ValueError, match=r"^non-positive interval for NewTicker$"):
        Ticker(seconds)
    ticker = Ticker(0.001)
    with pytest.raises(ValueError, match=r"^non-positive interval for Ticker\.Reset$"):
        ticker.reset(seconds)
    assert ticker.c.recv(timeout=20)


def test_other_wrong_arguments():
    for call in (lambda: after_func(1), after_func, Timer, lambda: Timer(1, 2), lambda: Ticker(s=1)):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(TypeError, match="`fn` must be callable, a coroutine or a generator, got int"):
        after_func(1, 2)
    assert timers() == 0


def test_an_error_in_the_number_itself_passes_through():
    class Bad:
        def __float__(self):
            raise KeyError("bad")

    for call in (Timer, Ticker, after, tick, Timer(Hour).reset, lambda s: after_func(s, int)):
        with pytest.raises(KeyError, match="bad"):
            call(Bad())
