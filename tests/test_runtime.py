"""go, Goroutine and gopy.runtime, seen from the main goroutine of this process."""

import contextvars
import functools
import gc
import json
import os
import re
import signal
import sys
import sysconfig
import threading
import time
import traceback
import weakref

import pytest

import gopy
from gopy import Chan, Goroutine, go, nilchan, recv, runtime, select

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


@pytest.fixture
def gomaxprocs():
    """runtime.GOMAXPROCS, which is as before after the test."""
    before = runtime.GOMAXPROCS()
    yield runtime.GOMAXPROCS
    runtime.GOMAXPROCS(before)


def in_goroutine(fn, *args):
    """What fn(*args) returns in a goroutine of its own; an exception comes back as the result too."""
    result = Chan()

    def body():
        try:
            value = fn(*args)
        except BaseException as exc:
            value = exc
        result.send(value)

    goroutine = go(body)
    value = result.recv()
    goroutine.join()
    return value


# go


def test_go_passes_arguments():
    result = Chan()

    def fn(*args, **kwargs):
        result.send((args, kwargs))

    for args, kwargs in [((), {}), ((1,), {}), ((1, 2), {}), ((), {"x": 1}), ((1, 2, 3), {"x": 1, "fn": 2})]:
        go(fn, *args, **kwargs)
        assert result.recv() == (args, kwargs)


def test_go_returns_the_goroutine():
    ran = []
    goroutine = go(ran.append, 1)
    assert type(goroutine) is Goroutine
    goroutine.join()
    assert ran == [1]


def test_go_is_a_decorator():
    ran = []

    @go
    def worker():
        ran.append(runtime.current())

    assert type(worker) is Goroutine
    worker.join()
    assert ran == [worker]


def test_go_takes_every_kind_of_plain_callable():
    class Callable:
        def __init__(self, values=()):
            values = list(values)

        def __call__(self, value):
            ran.append(value)

        def method(self, value):
            ran.append(value)

        @classmethod
        def class_method(cls, value):
            ran.append(value)

        @staticmethod
        def static_method(value):
            ran.append(value)

    ran = []
    fns = [
        lambda value: ran.append(value),
        ran.append,
        Callable(),
        Callable().method,
        Callable.class_method,
        Callable.static_method,
        functools.partial(Callable.method, None),
    ]
    for i, fn in enumerate(fns):
        go(fn, i).join()
    go(Callable, "a class").join()
    assert ran == list(range(len(fns)))


@pytest.mark.parametrize("fn", [None, 1, "f", [], (len,), object()])
def test_go_refuses_what_is_not_callable(fn):
    spawned = runtime.stats()["spawned"]
    with pytest.raises(TypeError, match="`fn`"):
        go(fn)
    assert runtime.stats()["spawned"] == spawned


def test_go_needs_a_function():
    with pytest.raises(TypeError):
        go()
    with pytest.raises(TypeError):
        go(fn=print)


def test_go_refuses_generators_and_coroutines_until_it_supports_them():
    def generator_function():
        yield

    async def coroutine_function():
        pass

    async def async_generator_function():
        yield

    class Methods:
        def generator_method(self):
            yield

        async def coroutine_method(self):
            pass

    coroutine = coroutine_function()
    spawned = runtime.stats()["spawned"]
    for fn in [
        generator_function,
        coroutine_function,
        async_generator_function,
        Methods().generator_method,
        Methods().coroutine_method,
        generator_function(),
        coroutine,
        async_generator_function(),
    ]:
        with pytest.raises(TypeError, match="`fn`"):
            go(fn)
    assert runtime.stats()["spawned"] == spawned
    coroutine.close()


def test_a_goroutine_drops_what_it_ran_when_it_returns(until):
    class Argument:
        pass

    argument = Argument()

    def fn(argument, *, keyword):
        pass

    dropped = [weakref.ref(argument), weakref.ref(fn)]
    goroutine = go(fn, argument, keyword=argument)
    goroutine.join()
    del argument, fn
    gc.collect()
    until(lambda: [ref() for ref in dropped] == [None, None])
    assert goroutine.state == "dead"


def test_ten_thousand_goroutines():
    result = Chan()
    for i in range(10_000):
        go(result.send, i)
    assert sorted(result.recv() for _ in range(10_000)) == list(range(10_000))


