"""Defer, deferring and panic: order, failures, recover, tracebacks, and every kind of function."""

import asyncio
import gc
import sys
import traceback
import weakref

import pytest

from gopy import Defer, Panic, deferring, go, panic, runtime


def boom(value):
    raise ValueError(value)


# Order and results


def test_calls_run_last_in_first_out_after_the_body():
    @deferring
    def fn(defer, x, *, y):
        assert isinstance(defer, Defer)
        for i in range(3):
            defer(seen.append, i)
        defer(lambda **kw: seen.append(kw), k=y)
        seen.append("body")
        return x + y

    seen = []
    assert fn(1, y=2) == 3
    assert seen == ["body", {"k": 2}, 2, 1, 0]


def test_arguments_are_those_of_the_time_of_the_defer():
    @deferring
    def fn(defer):
        x = 1
        defer(seen.append, x)
        x = 2
        return x

    seen = []
    assert (fn(), seen) == (2, [1])


def test_a_deferred_call_may_defer():
    @deferring
    def fn(defer):
        defer(seen.append, "last")
        defer(lambda: (defer(seen.append, "second"), seen.append("first")))

    seen = []
    fn()
    assert seen == ["first", "second", "last"]


def test_each_runs_even_if_an_earlier_one_failed():
    @deferring
    def fn(defer):
        for i in range(4):
            defer(seen.append, i)
            defer(boom, i)

    seen = []
    with pytest.raises(ValueError, match="0"):
        fn()
    assert seen == [3, 2, 1, 0]


@pytest.mark.parametrize("bad", [None, 1, "text"], ids=lambda bad: type(bad).__name__)
def test_what_is_deferred_must_be_callable(bad):
    @deferring
    def fn(defer):
        defer(seen.append, 1)
        defer(bad)

    seen = []
    with pytest.raises(TypeError, match="`fn` must be callable, got "):
        fn()
    assert seen == [1]
    with pytest.raises(TypeError, match="`fn` must be callable"):
        deferring(bad)


def test_defer_after_the_end():
    kept = deferring(lambda defer: defer)()
    with pytest.raises(RuntimeError, match="after the end of the function"):
        kept(print)
    assert kept.recover() is None


def test_it_looks_like_the_function():
    @deferring
    def fn(defer, x):
        """Its text."""

    assert (fn.__name__, fn.__doc__) == ("fn", "Its text.")
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        fn()


def test_methods():
    class C:
        @deferring
        def method(self, defer, x):
            defer(seen.append, x)
            return self

        @classmethod
        @deferring
        def of_class(cls, defer, x):
            defer(seen.append, x)
            return cls

        @staticmethod
        @deferring
        def static(defer, x):
            defer(seen.append, x)

        @deferring
        def defer_first(defer, self, x):
            defer(seen.append, x)
            return self

    seen = []
    c = C()
    assert c.method(1) is c
    assert C.method(c, 2) is c
    assert c.of_class(3) is C
    C.static(4)
    assert c.defer_first(5) is c
    assert seen == [1, 2, 3, 4, 5]


# Recover


def test_recover_takes_the_exception_and_stops_it():
    @deferring
    def fn(defer):
        defer(lambda: seen.append(defer.recover()))  # nothing is left
        defer(lambda: seen.append(defer.recover()))
        defer(lambda: seen.append((defer.recover(), sys.exc_info()[1])[1]))
        defer(seen.append, "before")
        raise error

    seen, error = [], ValueError("x")
    assert fn() is None
    assert seen == ["before", error, None, None]


def test_a_return_value_survives_a_recovered_deferred_failure():
    @deferring
    def fn(defer):
        defer(lambda: defer.recover())
        defer(boom, 1)
        return "value"

    assert fn() == "value"


def test_recover_outside_of_a_deferred_call():
    @deferring
    def fn(defer):
        assert defer.recover() is None
        defer(handler, defer)
        handler(defer)
        try:
            raise ValueError
        except ValueError:
            assert defer.recover() is None
            raise

    def handler(defer):
        seen.append(defer.recover())

    seen = []
    fn()
    assert seen[0] is None
    assert isinstance(seen[1], ValueError)


def test_recover_when_nothing_is_in_flight():
    @deferring
    def fn(defer):
        defer(lambda: seen.append(defer.recover()))
        return 1

    seen = []
    assert (fn(), seen) == (1, [None])


def test_recover_of_the_callers_exception():
    """What the caller is handling is not in flight in the function that it calls."""

    @deferring
    def fn(defer):
        defer(lambda: seen.append(defer.recover()))

    seen = []
    try:
        raise KeyError
    except KeyError:
        fn()
    assert seen == [None]


