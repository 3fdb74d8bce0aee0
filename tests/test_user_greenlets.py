"""Greenlets that a program makes in a goroutine: whichever of them parks is the one that is resumed."""

import greenlet
import pytest

from gopy import Chan, go, recv, runtime, select, sync
from gopy import time as gotime


@pytest.fixture(params=["main", "goroutine"])
def where(request, in_goroutine):
    """where(fn): what fn() returns, in the main goroutine or in another."""
    return in_goroutine if request.param == "goroutine" else lambda fn: fn()


def test_the_greenlet_that_parks_gets_the_value(where):
    def body():
        ch = Chan()
        go(ch.send, 1)
        got = greenlet.greenlet(ch.recv).switch()
        go(ch.send, 2)
        return got, ch.recv()

    assert where(body) == (1, 2)


def test_parks_in_turn_with_switches(where):
    def body():
        me, ch, got = greenlet.getcurrent(), Chan(), []

        def inner(value):
            gotime.sleep(0.001)
            value = me.switch(value + 1)
            go(ch.send, value * 2)
            return ch.recv()

        inner = greenlet.greenlet(inner)
        got.append(inner.switch(1))
        gotime.sleep(0.001)
        runtime.gosched()
        got.append(inner.switch(got[-1] * 10))
        return got, inner.dead

    assert where(body) == ([2, 40], True)


def test_two_greenlets_of_one_goroutine_park_one_within_the_other(where):
    def body():
        a, b = Chan(), Chan()

        def outer():
            go(a.send, 1)
            one = a.recv()
            two = greenlet.greenlet(b.recv).switch()
            go(a.send, 3)
            return one, two, a.recv()

        go(b.send, 2)
        return greenlet.greenlet(outer).switch()

    assert where(body) == (1, 2, 3)


def test_exceptions_and_timeouts_reach_the_greenlet_that_parks(where):
    def body():
        def inner():
            with pytest.raises(TimeoutError):
                Chan().recv(timeout=0.001)
            closed = Chan()
            go(closed.close)
            return select(recv(closed), recv(Chan()))

        return greenlet.greenlet(inner).switch()

    assert where(body) == (0, None, False)


def test_deep_recursion_around_a_park(where):
    """Frames in several chunks, of the goroutine's own greenlet and of another."""

    def deep(n, fn):
        return fn() if n == 0 else deep(n - 1, fn)

    def wait():
        gotime.sleep(0.0005)
        return "slept"

    def body():
        return [
            deep(400, wait),
            deep(400, greenlet.greenlet(wait).switch),
            greenlet.greenlet(lambda: deep(400, wait)).switch(),
            greenlet.greenlet(wait).switch(),
        ]

    assert where(body) == ["slept"] * 4


def test_a_greenlet_that_parks_is_in_the_stack():
    ch, parked = Chan(), Chan()

    def in_a_greenlet():
        parked.send(None)
        ch.recv()

    goroutine = go(lambda: greenlet.greenlet(in_a_greenlet).switch())
    parked.recv()
    while goroutine.state != "chan receive":
        runtime.gosched()
    assert "in in_a_greenlet" in goroutine.stack()
    ch.send(None)
    goroutine.join()


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_many_goroutines_with_greenlets_of_their_own(gomaxprocs, procs):
    gomaxprocs(procs)
    n, wg, mutex, wrong = 200, sync.WaitGroup(), sync.Mutex(), []

    def inner(value):
        gotime.sleep(0.001)
        with mutex:
            runtime.gosched()
        value = greenlet.getcurrent().parent.switch(value + 1)
        runtime.gosched()
        return value * 2

    def body(i):
        mine = greenlet.greenlet(inner)
        a = mine.switch(i)
        runtime.gosched()
        b = mine.switch(a)
        if (a, b) != (i + 1, 2 * (i + 1)):
            wrong.append((i, a, b))

    for i in range(n):
        wg.go(body, i)
    wg.wait()
    assert wrong == []


def test_greenlets_are_not_kept_alive(in_goroutine):
    import gc
    import weakref

    def body():
        inner = greenlet.greenlet(lambda: gotime.sleep(0.0005))
        inner.switch()
        return weakref.ref(inner)

    ref = in_goroutine(body)
    gc.collect()
    assert ref() is None


def test_a_bridge_between_blocking_and_async_code(run_program):
    """As playwright's sync API does: an asyncio loop in a greenlet, blocking calls that switch to it and back."""
    finished = run_program(
        """
        import asyncio, greenlet
        from gopy import Chan, go, sync, time

        def caller(i, out):
            loop = asyncio.new_event_loop()
            me = greenlet.getcurrent()

            async def dispatch():
                while True:
                    request = me.switch()
                    if request is None:
                        return
                    await asyncio.sleep(0.001)
                    time.sleep(0.001)
                    answers.append(request + 1)

            answers = []
            bridge = greenlet.greenlet(lambda: loop.run_until_complete(dispatch()))
            bridge.switch()
            for j in range(5):
                bridge.switch(j)
                time.sleep(0.001)
            bridge.switch(None)
            loop.close()
            out.send(answers)

        out = Chan()
        for i in range(5):
            go(caller, i, out)
        print(all(out.recv() == [1, 2, 3, 4, 5] for _ in range(5)))
        """
    )
    assert finished.stdout.split() == ["True"], finished.stderr