def test_goroutines_started_from_parked_goroutines():
    """Each starts the next and waits for it: neither the C stack nor the recursion limit is shared by them."""

    def link(left, n):
        if n == 0:
            left.send(0)
            return
        right = Chan()
        go(link, right, n - 1)
        left.send(right.recv() + 1)

    first = Chan()
    go(link, first, 3000)
    assert first.recv() == 3000


# Goroutine


def test_goroutine_cannot_be_made_by_hand():
    with pytest.raises(TypeError):
        Goroutine()


def test_ids_grow_from_the_main_goroutine():
    assert runtime.current().id == 1
    first, second = go(int), go(int)
    assert 1 < first.id < second.id
    assert in_goroutine(lambda: runtime.current().id) > second.id
    first.join()
    second.join()


def test_name_is_the_qualname_until_it_is_set():
    def worker():
        pass

    class Nameless:
        def __call__(self):
            pass

    goroutine = go(worker)
    assert goroutine.name == worker.__qualname__
    goroutine.name = "digester 3"
    assert goroutine.name == "digester 3"
    for value in (3, None, b"name"):
        with pytest.raises(TypeError, match="`name`"):
            goroutine.name = value
    with pytest.raises(AttributeError):
        del goroutine.name
    assert goroutine.name == "digester 3"
    goroutine.join()
    assert goroutine.name == "digester 3"

    nameless = go(Nameless())
    assert isinstance(nameless.name, str)
    nameless.join()


def test_name_outlives_the_goroutine():
    def worker():
        pass

    goroutine = go(worker)
    goroutine.join()
    assert goroutine.name == worker.__qualname__


def test_goroutine_is_hashable_and_read_only():
    goroutine = go(int)
    assert goroutine in {goroutine}
    assert goroutine != runtime.current()
    assert goroutine.stackless is False
    assert runtime.current().stackless is False
    for attribute in ("id", "state", "stackless"):
        with pytest.raises(AttributeError):
            setattr(goroutine, attribute, 1)
    goroutine.join()


def test_state_before_during_and_after(gomaxprocs):
    gomaxprocs(1)
    assert runtime.current().state == "running"
    assert in_goroutine(lambda: runtime.current().state) == "running"

    def state_at_birth():
        goroutine = go(int)
        state = goroutine.state
        goroutine.join()
        assert goroutine.state == "dead"
        return state

    # sysmon may hand a goroutine on when this process has not run for some time.
    assert "runnable" in {state_at_birth() for _ in range(10)}


def test_state_of_a_parked_goroutine_is_the_wait_reason(until):
    ch, other = Chan(), Chan()
    for reason, operation, wake in [
        ("chan receive", ch.recv, lambda: ch.send(1)),
        ("chan receive", ch.recv_ok, lambda: ch.send(1)),
        ("chan receive", lambda: next(iter(ch)), lambda: ch.send(1)),
        ("chan send", lambda: ch.send(1), ch.recv),
        ("select", lambda: select(recv(ch), recv(other)), lambda: ch.send(1)),
        ("select", lambda: select(gopy.send(ch, 1), recv(other)), ch.recv),
        ("sleep", lambda: gopy.time.sleep(0.2), int),
    ]:
        goroutine = go(operation)
        until(lambda: goroutine.state == reason)
        wake()
        goroutine.join()
        assert goroutine.state == "dead"


def test_state_of_the_main_goroutine_while_it_is_parked():
    main = runtime.current()
    assert main.id == 1
    ch = Chan()

    def report_when(reason):
        while main.state != reason:
            runtime.gosched()
        ch.send(reason)

    go(report_when, "chan receive")
    assert ch.recv() == "chan receive"
    go(report_when, "select")
    assert select(recv(ch), recv(nilchan)) == (0, "select", True)


@pytest.mark.leaks
def test_state_of_a_goroutine_that_waits_for_ever(until):
    for reason, operation in [
        ("chan receive (nil chan)", nilchan.recv),
        ("chan send (nil chan)", lambda: nilchan.send(1)),
        ("select (no cases)", select),
    ]:
        goroutine = go(operation)
        until(lambda: goroutine.state == reason)
        assert re.search(rf"^goroutine {goroutine.id} \[{re.escape(reason)}\]:$", goroutine.stack(), re.M)


