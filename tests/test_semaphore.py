"""Package semaphore."""

import gc
import random
import sys
import weakref

import pytest
from starters import STARTERS, in_thread

from gopy import Chan, Panic, context, go, runtime, semaphore

GIL = runtime.stats()["gil"]


def held(sem):
    return sem._cur


def test_states():
    sem = semaphore.Weighted(3)
    assert sem.acquire() is None
    assert sem.acquire(n=2, ctx=context.background()) is None
    assert not sem.try_acquire()
    assert sem.try_acquire(0)
    assert sem.release(2) is None
    assert sem.try_acquire(n=2)
    sem.release()
    sem.release(2)
    sem.release(0)
    assert held(sem) == 0


def test_release_of_more_than_held_changes_nothing():
    sem = semaphore.Weighted(5)
    sem.acquire(2)
    with pytest.raises(Panic, match="^semaphore: released more than held$"):
        sem.release(3)
    assert held(sem) == 2
    sem.release(2)


@STARTERS
def test_first_come_first_served_and_the_big_one_is_not_starved(start, until):
    sem, got = semaphore.Weighted(3), Chan(10)
    sem.acquire(2)

    def take(n):
        sem.acquire(n)
        got.send(n)

    waiters = []
    for i, n in enumerate([3, 1, 2]):
        waiters.append(start(take, n))
        until(lambda: len(sem._waiters) == i + 1)
    assert not sem.try_acquire(1)  # there is one, but who waits is first
    sem.release(1)
    assert len(sem._waiters) == 3
    sem.release(1)
    assert got.recv() == 3
    assert len(sem._waiters) == 2
    sem.release(3)
    assert {got.recv(), got.recv()} == {1, 2}
    for waiter in waiters:
        waiter.join()
    sem.release(3)


@STARTERS
def test_a_cancelled_waiter_in_front_lets_in_those_behind(start, until):
    sem, got = semaphore.Weighted(10), Chan(10)
    ctx, cancel = context.with_cancel(context.background())
    sem.acquire(1)

    def big():
        with pytest.raises(context.Canceled):
            sem.acquire(10, ctx)
        got.send("big")

    def small():
        sem.acquire(2)
        got.send("small")

    waiters = [start(big)]
    until(lambda: len(sem._waiters) == 1)
    waiters.append(start(small))
    until(lambda: len(sem._waiters) == 2)
    cancel()
    assert {got.recv(), got.recv()} == {"big", "small"}
    for waiter in waiters:
        waiter.join()
    assert held(sem) == 3
    sem.release(3)


def test_a_cancelled_waiter_further_back_lets_nobody_in(until):
    sem, got = semaphore.Weighted(2), Chan(3)
    ctx, cancel = context.with_cancel(context.background())
    sem.acquire(1)

    def take(n, ctx=None):
        try:
            sem.acquire(n, ctx)
        except context.Canceled:
            got.send("canceled")
        else:
            got.send(n)

    for i, args in enumerate([(2,), (1, ctx), (1,)]):
        go(take, *args)
        until(lambda: len(sem._waiters) == i + 1)
    cancel()
    assert got.recv() == "canceled"
    assert len(sem._waiters) == 2
    sem.release(1)
    assert got.recv() == 2
    sem.release(2)
    assert got.recv() == 1


def test_a_context_that_has_ended():
    sem, cause = semaphore.Weighted(1), KeyError("why")
    ctx, cancel = context.with_cancel_cause(context.background())
    cancel(cause)
    for n in (1, 2):
        with pytest.raises(context.Canceled) as info:
            sem.acquire(n, ctx)
        assert info.value.__cause__ is cause
    assert held(sem) == 0
    ctx, _ = context.with_timeout(context.background(), 0.01)
    sem.acquire()
    with pytest.raises(context.DeadlineExceeded):
        sem.acquire(1, ctx)
    assert held(sem) == 1
    assert not sem._waiters


def test_a_context_of_another_make():
    class Foreign:
        def done(self):
            ch = Chan()
            ch.close()
            return ch.recv_only()

        def err(self):
            return KeyError("foreign")

        def deadline(self):
            return None

        def value(self, key, default=None):
            return default

    with pytest.raises(KeyError, match="foreign"):
        semaphore.Weighted(1).acquire(1, Foreign())


@STARTERS
def test_more_than_there_is_waits_for_the_context_and_holds_nobody_up(start, until):
    sem, got = semaphore.Weighted(2), Chan(1)
    ctx, cancel = context.with_cancel(context.background())

    def take():
        try:
            sem.acquire(3, ctx)
        except context.Canceled:
            got.send("canceled")

    waiter = start(take)
    for _ in range(10):
        sem.acquire(2)
        sem.release(2)
    assert not len(got)
    cancel()
    assert got.recv() == "canceled"
    waiter.join()