def test_recover_of_what_is_not_an_exception_class_below_exception():
    @deferring
    def fn(defer, exc):
        defer(lambda: seen.append(type(defer.recover())))
        raise exc

    seen = []
    for exc in (KeyboardInterrupt(), SystemExit(3), BaseExceptionGroup("g", [ValueError()])):
        fn(exc)
    assert seen == [KeyboardInterrupt, SystemExit, ExceptionGroup]


def test_a_second_panic_replaces_the_first():
    @deferring
    def fn(defer):
        defer(lambda: seen.append(defer.recover()))
        defer(boom, "second")
        boom("first")

    seen = []
    fn()
    assert [str(e) for e in (seen[0], seen[0].__context__)] == ["second", "first"]


def test_raising_again_after_recover():
    @deferring
    def fn(defer, how):
        def handler():
            e = defer.recover()
            raise e if how == "same" else LookupError("new") from e

        defer(handler)
        boom("old")

    with pytest.raises(ValueError, match="old") as caught:
        fn("same")
    assert caught.value.__context__ is None
    with pytest.raises(LookupError, match="new") as caught:
        fn("new")
    assert str(caught.value.__cause__) == "old"


def test_recover_directly_deferred():
    """test/recover.go, test2: `defer recover()` squelches."""

    @deferring
    def fn(defer):
        defer(lambda: seen.append(defer.recover()))
        defer(defer.recover)
        panic(2)

    seen = []
    fn()
    assert seen == [None]


# Chains and tracebacks


def contexts(exc):
    found = []
    while exc is not None:
        found.append(str(exc))
        exc = exc.__context__
    return found


def nested(fail, names):
    """The same with finally blocks."""
    if not names:
        return fail("body")
    try:
        nested(fail, names[1:])
    finally:
        fail(names[0])


def test_the_chain_is_that_of_nested_finally_blocks():
    @deferring
    def fn(defer):
        for name in "abc":
            defer(boom, name)
        boom("body")

    def both():
        for run in (fn, lambda: nested(boom, "abc")):
            try:
                run()
            except ValueError as exc:
                yield contexts(exc)

    assert list(both()) == [["a", "b", "c", "body"]] * 2
    try:
        raise KeyError("outer")
    except KeyError:
        assert list(both()) == [["a", "b", "c", "body", "'outer'"]] * 2
        with pytest.raises(ValueError) as caught:
            deferring(lambda defer: boom("body"))()
        assert contexts(caught.value) == ["body", "'outer'"]


def test_the_exception_is_being_handled_in_the_deferred_call():
    @deferring
    def fn(defer):
        defer(lambda: seen.append(sys.exc_info()[1]))
        defer(lambda: defer.recover())
        defer(lambda: seen.append(sys.exc_info()[1]))
        boom("x")

    seen = []
    fn()
    assert [str(e) for e in seen] == ["x", "None"]


def test_every_traceback_is_kept():
    @deferring
    def fn(defer):
        defer(second)
        defer(lambda: None)
        first()

    def first():
        boom(1)

    def second():
        boom(2)

    with pytest.raises(ValueError) as caught:
        fn()
    names = [f.name for f in traceback.extract_tb(caught.value.__context__.__traceback__)]
    assert names == ["fn", "first", "boom"]
    names = [f.name for f in traceback.extract_tb(caught.value.__traceback__)]
    assert names[0] == "test_every_traceback_is_kept"
    assert names[-2:] == ["second", "boom"]

    with pytest.raises(ValueError) as caught:
        deferring(lambda defer: (defer(len, ()), first()))()
    names = [f.name for f in traceback.extract_tb(caught.value.__traceback__)]
    assert names == ["test_every_traceback_is_kept", "call_deferring", "<lambda>", "first", "boom"]


def test_nothing_is_kept_alive():
    class Big:
        pass

    @deferring
    def fn(defer, x, how):
        defer(lambda: x)
        if how == "recover":
            defer(lambda: defer.recover())
        if how != "return":
            raise ValueError

    gc.collect()
    gc.disable()
    try:
        for how in ("return", "recover", "raise"):
            big = Big()
            gone = weakref.ref(big)
            try:
                fn(big, how)
            except ValueError:
                pass
            del big
            assert gone() is None, how
    finally:
        gc.enable()


# goexit, goroutines