def test_join_waits_for_the_end(until):
    ch = Chan()
    goroutine = go(ch.recv)
    joiners = [go(goroutine.join) for _ in range(10)]
    until(lambda: all(g.state not in ("runnable", "running") for g in joiners))
    assert {g.state for g in joiners}.isdisjoint({"dead"})
    ch.send(None)
    for joiner in joiners:
        joiner.join()
    assert goroutine.state == "dead"
    goroutine.join()
    goroutine.join(0)


def test_join_timeout(until):
    ch = Chan()
    goroutine = go(ch.recv)
    until(lambda: goroutine.state == "chan receive")
    for timeout in (0, -1, 0.001, 1e-9):
        with pytest.raises(TimeoutError):
            goroutine.join(timeout)
        with pytest.raises(TimeoutError):
            goroutine.join(timeout=timeout)
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        goroutine.join(timeout=0.05)
    assert time.monotonic() - begun >= 0.05
    ch.send(None)
    goroutine.join(timeout=10)
    goroutine.join(timeout=None)


def test_join_does_not_raise_what_the_goroutine_raised():
    def panics():
        raise ZeroDivisionError

    handled = []
    before = runtime.set_panic_handler(lambda goroutine, exc: handled.append(exc) or True)
    try:
        go(panics).join()
    finally:
        runtime.set_panic_handler(before)
    assert [type(exc) for exc in handled] == [ZeroDivisionError]


def test_join_wrong_types():
    goroutine = go(int)
    for timeout in ("1", b"1", [], 1j):
        with pytest.raises(TypeError, match="`timeout`"):
            goroutine.join(timeout)
        with pytest.raises(TypeError, match="`timeout`"):
            goroutine.join(timeout=timeout)
    with pytest.raises(TypeError):
        goroutine.join(1, 2)
    with pytest.raises(TypeError):
        goroutine.join(seconds=1)
    with pytest.raises(ValueError, match="`timeout`"):
        goroutine.join(float("nan"))
    goroutine.join()


def test_join_of_itself_is_an_error():
    assert isinstance(in_goroutine(lambda: runtime.current().join()), RuntimeError)
    with pytest.raises(RuntimeError):
        runtime.current().join()


# Scheduling


def test_gosched_lets_others_run(gomaxprocs):
    gomaxprocs(1)
    turns = []

    def take_turns(name):
        for _ in range(100):
            turns.append(name)
            runtime.gosched()

    goroutines = [go(take_turns, name) for name in "ab"]
    for goroutine in goroutines:
        while goroutine.state != "dead":
            runtime.gosched()
    assert sorted(turns) == ["a"] * 100 + ["b"] * 100
    assert "a" * 50 not in "".join(turns)


def test_goexit_ends_the_goroutine_and_nothing_else():
    trace = []

    def leave():
        try:
            runtime.goexit()
        except Exception:
            trace.append("caught")
        finally:
            trace.append("inner")
        trace.append("after")

    def body():
        try:
            leave()
        finally:
            trace.append("outer")

    go(body).join()
    assert trace == ["inner", "outer"]


def test_goexit_while_an_exception_is_handled():
    trace = []

    def body():
        try:
            raise ValueError
        except ValueError:
            try:
                runtime.goexit()
            finally:
                trace.append("left")

    go(body).join()
    assert trace == ["left"]


def test_goexit_lets_a_finally_block_park():
    ch = Chan()

    def body():
        try:
            runtime.goexit()
        finally:
            ch.send("still here")

    goroutine = go(body)
    assert ch.recv() == "still here"
    goroutine.join()


def test_num_goroutine_and_goroutines(until):
    ch = Chan()
    before = runtime.num_goroutine()
    assert before == len(runtime.goroutines())
    started = [go(ch.recv) for _ in range(50)]
    until(lambda: all(g.state == "chan receive" for g in started))
    assert runtime.num_goroutine() == before + 50
    listed = runtime.goroutines()
    assert runtime.current() in listed
    assert set(started) <= set(listed)
    assert len(set(listed)) == len(listed) == before + 50
    for _ in started:
        ch.send(None)
    for goroutine in started:
        goroutine.join()
    assert runtime.num_goroutine() == before
    assert not set(started) & set(runtime.goroutines())


