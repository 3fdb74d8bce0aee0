"""runtime.leaked(): goroutines that nothing reachable can wake. testing.leaks(): those that a block leaves."""

import gc

import pytest

from gopy import Chan, go, runtime, testing, time

others = set()  # of earlier tests, which may have leaked some


@pytest.fixture(autouse=True)
def earlier():
    others.update(g.id for g in runtime.goroutines())


@pytest.fixture
def parked(until):
    """parked(n): n goroutines that the test has started are parked, and its others have ended."""

    def parked(n):
        def there():
            mine = [g for g in runtime.goroutines() if g.id not in others]
            return len(mine) == n and not any(g.state in ("runnable", "running") for g in mine)

        until(there)

    return parked


def names():
    return sorted(g.name for g in runtime.leaked() if g.id not in others)


@pytest.fixture
def ends():
    """Channels that nobody is to refer to, not even weakly: closed at the end, so that who waits there ends."""
    addresses = []
    yield lambda ch: addresses.append(id(ch)) or ch
    for each in gc.get_objects():
        if id(each) in addresses and type(each) is Chan:
            each.close()


def test_a_channel_that_nobody_else_knows(ends, parked):
    async def receiver(ch):
        await ch.arecv()

    async def sender(ch):
        try:
            await ch.asend(1)
        except Exception:
            pass

    def generator(ch):
        yield from ch.arecv()

    for fn in (receiver, sender, generator):
        go(fn, ends(Chan())).name = fn.__name__
    kept = ends(Chan())
    go(receiver, kept).name = "kept"
    parked(4)
    assert names() == ["generator", "receiver", "sender"]
    del kept
    assert names() == ["generator", "kept", "receiver", "sender"]


def test_two_that_wait_for_each_other(ends, parked):
    async def waits(mine, other):
        if (await mine.arecv_ok())[1]:
            await other.asend(1)

    a, b = ends(Chan()), ends(Chan())
    go(waits, a, b).name = "a"
    go(waits, b, a).name = "b"
    parked(2)
    assert names() == []
    del a
    assert names() == []  # whoever has b wakes the second, which wakes the first
    del b
    assert names() == ["a", "b"]


def test_what_a_goroutine_knows_that_will_go_on_is_alive(ends, parked):
    async def waits(ch):
        await ch.arecv()

    def knows(ch):
        gate.recv()

    gate, ch = Chan(), ends(Chan())
    go(waits, ch)
    go(knows, ch)
    parked(2)
    del ch
    assert names() == []
    gate.close()
    parked(1)
    assert len(names()) == 1


def test_what_wakes_by_itself_is_not_leaked(run_program):
    finished = run_program("""
        from gopy import Chan, go, runtime, time

        async def timed(ch):
            await ch.arecv(timeout=1000)

        async def ticks():
            await time.after(1000).arecv()

        async def sleeps():
            await time.asleep(1000)

        go(timed, Chan())
        go(ticks)
        go(sleeps)
        while runtime.stats()["parked"] < 3:
            runtime.gosched()
        print(runtime.leaked())
        """)
    assert finished.stdout == "[]\n", finished.stderr


def test_select_and_sync(run_program):
    finished = run_program("""
        from gopy import Chan, aselect, go, nilchan, recv, runtime, send, sync

        async def selects(a, b):
            await aselect(recv(a), send(b, 1))

        async def nothing():
            await nilchan.arecv()

        async def waits(wg):
            await wg.await_()

        async def locks(mu):
            await mu.alock()

        async def cond(mu):
            c = sync.Cond(mu)
            await mu.alock()
            await c.await_()

        def main():
            kept = Chan()
            wg = sync.WaitGroup()
            wg.add(1)
            mu = sync.Mutex()
            mu.lock()
            go(selects, Chan(), Chan()).name = "selects"
            go(selects, Chan(), kept).name = "kept"
            go(nothing)
            go(waits, wg)
            go(locks, mu)
            go(cond, sync.Mutex())
            del wg, mu
            while runtime.stats()["parked"] < 6:
                runtime.gosched()
            print(*sorted(g.name for g in runtime.leaked()))
            return kept

        main()
        """)
    assert finished.stdout == "cond locks nothing selects waits\n", finished.stderr


def test_it_accuses_nobody_of_waiting_for_what_is_in_use(ends, parked):
    """Of everything that is alive: in a global, a closure, an object, a running frame, another channel."""

    class Holder:
        pass

    async def waits(ch):
        await ch.arecv()

    holder, inner, outer = Holder(), ends(Chan()), ends(Chan(1))
    holder.ch = ends(Chan())
    in_a_closure = (lambda ch: lambda: ch)(ends(Chan()))
    outer.send(inner.recv_only())
    for ch in (holder.ch, in_a_closure(), inner):
        go(waits, ch)
    view = ends(Chan())
    go(waits, view.recv_only())
    parked(4)
    del ch, inner
    assert names() == []
    del view, holder, in_a_closure, outer
    assert len(names()) == 4


# testing.leaks()


def test_leaks_tells_who_is_left(until):
    ch = Chan()
    with pytest.raises(AssertionError, match=r"1 goroutine left behind:\n\ngoroutine \d+ \[chan receive\]"):
        with testing.leaks(grace=0):
            goroutine = go(ch.recv)
            until(lambda: goroutine.state == "chan receive")
    ch.close()


def test_leaks_waits_for_those_that_end():
    def body():
        with testing.leaks(grace=5):
            go(time.sleep, 4)
        assert time.now() == 4
        with pytest.raises(AssertionError), testing.leaks(grace=5):
            go(time.sleep, 6)

    testing.synctest(body)


def test_leaks_ignores():
    ch = Chan()
    outside = go(ch.recv)
    with testing.leaks(grace=0, ignore=lambda goroutine: goroutine.name == "mine"):
        go(ch.recv).name = "mine"
    ch.close()
    outside.join()


def test_leaks_lets_exceptions_pass():
    ch = Chan()
    with pytest.raises(KeyError), testing.leaks(grace=0):
        go(ch.recv)
        raise KeyError
    ch.close()


def test_leaks_arguments():
    with pytest.raises(TypeError, match="`ignore` must be callable or None"), testing.leaks(ignore=3):
        pass
    with pytest.raises(TypeError, match="`grace` must be a number of seconds"), testing.leaks(grace="x"):
        pass
