"""go, Goroutine, and what each goroutine has for itself: contextvars, exception state, recursion depth."""

import contextvars
import functools
import gc
import re
import sys
import time
import traceback
import weakref

import pytest

import gopy
from gopy import Chan, Goroutine, go, nilchan, recv, runtime, select

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


def test_go_refuses_what_cannot_be_run():
    async def async_generator_function():
        yield

    def generator_function():
        yield

    async def coroutine_function():
        pass

    ended = coroutine_function()
    with pytest.raises(StopIteration):
        ended.send(None)
    fresh = coroutine_function()
    spawned = runtime.stats()["spawned"]
    for error, args in [
        (TypeError, [async_generator_function]),
        (TypeError, [async_generator_function()]),
        (TypeError, [functools.partial(async_generator_function)]),
        (TypeError, [generator_function(), 1]),
        (TypeError, [fresh, 1]),
        (ValueError, [ended]),
    ]:
        with pytest.raises(error, match=r"`fn`|positional argument"):
            go(*args)
    assert runtime.stats()["spawned"] == spawned
    fresh.close()


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
    """Each starts the next and waits for it: they share neither the C stack nor the recursion limit."""

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


def test_ids_grow_from_the_main_goroutine(in_goroutine):
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


def test_state_before_during_and_after(gomaxprocs, in_goroutine):
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
    ch, other, over = Chan(), Chan(), []

    def sleeps():
        while not over:
            gopy.time.sleep(0.01)

    for reason, operation, wake in [
        ("chan receive", ch.recv, lambda: ch.send(1)),
        ("chan receive", ch.recv_ok, lambda: ch.send(1)),
        ("chan receive", lambda: next(iter(ch)), lambda: ch.send(1)),
        ("chan send", lambda: ch.send(1), ch.recv),
        ("select", lambda: select(recv(ch), recv(other)), lambda: ch.send(1)),
        ("select", lambda: select(gopy.send(ch, 1), recv(other)), ch.recv),
        ("sleep", sleeps, lambda: over.append(True)),
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

    def handler(goroutine, exc):
        handled.append(exc)
        return True

    handled = []
    before = runtime.set_panic_handler(handler)
    try:
        go(panics).join()
    finally:
        assert runtime.set_panic_handler(before) is handler
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


def test_join_of_itself_is_an_error(in_goroutine):
    assert isinstance(in_goroutine(lambda: runtime.current().join()), RuntimeError)
    with pytest.raises(RuntimeError):
        runtime.current().join()


# What each goroutine has for itself

variable = contextvars.ContextVar("variable", default="unset")


def test_contextvars_are_a_copy_of_the_callers(in_goroutine):
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


def test_contextvars_do_not_outlive_a_goroutine_on_its_worker(in_goroutine):
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


def test_a_goroutine_started_in_an_except_clause_starts_without_an_exception(in_goroutine):
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


def test_each_goroutine_has_the_whole_recursion_depth(in_goroutine):
    here = depth_left()

    def measure(n):
        return in_goroutine(depth_left) if n == 0 else measure(n - 1)

    shallow, deep = measure(0), measure(here * 3 // 4)
    assert shallow > sys.getrecursionlimit() - 50
    assert abs(shallow - deep) < 20
    assert depth_left() == here


def test_recursion_error_in_one_goroutine_leaves_the_others_untouched(until, in_goroutine):
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


def test_a_goroutine_recurses_as_deep_as_the_limit_allows(in_goroutine):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(15_000)
    try:
        assert in_goroutine(recurse, 10_000) == 10_000
    finally:
        sys.setrecursionlimit(limit)