def test_current_is_the_handle_that_go_returned():
    found = Chan()
    goroutine = go(lambda: found.send(runtime.current()))
    assert found.recv() is goroutine
    goroutine.join()


# GOMAXPROCS and num_cpu


def test_GOMAXPROCS_sets_and_asks(gomaxprocs):
    before = gomaxprocs(3)
    assert before >= 1
    assert gomaxprocs() == gomaxprocs(0) == gomaxprocs(-1) == 3
    assert gomaxprocs(1) == 3
    assert gomaxprocs() == runtime.stats()["gomaxprocs"] == 1


def test_GOMAXPROCS_changes_while_goroutines_run(gomaxprocs):
    done = Chan()

    def player(mine, other, n):
        for _ in range(n):
            other.send(mine.recv())
        mine.recv()
        done.send(n)

    def yielder(n):
        for _ in range(n):
            runtime.gosched()
        done.send(n)

    for _ in range(10):
        ping, pong = Chan(), Chan(1)
        go(player, ping, pong, 200)
        go(player, pong, ping, 200)
        go(yielder, 200)
        ping.send("ball")
    finished = 0
    settings = [8, 1, 2, 16, 3, 1, 5] * 100
    for n in settings:
        gomaxprocs(n)
        assert gomaxprocs() == n
        for _ in range(5):
            runtime.gosched()
        while select(recv(done), gopy.default)[0] == 0:
            finished += 1
    while finished < 20:  # of each pair one waits for ever for a ball that nobody sends
        done.recv()
        finished += 1


IMPORT = """
    import gopy
    print(gopy.runtime.GOMAXPROCS(), gopy.runtime.num_cpu(), gopy.runtime.stats()["gomaxprocs"])
"""


def test_GOMAXPROCS_from_the_environment(run_programs):
    good = ["1", "2", "3", "64"]
    bad = ["0", "-1", "-0", "two", "1.5", "2x", "1e3", "0x2", "\u0662", "1,2"]
    values = good + bad + [None]
    *results, unset = run_programs((IMPORT, {"env": {"GOMAXPROCS": value}}) for value in values)
    for value, result in zip(good, results, strict=False):
        procs, _, shown = result.stdout.split()
        assert (procs, shown, result.stderr) == (value, value, "")
    for value, result in zip(bad, results[len(good) :], strict=True):
        assert result.returncode == 1
        assert re.search(r"^ValueError: .*GOMAXPROCS", result.stderr, re.M), (value, result.stderr)
    procs, cpus, shown = unset.stdout.split()
    assert procs == cpus == shown


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks on this system")
def test_num_cpu_follows_the_affinity_mask(run_program):
    result = run_program(
        """
        import os
        before = len(os.sched_getaffinity(0))
        import gopy
        assert 1 <= gopy.runtime.num_cpu() <= before
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        assert gopy.runtime.num_cpu() == 1
        """
    )
    assert (result.returncode, result.stderr) == (0, "")


# stats


def test_stats_keys_and_types():
    stats = runtime.stats()
    assert set(stats) == set(runtime.Stats.__annotations__)
    assert set(stats) == set(
        "gomaxprocs ms idle_ps goroutines runq runnable parked timers netpoll"
        " spawned switches steals stolen handoffs preemptions gil".split()
    )
    assert stats["gil"] is not FREE_THREADED
    for name, value in stats.items():
        if name != "gil":
            assert type(value) is int, name
            assert value >= 0, name


def test_stats_say_what_happens(until):
    ch = Chan()
    before = runtime.stats()
    assert 1 <= before["ms"]
    assert before["idle_ps"] <= before["gomaxprocs"]
    started = [go(ch.recv) for _ in range(20)] + [go(gopy.time.sleep, 0.3)]
    until(lambda: all(g.state in ("chan receive", "sleep") for g in started))
    during = runtime.stats()
    assert during["spawned"] == before["spawned"] + 21
    assert during["goroutines"] == runtime.num_goroutine() == before["goroutines"] + 21
    assert during["parked"] >= before["parked"] + 21
    assert during["timers"] >= 1
    assert during["switches"] >= before["switches"] + 21
    for _ in range(20):
        ch.send(None)
    for goroutine in started:
        goroutine.join()
    after = runtime.stats()
    assert after["goroutines"] == before["goroutines"]
    assert after["parked"] == before["parked"]
    assert after["spawned"] == during["spawned"]


