"""Bubbles and what is outside of them; bad use of gopy.testing.synctest: a clear error, never a hang."""

import os
import signal
import threading

import pytest
from bubbles import EACH_P

from gopy import Chan, Panic, context, go, recv, runtime, select, sync, testing, time
from gopy import signal as gosignal
from gopy.time import now

# Contexts


@pytest.mark.parametrize("make", [context.with_cancel, lambda ctx: context.with_timeout(ctx, 1000)])
def test_a_context_from_outside_is_awaited_in_real_time(make):
    """Its channel is its own, though it is made when it is asked for first, which is in the bubble."""
    ctx, cancel = make(context.background())
    inside = Chan(1)

    def cancels():
        inside.recv()
        cancel()

    def body():
        inside.send(None)
        go(time.sleep, 5)
        ctx.done().recv()
        assert now() == 0

    go(cancels)
    testing.synctest(body)
    assert ctx.done().recv() is None


def test_a_deadline_from_outside_that_passes_later():
    ctx, _cancel = context.with_timeout(context.background(), 0.01)
    testing.synctest(lambda: select(recv(ctx.done()), recv(time.after(0))))
    assert ctx.done().recv() is None


def test_a_context_of_a_bubble_that_ends_with_one_from_outside():
    parent, cancel = context.with_cancel(context.background())
    outside, ended = Chan(), []

    def cancels():
        outside.recv()
        cancel()
        outside.send(None)

    def waits(ctx):
        ended.append(ctx.done().recv_ok())

    def body():
        child, _cancel = context.with_timeout(parent, 5)
        go(waits, child)
        testing.wait()
        outside.send(None)  # the clock waits for this one
        outside.recv()
        testing.wait()
        assert ended == [(None, False)]
        assert now() == 0

    go(cancels)
    testing.synctest(body)


def test_a_context_that_was_used_in_a_bubble_is_used_in_another():
    ctx, cancel = context.with_cancel(context.background())

    def gives_up():
        assert select(recv(ctx.done()), recv(time.after(0)))[0] == 1

    testing.synctest(gives_up)
    testing.synctest(gives_up)
    cancel()
    testing.synctest(lambda: ctx.done().recv())


def test_the_module_may_be_imported_in_a_bubble_first(run_program):
    done = run_program("""
        from gopy import testing
        testing.synctest(lambda: __import__("gopy.context"))
        from gopy import context
        ctx, cancel = context.with_cancel(context.background())
        cancel()
        print(ctx.done().recv())
        """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "None\n", "")


# Signals


@pytest.mark.parametrize(
    "notify",
    [
        lambda: gosignal.notify(Chan(1), signal.SIGUSR1),
        lambda: gosignal.notify_context(context.background(), signal.SIGUSR1),
    ],
)
def test_signals_do_not_come_into_a_bubble(notify):
    with pytest.raises(Panic, match="os/signal: Notify using a synctest channel"):
        testing.synctest(notify)


def test_a_channel_from_outside_gets_signals_in_a_bubble():
    ch = Chan(1)
    gosignal.notify(ch, signal.SIGUSR1)

    def body():
        os.kill(os.getpid(), signal.SIGUSR1)
        return ch.recv(), now()

    try:
        assert testing.synctest(body) == (signal.SIGUSR1, 0)
    finally:
        gosignal.stop(ch)


# Errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: testing.explore(None), "`fn` must be callable, as it is called for each seed, got NoneType"),
        (lambda: testing.explore(print, seeds=3), "`seeds` must be an iterable of ints, got int"),
        (lambda: testing.explore(print, seeds="ab"), "`seed` must be an int or None, got str"),
        (lambda: testing.synctest(print, seed=1.5), "`seed` must be an int or None, got float"),
    ],
)
def test_arguments(call, message):
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value) == message


def test_a_coroutine_cannot_be_explored():
    async def fn():
        pass

    made = fn()
    with pytest.raises(TypeError, match="as it is called for each seed, got coroutine"):
        testing.explore(made)
    made.close()


@EACH_P
def test_what_starts_in_a_bubble_cannot_begin_another(gomaxprocs, procs):
    gomaxprocs(procs)
    found = []

    def nests():
        try:
            testing.synctest(found.append, "never")
        except RuntimeError as error:
            found.append(str(error))

    async def anests():
        nests()

    def body():
        nests()
        go(nests)
        go(anests)
        runtime.go_locked(nests)
        time.after_func(1, nests)
        time.sleep(2)

    testing.synctest(body)
    assert found == ["synctest called from within a synctest bubble"] * 5


def test_a_plain_thread_is_outside_and_may_have_a_bubble_of_its_own():
    times = []

    def body():
        time.sleep(1)
        thread = threading.Thread(target=lambda: times.append(testing.synctest(now)))
        thread.start()
        thread.join()
        times.append(now())

    testing.synctest(body)
    assert times == [0, 1]