def test_goexit_runs_the_deferred_calls(in_goroutine):
    @deferring
    def fn(defer):
        defer(lambda: seen.append(defer.recover()))
        defer(seen.append, "deferred")
        inner()
        seen.append("not reached")

    @deferring
    def inner(defer):
        defer(lambda: seen.append(defer.recover()))
        runtime.goexit()

    seen = []
    go(fn).join()
    assert seen == [None, "deferred", None]


def test_recovered_panic_after_goexit():
    """runtime/crash_test.go, TestRecoveredPanicAfterGoexit, TestRecoverBeforePanicAfterGoexit and ...2: the
    goroutine still ends."""

    @deferring
    def after(defer):
        @deferring
        def inner(defer):
            defer(lambda: seen.append(str(defer.recover())))
            panic("hello")

        defer(inner)
        runtime.goexit()

    @deferring
    def before(defer):
        defer(lambda: seen.append(str(defer.recover())))
        defer(panic, "hello")
        runtime.goexit()

    @deferring
    def outer(defer):
        defer(lambda: seen.append(str(defer.recover())))

        @deferring
        def inner(defer):
            defer(panic, "hello")
            runtime.goexit()

        inner()

    def body(fn):
        fn()
        seen.append("not reached")

    for fn in (after, before, outer):
        seen = []
        go(body, fn).join()
        assert seen == ["hello"]


def test_goexit_in_panic():
    """runtime/crash_test.go, TestGoexitInPanic: goexit in a deferred call ends the panic."""

    @deferring
    def fn(defer):
        defer(seen.append, "deferred")
        defer(runtime.goexit)
        panic("hello")

    seen = []
    go(fn).join()
    assert seen == ["deferred"]


def test_deferred_calls_may_park():
    from gopy import Chan

    @deferring
    def fn(defer, i):
        defer(lambda: seen.append((i, type(defer.recover()))))
        defer(lambda: ch.recv())
        raise (KeyError, ValueError)[i % 2]

    seen, ch = [], Chan()
    goroutines = [go(fn, i) for i in range(20)]
    for _ in goroutines:
        ch.send(None)
    for g in goroutines:
        g.join()
    assert sorted(seen, key=lambda pair: pair[0]) == [(i, (KeyError, ValueError)[i % 2]) for i in range(20)]


def test_a_goroutine_started_by_defer_cannot_recover():
    @deferring
    def fn(defer):
        defer(lambda: go(lambda: seen.append(defer.recover())).join())
        defer(boom, 1)

    seen = []
    with pytest.raises(ValueError):
        fn()
    assert seen == [None]


# Other kinds of functions


def test_generators():
    @deferring
    def fn(defer, how):
        defer(lambda: seen.append(defer.recover()))
        got = yield 1
        seen.append(got)
        if how == "raise":
            boom("x")
        return "end"

    seen = []
    g = fn("return")
    assert next(g) == 1
    with pytest.raises(StopIteration) as caught:
        g.send("got")
    assert (caught.value.value, seen) == ("end", ["got", None])

    seen = []
    assert list(fn("raise")) == [1]
    assert (seen[0], str(seen[1])) == (None, "x")

    seen = []
    g = fn("return")
    next(g)
    g.close()
    assert seen == [None]  # GeneratorExit is not recovered
    seen = []
    g = fn("return")
    g.close()
    assert seen == []  # it never began

    @deferring
    def closes(defer):
        defer(lambda: seen.append(defer.recover()))
        defer(boom, "x")
        yield

    g = closes()
    next(g)
    g.close()
    assert str(seen[0]) == "x"


def test_coroutines():
    @deferring
    async def fn(defer, how):
        async def handler():
            await asyncio.sleep(0)
            seen.append(defer.recover())

        defer(handler)
        defer(seen.append, "plain")
        await asyncio.sleep(0)
        if how == "raise":
            boom("x")
        return "value"

    seen = []
    assert asyncio.run(fn("return")) == "value"
    assert seen == ["plain", None]
    seen = []
    assert asyncio.run(fn("raise")) is None
    assert str(seen[1]) == "x"


def test_async_generators_are_refused():
    with pytest.raises(TypeError, match="async generator"):

        @deferring
        async def fn(defer):
            yield 1


# panic


def test_panic():
    error = KeyError("k")
    with pytest.raises(KeyError) as caught:
        panic(error)
    assert caught.value is error
    with pytest.raises(LookupError):
        panic(LookupError)
    with pytest.raises(Panic, match="text") as caught:
        panic("text")
    assert caught.value.args == ("text",)
    with pytest.raises(Panic) as caught:
        panic(None)
    assert caught.value.args == (None,)
    with pytest.raises(Panic) as caught:
        panic(int)
    assert caught.value.args == (int,)