# Stacks

HEADER = r"^goroutine (\d+) \[([a-z][^\]]*)\]:$"


def blocks(text):
    """A dump cut into the parts of each goroutine: {id: (state, frames)}."""
    parts = re.split(HEADER, text, flags=re.M)
    assert parts[0] == ""
    return {int(parts[i]): (parts[i + 1], parts[i + 2]) for i in range(1, len(parts), 3)}


def outer(fn, *args):
    inner(fn, *args)


def inner(fn, *args):
    fn(*args)


def test_stack_is_that_of_the_calling_goroutine():
    found = blocks(runtime.stack())
    assert list(found) == [1]
    state, frames = found[1]
    assert state == "running"
    assert "test_stack_is_that_of_the_calling_goroutine" in frames

    def body():
        return runtime.current().id, runtime.stack()

    goid, text = in_goroutine(body)
    found = blocks(text)
    assert list(found) == [goid]
    assert "in body" in found[goid][1]
    assert "test_stack_is_that_of_the_calling_goroutine" not in text


def test_stack_of_all_shows_the_frames_of_parked_goroutines(until):
    ch = Chan()
    receiver, sender = go(outer, ch.recv), go(outer, Chan().send, 1)
    sender.name = "of no matter"
    chooser = go(outer, select, recv(ch), recv(Chan()))
    lost = Chan()
    sender_two = go(outer, lost.send, 1)
    until(lambda: receiver.state == "chan receive" and sender_two.state == "chan send")
    until(lambda: chooser.state == "select")
    del sender
    text = runtime.stack(all=True)
    assert text.startswith("goroutine 1 [running]:\n")
    found = blocks(text)
    assert set(found) == {g.id for g in runtime.goroutines()}
    assert "test_stack_of_all_shows_the_frames_of_parked_goroutines" in found[1][1]
    for goroutine in (receiver, sender_two, chooser):
        state, frames = found[goroutine.id]
        assert state == goroutine.state
        line = outer.__code__.co_firstlineno + 1
        assert re.search(rf"{re.escape(__file__)}\W.*\b{line}\b.*\bouter\b", frames)
        assert re.search(rf"{re.escape(__file__)}\W.*\binner\b", frames)
        assert "test_stack_of_all" not in frames
        alone = blocks(goroutine.stack())
        assert alone == {goroutine.id: (state, alone[goroutine.id][1])}
        assert alone[goroutine.id][1].strip() == frames.strip()
    ch.close()
    lost.recv()


def test_stack_of_a_goroutine_that_has_not_started_or_has_ended(gomaxprocs):
    gomaxprocs(1)
    goroutine = go(int)
    text = goroutine.stack()
    assert re.match(HEADER, text)
    goroutine.join()
    assert "Traceback" not in goroutine.stack()
    assert goroutine.id not in blocks(runtime.stack(all=True))


def test_stack_of_a_running_goroutine_from_another_one():
    """The main goroutine asks; on a free-threaded build the other one may run at that very moment."""
    over = threading.Event()

    def spin_in_python():
        while not over.is_set():
            runtime.gosched()

    goroutine = go(spin_in_python)
    for _ in range(100):
        runtime.gosched()
        assert list(blocks(goroutine.stack())) == [goroutine.id]
        assert goroutine.id in blocks(runtime.stack(all=True))
    over.set()
    goroutine.join()


# What each goroutine has for itself

variable = contextvars.ContextVar("variable", default="unset")


def test_contextvars_are_a_copy_of_the_callers():
    def body():
        inherited = variable.get()
        variable.set("goroutine's")
        runtime.gosched()
        return inherited, variable.get()

    token = variable.set("main's")
    try:
        assert in_goroutine(body) == ("main's", "goroutine's")
        assert variable.get() == "main's"
    finally:
        variable.reset(token)


def test_contextvars_are_copied_at_the_call_of_go():
    result = Chan()
    context = contextvars.copy_context()
    context.run(variable.set, "before")
    context.run(go, lambda: result.send(variable.get()))
    context.run(variable.set, "after")
    assert result.recv() == "before"
    assert context.run(variable.get) == "after"