def test_more_than_there_is_without_a_context_is_a_deadlock(run_program):
    finished = run_program("""
        from gopy import semaphore
        semaphore.Weighted(1).acquire(2)
    """)
    assert finished.returncode == 1
    assert "all goroutines are asleep - deadlock!" in finished.stderr


def test_interrupted_waiting_takes_nothing(run_program):
    finished = run_program("""
        import os, signal
        from gopy import go, runtime, semaphore, time
        main, sem = runtime.current(), semaphore.Weighted(1)
        sem.acquire()
        def interrupt():
            while main.state != "select":
                time.sleep(0.001)
            assert sem._waiters
            os.kill(os.getpid(), signal.SIGINT)
        go(interrupt)
        try:
            sem.acquire()
        except KeyboardInterrupt:
            print("interrupted")
        sem.release()
        print(sem.try_acquire(), len(sem._waiters))
    """)
    assert (finished.returncode, finished.stdout) == (0, "interrupted\nTrue 0\n")


def test_bad_input():
    for n in ("1", 1.0, None):
        said = f"`n` must be an int, got {type(n).__name__}"
        sem = semaphore.Weighted(1)
        for call in (semaphore.Weighted, sem.acquire, sem.try_acquire, sem.release):
            with pytest.raises(TypeError, match=said):
                call(n)
    for call in (semaphore.Weighted, sem.acquire, sem.try_acquire, sem.release):
        with pytest.raises(ValueError, match="`n` must be 0 or more, got -1"):
            call(-1)
    with pytest.raises(TypeError, match="`ctx` must be a Context, got str"):
        sem.acquire(1, "ctx")
    assert sem.try_acquire(1)
    assert not semaphore.Weighted(0).try_acquire()
    assert semaphore.Weighted(10**30).try_acquire(10**29)


def test_references(until):
    sem = semaphore.Weighted(1)
    ctx, cancel = context.with_cancel(context.background())
    sem.acquire()
    before = sys.getrefcount(ctx)
    for _ in range(50):
        assert not sem.try_acquire()
        short, stop = context.with_cancel(ctx)
        stop()
        with pytest.raises(context.Canceled):
            sem.acquire(1, short)
    del short, stop
    gc.collect()
    if GIL:
        assert sys.getrefcount(ctx) <= before + 1
    cancel()
    with pytest.raises(context.Canceled):
        sem.acquire(1, ctx)


def test_a_semaphore_goes_with_its_last_user(until):
    class Watched(semaphore.Weighted):
        __slots__ = ("__weakref__",)

    def body():
        sem = Watched(1)
        sem.acquire()
        waiter = go(lambda: (sem.acquire(), sem.release()))
        until(lambda: len(sem._waiters) == 1)
        sem.release()
        waiter.join()
        assert not sem._waiters
        return weakref.ref(sem)

    ref = body()
    gc.collect()
    assert ref() is None


def test_stress(gomaxprocs):
    """Goroutines and threads, some of whose waits are cancelled: never more is held than there is."""
    gomaxprocs(4)
    size = 7
    sem, held_by, too_much = semaphore.Weighted(size), {}, []
    done = Chan(20)

    def body(me):
        rand = random.Random(me)
        for _ in range(150):
            n = rand.randint(0, size + 1)
            ctx, cancel = context.with_cancel(context.background())
            if n > size or rand.random() < 0.4:
                go(cancel)
            try:
                sem.acquire(n, ctx)
            except context.Canceled:
                continue
            finally:
                cancel()
            held_by[me] = n
            if sum(list(held_by.values())) > size:
                too_much.append(me)
            if rand.random() < 0.5:
                runtime.gosched()
            held_by[me] = 0
            sem.release(n)
        done.send(me)

    threads = [in_thread(body, i) for i in range(3)]
    for i in range(3, 13):
        go(body, i)
    for _ in range(13):
        done.recv(timeout=50)
    for thread in threads:
        thread.join()
    assert not too_much
    assert (held(sem), len(sem._waiters)) == (0, 0)
    assert sem.try_acquire(size)


@pytest.mark.parametrize("threshold", [1, 2, 7])
def test_the_collector_closes_waiters_while_the_semaphore_is_locked(run_program, threshold):
    """Each round leaves two that wait in a cycle that nobody refers to."""
    done = run_program(
        f"""
        import gc
        from gopy import semaphore

        gc.set_threshold({threshold})
        sem = semaphore.Weighted(3)
        sem.acquire(2)
        for i in range(1000):
            cycle = []
            for coro in (sem.aacquire(3), sem.aacquire(1)):
                try:
                    coro.send(None)
                except StopIteration:
                    sem.release(1)
                cycle.append(coro)
            cycle.append(cycle)
            del cycle, coro
            if sem.try_acquire():
                sem.release()
        gc.collect()
        assert sem.try_acquire()
        sem.release(3)
        print("fine")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")
