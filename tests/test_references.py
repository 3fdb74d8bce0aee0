"""References: every operation gives back what it took, and a goroutine drops what it ran when it returns."""

import gc
import os
import sys
import weakref

import pytest

from gopy import Chan, ClosedChannelError, default, go, nilchan, recv, runtime, select, send
from gopy import time as gotime

# Without a GIL, counts are deferred and spread over threads: what these tests count is not exact there.
pytestmark = pytest.mark.skipif(
    not runtime.stats()["gil"], reason="reference counts are exact only with a GIL"
)


class Value:
    """Something that counts its living."""

    __slots__ = ("__weakref__",)


# What each operation does to a value n times. The reference count of the value, of None and of the channel must
# be the same afterwards, so any leak and any theft of one reference shows n times.


def buffered(value, n):
    ch = Chan(8)
    for _ in range(n):
        ch.send(value)
        ch.recv()


def buffered_ok(value, n):
    ch = Chan(8)
    for _ in range(n // 8):
        for _ in range(8):
            ch.send(value)
        for _ in range(8):
            ch.recv_ok()


def unbuffered(value, n):
    ch = Chan()

    def sender():
        for _ in range(n):
            ch.send(value)

    g = go(sender)
    for _ in range(n):
        ch.recv()
    g.join()


def unbuffered_receiver_first(value, n):
    ch = Chan()

    def receiver():
        for _ in range(n):
            ch.recv_ok()

    g = go(receiver)
    for _ in range(n):
        ch.send(value)
    g.join()


def full_buffer(value, n):
    """Senders park, and a receive refills the buffer from them."""
    ch = Chan(2)

    def sender():
        for _ in range(n // 4):
            ch.send(value)

    gs = [go(sender) for _ in range(4)]
    for _ in range(n // 4 * 4):
        ch.recv()
    for g in gs:
        g.join()


def iteration(value, n):
    ch = Chan(16)

    def sender():
        for _ in range(n):
            ch.send(value)
        ch.close()

    g = go(sender)
    for _ in ch:
        pass
    assert list(ch) == []
    g.join()


def iterators(value, n):
    ch = Chan(1)
    for _ in range(n):
        ch.send(value)
        next(iter(ch))


def zeros(value, n):
    ch = Chan(zero=value)
    ch.close()
    case = recv(ch.recv_only())
    for _ in range(n // 4):
        ch.recv()
        ch.recv_ok()
        select(recv(ch))
        select(case)


def channels(value, n):
    for _ in range(n):
        Chan(3, zero=value).send(value)


def views(value, n):
    ch = Chan(1)
    for _ in range(n):
        ch.send_only().send(value)
        ch.recv_only().recv()
        hash(ch.send_only()) == hash(ch.recv_only())  # noqa: B015
        ch.send_only() == ch  # noqa: B015


def select_ready(value, n):
    ch, other = Chan(1), Chan()
    for _ in range(n):
        select(send(ch, value), recv(other))
        select(recv(ch), send(other, value))


def select_default(value, n):
    ch = Chan()
    for _ in range(n):
        select(send(ch, value), recv(ch), default)


def select_cases_reused(value, n):
    ch, other = Chan(1), Chan()
    cases = send(ch, value), recv(ch), send(other, value), send(nilchan, value)
    for _ in range(n):
        select(*cases)


def select_parked(value, n):
    a, b = Chan(), Chan()

    def sender():
        for i in range(n):
            (a if i % 2 else b).send(value)

    g = go(sender)
    for _ in range(n):
        select(recv(a), recv(b), send(nilchan, value))
    g.join()


def select_to_select(value, n):
    a, b = Chan(), Chan()

    def party(out, into):
        for _ in range(n):
            select(send(out, value), recv(into))

    g = go(party, a, b)
    party(b, a)
    g.join()


def select_many(value, n):
    chans = [Chan(1) for _ in range(20)]
    cases = [send(ch, value) for ch in chans]
    for _ in range(n // 20):
        for _ in chans:
            select(*cases)
        for ch in chans:
            ch.recv()


def timeouts(value, n):
    ch = Chan()
    for _ in range(n // 4):
        for call in (
            lambda: ch.send(value, timeout=0),
            lambda: ch.recv(timeout=0),
            lambda: select(send(ch, value), recv(ch), timeout=0),
            lambda: select(send(nilchan, value), timeout=-1),
        ):
            try:
                call()
            except TimeoutError:
                pass


def timeouts_parked(value, n):
    ch, full = Chan(), Chan(1)
    full.send(value)
    for _ in range(n // 4):
        for call in (
            lambda: ch.send(value, timeout=1e-9),
            lambda: full.send(value, timeout=1e-9),
            lambda: ch.recv_ok(timeout=1e-9),
            lambda: select(send(ch, value), recv(ch), send(full, value), timeout=1e-9),
        ):
            try:
                call()
            except TimeoutError:
                pass


def timeouts_in_time(value, n):
    ch = Chan()

    def sender():
        for _ in range(n):
            ch.send(value, timeout=60)

    g = go(sender)
    for _ in range(n):
        ch.recv(timeout=60)
    g.join(timeout=60)


def closed(value, n):
    ch = Chan(1)
    ch.close()
    for _ in range(n // 3):
        for call in (lambda: ch.send(value), lambda: select(send(ch, value)), ch.close):
            try:
                call()
            except ClosedChannelError:
                pass


def close_with_waiters(value, n):
    def sender(ch):
        try:
            ch.send(value)
        except ClosedChannelError:
            pass

    def selecter(ch):
        try:
            select(send(ch, value), recv(nilchan))
        except ClosedChannelError:
            pass

    for _ in range(n // 60):
        ch, other = Chan(), Chan(zero=value)
        gs = [go(fn, ch) for fn in (sender, selecter) for _ in range(10)]
        gs += [go(fn) for fn in (other.recv, other.recv_ok, lambda: select(recv(other))) for _ in range(10)]
        while any(g.state in ("runnable", "running") for g in gs):
            runtime.gosched()
        ch.close()
        other.close()
        for g in gs:
            g.join()


def nothing(*args, **kwargs):
    pass


def go_plain(value, n):
    """The function is the value's, so it is counted too."""
    for _ in range(n // 100):
        for g in [go(nothing, value) for _ in range(100)]:
            g.join()


def go_arguments(value, n):
    for _ in range(n // 100):
        gs = [go(nothing) for _ in range(25)]
        gs += [go(nothing, value, value) for _ in range(25)]
        gs += [go(nothing, value, key=value) for _ in range(25)]
        gs += [go(nothing, **{"key": value, "other": value}) for _ in range(25)]
        for g in gs:
            g.join()


def go_closure(value, n):
    done = Chan(128)
    for _ in range(n // 100):
        for _ in range(100):
            go(lambda: done.send(value))
        for _ in range(100):
            done.recv()


def go_refused(value, n):
    async def async_generator(value, key):
        yield value

    for _ in range(n // 2):
        for fn in (value, async_generator):
            try:
                go(fn, value, key=value)
            except TypeError:
                pass


def go_wrong_arguments(value, n):
    """They panic with a TypeError, which a handler takes."""
    before = runtime.set_panic_handler(lambda goroutine, exc: True)
    for _ in range(n // 100):
        for g in [go(int, value, value, value) for _ in range(100)]:
            g.join()
    runtime.set_panic_handler(before)


def panics(value, n):
    def fail(value):
        local = value
        raise KeyError(local)

    seen = []

    def handler(goroutine, exc):
        assert exc.args[0] is value
        seen.append(goroutine.id)
        return True

    before = runtime.set_panic_handler(handler)
    for _ in range(n // 100):
        for g in [go(fail, value) for _ in range(100)]:
            g.join()
    runtime.set_panic_handler(before)
    assert len(seen) == n // 100 * 100


def goexits(value, n):
    def leave(value):
        try:
            runtime.goexit()
        finally:
            value = [value]

    for _ in range(n // 100):
        for g in [go(leave, value) for _ in range(100)]:
            g.join()


def joins(value, n):
    def joiner(g, value):
        g.join()

    for _ in range(n // 100):
        gate = Chan()
        g = go(lambda value: gate.recv(), value)
        joiners = [go(joiner, g, value) for _ in range(100)]
        try:
            g.join(timeout=0)
        except TimeoutError:
            pass
        gate.close()
        for joiner_ in joiners:
            joiner_.join()


def handles(value, n):
    """current(), goroutines(), names and states of a goroutine that is about to end."""
    for _ in range(n // 100):
        gate = Chan()
        gs = [go(gate.recv) for _ in range(20)]
        for g in gs:
            g.name = str(g.id)
            assert g in runtime.goroutines()
            repr(g), g.state, g.id, hash(g), runtime.current()
        gate.close()
        for g in gs:
            g.join()


def sleeps(value, n):
    def sleeper(value):
        gotime.sleep(0)
        gotime.sleep(1e-9)

    for _ in range(n // 100):
        for g in [go(sleeper, value) for _ in range(100)]:
            g.join()


def reprs(value, n):
    ch = Chan(zero=value)
    for _ in range(n):
        repr(ch), repr(recv(ch)), repr(send(ch, value)), repr(ch.recv_only())


def wrong_arguments(value, n):
    ch = Chan(1)
    calls = [
        lambda: ch.send(value, timeout=value),
        lambda: ch.recv(timeout=value),
        lambda: ch.send(value, value),
        lambda: Chan(value),
        lambda: Chan(zero=value, capacity=-1),
        lambda: recv(value),
        lambda: send(value, value),
        lambda: select(send(ch, value), value),
        lambda: select(send(ch, value), default, default),
        lambda: select(send(ch, value), timeout=value),
        lambda: gotime.sleep(value),
        lambda: runtime.GOMAXPROCS(value),
    ]
    for _ in range(n // len(calls)):
        for call in calls:
            try:
                call()
            except (TypeError, ValueError):
                pass
    assert len(ch) == 0


OPERATIONS = {
    buffered: 1_000_000,
    buffered_ok: 1_000_000,
    unbuffered: 300_000,
    unbuffered_receiver_first: 300_000,
    full_buffer: 300_000,
    iteration: 500_000,
    iterators: 300_000,
    zeros: 500_000,
    channels: 300_000,
    views: 200_000,
    select_ready: 200_000,
    select_default: 300_000,
    select_cases_reused: 500_000,
    select_parked: 100_000,
    select_to_select: 100_000,
    select_many: 50_000,
    timeouts: 200_000,
    timeouts_parked: 20_000,
    timeouts_in_time: 50_000,
    closed: 200_000,
    close_with_waiters: 30_000,
    go_plain: 200_000,
    go_arguments: 200_000,
    go_closure: 200_000,
    go_refused: 100_000,
    go_wrong_arguments: 20_000,
    panics: 20_000,
    goexits: 20_000,
    joins: 50_000,
    handles: 20_000,
    sleeps: 20_000,
    reprs: 50_000,
    wrong_arguments: 100_000,
}
# Objects that an operation refers to by the way. On free-threaded Python, and from 3.12 on, small things like
# None are immortal: their counts then say nothing, and are flat anyway.
SHARED = (None, True, False, default, nilchan, Chan, TimeoutError, ClosedChannelError, ())


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_reference_counts_are_flat(operation, until):
    """After up to a million operations the value is referred to as often as before: not one more or less."""
    value, goroutines = Value(), runtime.num_goroutine()
    operation(value, 200)  # whatever is cached is cached now
    gc.collect()
    until(lambda: runtime.num_goroutine() <= goroutines)
    counts = [sys.getrefcount(o) for o in SHARED]
    before = sys.getrefcount(value)
    blocks = sys.getallocatedblocks()
    operation(value, OPERATIONS[operation])
    gc.collect()
    until(lambda: runtime.num_goroutine() <= goroutines)
    until(lambda: sys.getrefcount(value) == before)
    slack = OPERATIONS[operation] // 200  # None, True and () are everybody's; a leak would be 200 times that
    for shared, count in zip(SHARED, counts, strict=True):
        change = sys.getrefcount(shared) - count
        # Each worker has a (), and those that an earlier test has left may end meanwhile.
        if shared == ():
            change = max(change, 0)
        assert abs(change) < max(slack, 60), shared
    assert sys.getallocatedblocks() - blocks < max(slack, 1000)


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_reference_counts_are_flat_in_traffic(gomaxprocs, until, procs):
    """All of it at once: operations meet on the same channels, from many goroutines, and time out."""
    gomaxprocs(procs)
    value = Value()

    def traffic(rounds):
        chans = [Chan(i % 3) for i in range(6)]

        def body(i):
            for j in range(rounds):
                ch, other = chans[(i + j) % 6], chans[(i * j + 1) % 6]
                try:
                    match (i + j) % 4:
                        case 0:
                            ch.send(value, timeout=1e-4)
                        case 1:
                            ch.recv(timeout=1e-4)
                        case 2:
                            select(send(ch, value), recv(other), timeout=1e-4)
                        case 3:
                            select(recv(ch), send(other, value), default)
                except TimeoutError:
                    pass

        for g in [go(body, i) for i in range(20)]:
            g.join()

    traffic(10)
    gc.collect()
    before = sys.getrefcount(value)
    traffic(500)
    gc.collect()
    until(lambda: sys.getrefcount(value) == before)


# What a goroutine ran dies when it returns


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_a_goroutine_drops_everything_when_it_returns(gomaxprocs, until, procs):
    """Function, arguments, locals, result: gone while the handle is still held, without a collection."""
    gomaxprocs(procs)
    gc.disable()
    try:
        for park in (False, True):
            gate, refs = Chan(), []

            def start():
                values = [Value() for _ in range(5)]

                def fn(a, b, *, key):
                    local = values[3]
                    if park:
                        gate.recv()
                    return [local, values[4]]

                refs.extend(map(weakref.ref, [*values, fn]))
                return go(fn, values[0], values[1], key=values[2])

            goroutines = [start() for _ in range(20)]
            if park:
                until(lambda: all(g.state == "chan receive" for g in goroutines))
                assert all(ref() is not None for ref in refs)
                gate.close()
            for g in goroutines:
                g.join()
            until(lambda: [ref() for ref in refs] == [None] * len(refs))
    finally:
        gc.enable()


def test_what_a_goroutine_ran_is_dropped_at_once(gomaxprocs):
    """On return, not at the next switch of its worker: who joined it finds the arguments gone."""
    gomaxprocs(1)
    gc.disable()
    try:
        for _ in range(100):
            value = Value()
            ref = weakref.ref(value)
            g = go(nothing, value, key=value)
            del value
            g.join()
            assert ref() is None
    finally:
        gc.enable()


def test_a_received_value_belongs_to_the_receiver_alone(until):
    """Neither the channel, nor the sender's goroutine, nor the case keeps it."""
    gc.disable()
    try:
        for capacity in (0, 1):
            ch = Chan(capacity)
            for receive in (
                ch.recv,
                lambda: ch.recv_ok()[0],
                lambda: select(recv(ch))[1],
                lambda: next(iter(ch)),
            ):
                stop = Chan()

                def sender():
                    ch.send(Value())
                    stop.recv()

                g = go(sender)
                ref = weakref.ref(receive())
                until(lambda: g.state == "chan receive")
                assert ref() is None
                stop.close()
                g.join()
    finally:
        gc.enable()


def test_a_select_does_not_keep_the_values_of_its_other_cases(until):
    gc.disable()
    try:
        refs, ch, stop = [], Chan(), Chan()

        def selecter():
            values = [Value() for _ in range(12)]
            refs.extend(map(weakref.ref, values))
            cases = [send(nilchan, value) for value in values]
            values.clear()
            select(recv(ch), *cases)
            cases.clear()
            stop.recv()

        g = go(selecter)
        until(lambda: g.state == "select")
        assert all(ref() is not None for ref in refs)
        ch.send(None)
        until(lambda: g.state == "chan receive")
        assert [ref() for ref in refs] == [None] * 12
        stop.close()
        g.join()
    finally:
        gc.enable()


def test_a_panic_is_dropped_with_its_traceback(until):
    """Exception, frames and locals go once the handler has returned."""
    refs = []

    def fail(value):
        raise KeyError(value)

    before = runtime.set_panic_handler(lambda goroutine, exc: True)
    try:
        for _ in range(20):
            value = Value()
            refs.append(weakref.ref(value))
            g = go(fail, value)
            del value
            g.join()
        gc.collect()
        until(lambda: [ref() for ref in refs] == [None] * 20)
    finally:
        runtime.set_panic_handler(before)


def test_a_handle_dies_with_its_goroutine(until):
    """The scheduler's reference goes at the end; a weak reference to a living one stays."""
    gate = Chan()
    ref = weakref.ref(go(gate.recv))
    until(lambda: ref().state == "chan receive")
    gate.close()
    until(lambda: ref() is None)


def test_a_goroutine_that_nobody_holds_is_kept_while_it_lives(until):
    gate, done = Chan(), Chan()
    refs = [weakref.ref(go(lambda: done.send(gate.recv()))) for _ in range(10)]
    until(lambda: all(ref().state == "chan receive" for ref in refs))
    gc.collect()
    assert all(ref() is not None for ref in refs)
    gate.close()
    for _ in refs:
        done.recv()
    until(lambda: all(ref() is None for ref in refs))


# Cycles


def buffer_cycle(value):
    value.ch = Chan(3)
    value.ch.send(value)


def zero_cycle(value):
    value.ch = Chan(zero=value)


def view_cycle(value):
    ch = Chan(3)
    value.ch = ch.send_only()
    ch.send(value)


def iterator_cycle(value):
    ch = Chan(3)
    value.ch = iter(ch)
    ch.send(value)


def send_case_cycle(value):
    value.ch = send(Chan(), value)


def recv_case_cycle(value):
    ch = Chan(3)
    value.ch = recv(ch)
    ch.send(value)


def subclass_cycle(value):
    class Sub(Chan):
        pass

    value.ch = Sub(1)
    value.ch.send(value)


def wrapped_buffer_cycle(value):
    """The values in the buffer go round its end."""
    value.ch = Chan(3)
    for _ in range(2):
        value.ch.send(None)
    value.ch.recv(), value.ch.recv()
    for _ in range(3):
        value.ch.send(value)


def finished_goroutine_cycle(value):
    gate = Chan()
    value.g = go(lambda: (gate.recv(), value.g))  # not before it is there
    gate.close()
    value.g.join()


CYCLES = [
    buffer_cycle,
    zero_cycle,
    view_cycle,
    iterator_cycle,
    send_case_cycle,
    recv_case_cycle,
    subclass_cycle,
    wrapped_buffer_cycle,
    finished_goroutine_cycle,
]


@pytest.mark.parametrize("make", CYCLES, ids=lambda make: make.__name__)
def test_cycles_are_collected(make, until):
    class Node:
        pass

    def build():
        node = Node()
        make(node)
        return weakref.ref(node)

    refs = [build() for _ in range(10)]

    def collected():
        gc.collect()
        return [ref() for ref in refs] == [None] * 10

    until(collected)


def test_what_is_reachable_is_not_collected(until):
    """Values in a buffer, in a case, with a parked sender: a collection takes none of them."""
    ch, parked_on = Chan(2), Chan()
    case = send(ch, Value())
    ch.send(Value())
    g = go(lambda: parked_on.send(Value()))
    until(lambda: g.state == "chan send")
    gc.collect()
    assert type(ch.recv()) is Value
    assert select(case) == (0, None, True)
    assert type(ch.recv()) is Value
    assert type(parked_on.recv()) is Value
    g.join()


def test_a_waiting_value_survives_collections_in_traffic():
    ch, n = Chan(1), 3000

    def sender():
        for _ in range(n):
            ch.send([Value()])
        ch.close()

    g = go(sender)
    for i, box in enumerate(ch):
        if i % 300 == 0:
            gc.collect()
        assert type(box[0]) is Value
    g.join()


# Memory


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
@pytest.mark.parametrize("how", ["receive", "select", "sleep", "deep"])
def test_memory_does_not_grow_over_rounds_of_parked_goroutines(how, run_program):
    """Ten thousand of them parked and gone, again and again."""
    wait = {
        "receive": "gate.recv()",
        "select": "select(recv(gate), send(other, n), *extra)",
        "sleep": "sleep(1e-3) or gate.recv()",
        "deep": "gate.recv() if n == 0 else wait(n - 1)",
    }[how]
    done = run_program(
        f"""
        import gc, resource
        from gopy import Chan, go, nilchan, recv, runtime, select, send
        from gopy.time import sleep

        def resident():  # without the pages of files, which the system takes and gives back as it likes
            with open("/proc/self/statm") as file:
                _, resident, shared, *_ = map(int, file.read().split())
            return (resident - shared) * resource.getpagesize()

        other, extra = Chan(), [recv(nilchan)] * 10

        def round():
            gate = Chan()
            def wait(n):
                {wait}
            for _ in range(10_000):
                go(wait, 3)
            while runtime.stats()["parked"] < 10_000:
                for _ in range(100):
                    runtime.gosched()
            gate.close()
            while runtime.num_goroutine() > 1:
                runtime.gosched()
            gc.collect()

        for _ in range(3):
            round()
        sizes = [resident()]
        for _ in range(6):
            round()
            sizes.append(resident())
        print((min(sizes[-3:]) - sizes[0]) // 2**20, sizes)
        """,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout.split()[0]) < 4, done.stdout  # MiB; each of 60,000 keeping 64 bytes shows


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
def test_memory_comes_back_after_many_parked_goroutines(run_program):
    """Idle workers are not kept for ever: after 30,000 at once the process is nearly as small as before."""
    done = run_program(
        """
        import gc, resource, time
        from gopy import Chan, go, runtime
        from gopy.time import sleep

        def resident():  # as above
            with open("/proc/self/statm") as file:
                _, resident, shared, *_ = map(int, file.read().split())
            return (resident - shared) * resource.getpagesize()

        def round(n):
            gate = Chan()
            for _ in range(n):
                go(gate.recv)
            while runtime.stats()["parked"] < n:
                for _ in range(100):
                    runtime.gosched()
            peak = resident()
            gate.close()
            while runtime.num_goroutine() > 1:
                runtime.gosched()
            gc.collect()
            return peak

        round(100)
        before = resident()
        peak = round(30_000)
        assert peak - before > 60 * 2**20, (before, peak)
        deadline = time.monotonic() + 10
        while resident() - before > (peak - before) / 4 and time.monotonic() < deadline:
            sleep(0.05)
        print((resident() - before) * 100 // (peak - before))
        """,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) <= 25, f"{done.stdout.strip()} % of the growth is still there"