def test_contextvars_do_not_outlive_a_goroutine_on_its_worker():
    for _ in range(20):
        assert in_goroutine(lambda: variable.set("left behind").old_value) is contextvars.Token.MISSING
        assert in_goroutine(variable.get) == "unset"
    assert variable.get() == "unset"


def test_contextvars_across_parks():
    ch, result = Chan(), Chan()

    def body(i):
        token = variable.set(i)
        for _ in range(20):
            runtime.gosched()
            assert variable.get() == i
        ch.recv()
        assert variable.get() == i
        variable.reset(token)
        result.send(variable.get())

    for i in range(20):
        go(body, i)
    for _ in range(20):
        ch.send(None)
        assert variable.get() == "unset"
    assert [result.recv() for _ in range(20)] == ["unset"] * 20


def test_exception_state_across_parks():
    ch, result = Chan(), Chan()

    def body(i):
        try:
            try:
                raise ValueError(i)
            except ValueError as exc:
                for _ in range(10):
                    runtime.gosched()
                    assert sys.exc_info()[1] is exc
                ch.recv()
                assert sys.exc_info()[1] is exc
                assert traceback.extract_tb(exc.__traceback__)[-1].name == "body"
                raise
        except ValueError as exc:
            result.send((i, exc.args[0], exc.__context__))

    try:
        raise KeyError("main's")
    except KeyError as exc:
        for i in range(10):
            go(body, i)
        for _ in range(10):
            ch.send(None)
            assert sys.exc_info()[1] is exc
        assert sorted(result.recv() for _ in range(10)) == [(i, i, None) for i in range(10)]
        assert sys.exc_info()[1] is exc
    assert sys.exc_info() == (None, None, None)


def test_a_goroutine_started_in_an_except_clause_starts_without_an_exception():
    def body():
        before = sys.exc_info()
        try:
            raise ValueError
        except ValueError as exc:
            return before, exc.__context__

    try:
        raise KeyError
    except KeyError:
        assert in_goroutine(body) == ((None, None, None), None)
        assert in_goroutine(body) == ((None, None, None), None)


def recurse(n):
    return 0 if n == 0 else 1 + recurse(n - 1)


def depth_left():
    """How deep Python functions can be called from here."""
    depth = 0

    def down():
        nonlocal depth
        depth += 1
        down()

    try:
        down()
    except RecursionError:
        return depth