def test_a_program_that_waits_for_ever_is_told_what_to_do(run_program):
    """The goroutine in the WaitGroup from outside keeps the clock still, and nobody else is there."""
    done = run_program("""
        from gopy import sync, testing, time

        wg = sync.WaitGroup()

        def body():
            wg.go(time.sleep, 1)
            wg.wait()

        testing.synctest(body)
        """)
    assert done.returncode == 1
    assert "Deadlock: all goroutines are asleep" in done.stderr
    assert "use channels and locks that are made in it" in done.stderr


@EACH_P
def test_a_bubbles_things_in_the_hands_of_a_plain_thread(gomaxprocs, procs):
    gomaxprocs(procs)
    errors = []

    def tries(*calls):
        for call in calls:
            with pytest.raises(Panic, match="from outside bubble") as caught:
                call()
            errors.append(caught.value)

    def body():
        ch, timer, ticker = Chan(), time.Timer(100), time.Ticker(100)
        after = time.after_func(100, print)
        calls = [lambda: ch.send(1), ch.recv, ch.recv_ok, ch.close, lambda: next(iter(ch)), timer.stop]
        calls += [lambda: timer.reset(5), timer.c.recv, ticker.stop, ticker.c.recv, lambda: after.reset(5)]
        calls += [lambda: select(recv(ch))]
        thread = threading.Thread(target=tries, args=calls)
        thread.start()
        thread.join()
        assert len(errors) == len(calls)
        assert len(ch) == 0
        go(ch.send, 1)
        assert ch.recv() == 1

    testing.synctest(body)


# Ends


@EACH_P
def test_ctrl_c_ends_those_that_catch_everything(run_program, procs):
    done = run_program(
        """
        import os, signal, sys
        from gopy import Chan, go, runtime, testing, time

        def stubborn():
            while True:
                try:
                    Chan().recv(timeout=1)
                except BaseException:
                    pass

        def body():
            go(stubborn)
            go(os.kill, os.getpid(), signal.SIGINT)
            runtime.wait_read(os.pipe()[0])

        try:
            testing.synctest(body)
        except KeyboardInterrupt:
            print("interrupted")
        print(testing.synctest(lambda: time.sleep(5) or time.now()))
        """,
        env={"GOMAXPROCS": str(procs)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n5.0\n", "")


@pytest.mark.parametrize(
    ("ends", "code"), [("sys.exit(3)", 3), ("go(sys.exit, 4), time.sleep(9)", 4), ("os._exit(5)", 5)]
)
def test_the_program_ends_in_a_bubble(run_program, ends, code):
    done = run_program(f"""
        import os, sys
        from gopy import Chan, go, testing, time
        testing.synctest(lambda: (go(Chan().recv), {ends}))
        """)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_the_main_goroutine_ends_while_there_is_a_bubble(run_program):
    done = run_program("""
        import os
        from gopy import Chan, go, runtime, testing
        go(testing.synctest, lambda: (go(Chan().recv), runtime.wait_read(os.pipe()[0])))
        runtime.gosched()
        print("end")
        """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


@EACH_P
def test_those_that_are_ended_may_take_locks_in_turn(gomaxprocs, procs):
    gomaxprocs(procs)
    ended = []

    def waits(ch, lock):
        try:
            ch.recv()
        finally:
            with lock:
                runtime.gosched()
                ended.append(1)

    async def awaits(ch, lock):
        try:
            await ch.arecv()
        finally:
            async with lock:
                await runtime.agosched()
                ended.append(1)

    def body():
        ch, mu, rw = Chan(), sync.Mutex(), sync.RWMutex()
        for fn in (waits, awaits) * 5:
            go(fn, ch, mu)
            go(fn, ch, rw)
        testing.wait()
        raise KeyError

    with pytest.raises(KeyError):
        testing.synctest(body)
    assert len(ended) == 20


def test_an_exception_without_a_text():
    class Odd(BaseException):
        def __str__(self):
            raise ValueError("no text")

    def raises():
        raise Odd

    def body():
        go(raises)
        time.sleep(1)

    with pytest.raises(Odd):
        testing.synctest(raises)
    with pytest.raises(Odd):
        testing.synctest(body)


def test_gomaxprocs_may_change_in_a_bubble(gomaxprocs):
    def body():
        times = []
        for n in (1, 2, 8, 1):
            gomaxprocs(n)
            go(lambda: times.append(now()))
            time.sleep(1)
        return times

    assert testing.synctest(body) == [0, 1, 2, 3]


def test_a_mutex_that_an_outsider_may_unlock_is_no_durable_wait():
    mu = sync.Mutex()
    mu.lock()
    gate = Chan()

    def unlocks():
        gate.recv()
        mu.unlock()

    def body():
        gate.send(None)
        mu.lock()
        return now()

    go(unlocks)
    assert testing.synctest(body) == 0