def test_each_goroutine_has_the_whole_recursion_depth():
    here = depth_left()

    def measure(n):
        return in_goroutine(depth_left) if n == 0 else measure(n - 1)

    shallow, deep = measure(0), measure(here * 3 // 4)
    assert shallow > sys.getrecursionlimit() - 50
    assert abs(shallow - deep) < 20
    assert depth_left() == here


def test_recursion_error_in_one_goroutine_leaves_the_others_untouched(until):
    ch, result = Chan(), Chan()

    def wait_deep(n):
        if n:
            return wait_deep(n - 1) + 1
        ch.recv()
        return 0

    deep = [go(lambda: result.send(wait_deep(500))) for _ in range(20)]
    until(lambda: all(g.state == "chan receive" for g in deep))
    before = depth_left()
    assert isinstance(in_goroutine(recurse, 10_000), RecursionError)
    assert depth_left() == before
    for _ in deep:
        ch.send(None)
    assert [result.recv() for _ in deep] == [500] * 20


def test_a_goroutine_recurses_as_deep_as_the_limit_allows():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(15_000)
    try:
        assert in_goroutine(recurse, 10_000) == 10_000
    finally:
        sys.setrecursionlimit(limit)


# Wrong arguments


@pytest.mark.parametrize(
    ("fn", "args", "names"),
    [
        (runtime.GOMAXPROCS, ("2",), "n"),
        (runtime.GOMAXPROCS, (1.5,), "n"),
        (runtime.GOMAXPROCS, (None,), "n"),
        (runtime.GOMAXPROCS, (1, 2), None),
        (runtime.num_cpu, (1,), None),
        (runtime.num_goroutine, (1,), None),
        (runtime.current, (1,), None),
        (runtime.goroutines, (1,), None),
        (runtime.gosched, (1,), None),
        (runtime.goexit, (1,), None),
        (runtime.lock_os_thread, (1,), None),
        (runtime.unlock_os_thread, (1,), None),
        (runtime.stats, (1,), None),
        (runtime.stack, ("yes",), "all"),
        (runtime.stack, (True, True), None),
        (runtime.dump_on, ("SIGQUIT",), "signum"),
        (runtime.dump_on, (None,), "signum"),
        (runtime.dump_on, (), None),
        (runtime.set_panic_handler, (1,), "handler"),
        (runtime.set_panic_handler, ("print",), "handler"),
        (runtime.set_panic_handler, (), None),
        (gopy.time.sleep, ("1",), "seconds"),
        (gopy.time.sleep, (None,), "seconds"),
        (gopy.time.sleep, (), None),
    ],
)
def test_arguments_of_a_wrong_type(fn, args, names):
    before = runtime.GOMAXPROCS()
    with pytest.raises(TypeError, match=f"`{names}`" if names else None):
        fn(*args)
    assert runtime.GOMAXPROCS() == before


def test_arguments_that_are_positional_only():
    for fn, kwargs in [(runtime.GOMAXPROCS, {"n": 1}), (gopy.time.sleep, {"duration": 1})]:
        with pytest.raises(TypeError):
            fn(**kwargs)


def test_arguments_out_of_range():
    handlers = [signal.getsignal(n) for n in sorted(signal.valid_signals())]
    for signum in (0, -1, 100_000):
        with pytest.raises(ValueError, match="`signum`"):
            runtime.dump_on(signum)
    with pytest.raises(TypeError, match="`file`"):
        runtime.dump_on(signal.SIGQUIT, file=3)
    with pytest.raises(ValueError, match="`seconds`"):
        gopy.time.sleep(float("nan"))
    assert [signal.getsignal(n) for n in sorted(signal.valid_signals())] == handlers


# lock_os_thread


def test_lock_os_thread_wires_a_goroutine_to_a_thread_of_its_own(run_programs):
    """Also on the main thread. json: whether the locked goroutine stayed, whether another one came."""
    program = """
        import json, sys, threading
        from gopy import Chan, go, runtime

        locked = sys.argv[1] == "main"
        visitors, mine = set(), set()
        ready, over, ping, pong = threading.Event(), Chan(), Chan(), Chan()

        def visitor():
            for _ in range(50):
                visitors.add(threading.get_ident())
                runtime.gosched()
            over.send(None)

        def partner():
            for value in ping:
                visitors.add(threading.get_ident())
                pong.send(value)
            over.send(None)

        def wired():
            runtime.lock_os_thread()
            runtime.lock_os_thread()
            runtime.unlock_os_thread()  # as often as it was locked
            ready.set()
            for i in range(100):
                mine.add(threading.get_ident())
                ping.send(i)
                pong.recv()
            ping.close()
            runtime.unlock_os_thread()
            runtime.unlock_os_thread()  # once too often is no error
            over.send(None)

        if locked:
            for _ in range(20):
                go(visitor)
            go(partner)
            runtime.lock_os_thread()
            go(lambda: over.send(None))
            for i in range(100):
                mine.add(threading.get_ident())
                ping.send(i)
                pong.recv()
            ping.close()
        else:
            go(wired)
            ready.wait()  # in C: another M starts it
            for _ in range(20):
                go(visitor)
            go(partner)
        for _ in range(22):
            over.recv()
        print(json.dumps([len(mine), not visitors & mine]))
    """
    results = run_programs(
        (program.replace("sys.argv[1]", repr(who)), {"env": {"GOMAXPROCS": n}})
        for who in ("main", "goroutine")
        for n in "128"
    )
    for result in results:
        assert (result.returncode, result.stderr) == (0, "")
        assert json.loads(result.stdout) == [1, True]


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs Linux's /proc")
def test_a_goroutine_that_ends_locked_takes_its_thread_with_it(run_program):
    result = run_program(
        """
        import os, threading
        import gopy
        from gopy import Chan, go, runtime

        started, idents = threading.Event(), []

        def wired():
            runtime.lock_os_thread()
            idents.append(threading.get_native_id())
            started.set()

        go(wired)
        started.wait()  # in C: another M starts it
        assert idents[0] != threading.get_native_id()
        while str(idents[0]) in os.listdir("/proc/self/task"):
            gopy.time.sleep(0.001)
        ch = Chan()
        go(ch.send, "alive")
        assert ch.recv() == "alive"
        """
    )
    assert (result.returncode, result.stderr) == (0, "")
