"""Package errgroup."""

import functools
import gc
import sys
import threading
import weakref
from collections import Counter

import pytest

from gopy import Chan, Panic, context, errgroup, go, runtime
from gopy import time as gotime

GIL = runtime.stats()["gil"]


class Oops(Exception):
    pass


def fail(exc):
    raise exc


async def fail_async(exc):
    await gotime.asleep(0)
    raise exc


def fail_generator(exc):
    yield gotime.asleep(0)
    raise exc


class Callables:
    def plain(self, exc):
        raise exc

    async def method(self, exc):
        raise exc

    @classmethod
    def generator(cls, exc):
        yield from gotime.asleep(0)
        raise exc


class AsyncCall:
    async def __call__(self, exc):
        raise exc


KINDS = {
    "plain": lambda exc: (fail, exc),
    "builtin": lambda exc: (next, iter(map(fail, [exc]))),
    "method": lambda exc: (Callables().plain, exc),
    "async": lambda exc: (fail_async, exc),
    "async method": lambda exc: (Callables().method, exc),
    "async call": lambda exc: (AsyncCall(), exc),
    "partial": lambda exc: (functools.partial(fail_async, exc),),
    "generator": lambda exc: (fail_generator, exc),
    "classmethod": lambda exc: (Callables.generator, exc),
    "coroutine": lambda exc: (fail_async(exc),),
    "generator object": lambda exc: (fail_generator(exc),),
}


@pytest.mark.parametrize("limit", [-1, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_of_any_kind_of_goroutine_is_the_groups(kind, limit):
    g, exc = errgroup.Group(), Oops(kind)
    g.set_limit(limit)
    assert g.go(*KINDS[kind](exc)) is None
    with pytest.raises(Oops) as info:
        g.wait()
    assert info.value is exc
    g = errgroup.Group()
    g.set_limit(limit)
    assert g.try_go(*KINDS[kind](exc)) is True
    with pytest.raises(Oops):
        g.wait()
    g.set_limit(0)  # no slot is still held
    assert g.ctx is None


def test_keyword_arguments_and_values():
    g, got = errgroup.Group(), []

    async def collect(*args, **kwargs):
        got.append((args, kwargs))

    g.go(got.append, 1)
    g.go(collect, 2, three=3)
    assert g.wait() is None
    assert sorted(got, key=str) == [((2,), {"three": 3}), 1]


def test_the_goroutine_is_named_after_its_function(until):
    g, ch = errgroup.Group(), Chan()

    async def waits():
        await ch.arecv()

    def waits_too():
        ch.recv()

    known = {each.id for each in runtime.goroutines()}
    g.go(waits)
    g.go(waits_too)
    until(lambda: {each.state for each in runtime.goroutines() if each.id not in known} == {"chan receive"})
    names = {
        each.name.rpartition(".")[2]: each.stackless for each in runtime.goroutines() if each.id not in known
    }
    assert names == {"waits": True, "waits_too": False}
    ch.close()
    g.wait()


def test_the_first_exception_wins_and_cancels(until):
    g, ctx = errgroup.with_context(context.background())
    ready, first = Chan(), Oops("first")

    def second():
        ready.send(None)
        ctx.done().recv()
        raise KeyError("second")

    g.go(second)
    ready.recv()
    g.go(fail, first)
    with pytest.raises(Oops) as info:
        g.wait()
    assert info.value is first
    assert isinstance(ctx.err(), context.Canceled)
    assert context.cause(ctx) is first
    assert g.ctx is ctx


def test_wait_cancels_and_says_no_cause():
    g, ctx = errgroup.with_context(context.background())
    assert ctx.err() is None
    g.wait()
    assert isinstance(ctx.err(), context.Canceled)
    assert isinstance(context.cause(ctx), context.Canceled)


def test_the_groups_context_ends_with_its_parent(until):
    parent, cancel = context.with_cancel(context.background())
    with errgroup.Group(parent) as g:
        g.go(lambda: g.ctx.done().recv_ok())
        cancel()


def test_waiting_again_raises_again_and_no_longer_traceback():
    g = errgroup.Group()
    g.go(fail, Oops("x"))
    depths = set()
    for _ in range(4):
        with pytest.raises(Oops) as info:
            g.wait()
        depths.add(len(info.traceback))
        assert "fail" in [entry.name for entry in info.traceback]
    assert len(depths) == 1


def test_several_may_wait():
    g, ch, seen = errgroup.Group(), Chan(), Chan(100)

    def wait():
        for _ in range(2000):
            try:
                g.wait()
            except Oops as exc:
                assert (exc.args, exc.extra) == (("x",), 5)
        seen.send(True)

    exc = Oops("x")
    exc.extra = 5

    def work():
        ch.recv()
        raise exc

    g.go(work)
    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        go(wait)
    ch.close()
    for _ in range(6):
        assert seen.recv(timeout=30)
    for thread in threads:
        thread.join()


def test_a_panic_is_an_exception_like_others():
    g, ch = errgroup.Group(), Chan()
    ch.close()
    g.go(ch.close)
    with pytest.raises(Panic, match="close of closed channel"):
        g.wait()


def test_goexit_ends_a_member_without_an_error():
    """As in x/sync: it is no error, and the group counts it as ended."""
    g, ctx = errgroup.with_context(context.background())
    g.set_limit(1)

    async def exits():
        runtime.goexit()

    g.go(runtime.goexit)
    g.go(exits)
    g.go(lambda: None)
    assert ctx.err() is None
    assert g.wait() is None


@pytest.mark.parametrize("what", ["SystemExit(3)", "KeyboardInterrupt()"])
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_what_ends_the_program_ends_it(what, kind, run_program):
    """x/sync lets a panic end the program; here SystemExit and KeyboardInterrupt do, as in any goroutine."""
    finished = run_program(f"""
        from gopy import errgroup
        g = errgroup.Group()
        {kind} f():
            raise {what}
        try:
            g.go(f)
            g.wait()
        except BaseException as exc:
            print(type(exc).__name__)
            raise SystemExit(7)
        print("not raised")
    """)
    assert (finished.returncode, finished.stdout) == (7, what.partition("(")[0] + "\n")


def test_limit_parks_go_until_one_ends(until):
    g, ch, started = errgroup.Group(), Chan(), []
    g.set_limit(2)

    def add():
        for i in range(4):
            g.go(ch.recv)
            started.append(i)

    adder = go(add)
    until(lambda: adder.state == "chan receive")
    assert started == [0, 1]
    assert not g.try_go(ch.recv)
    with pytest.raises(
        Panic, match="^errgroup: modify limit while 2 goroutines in the group are still active$"
    ):
        g.set_limit(3)
    ch.send(None)
    until(lambda: started == [0, 1, 2])
    ch.close()
    adder.join()
    g.wait()
    g.set_limit(3)


def test_a_limit_does_not_count_those_before_it():
    g, ch, other = errgroup.Group(), Chan(), Chan()
    g.go(ch.recv)
    g.set_limit(1)
    g.go(other.recv)
    assert not g.try_go(other.recv)
    g.set_limit(-1)
    assert g.try_go(other.recv)
    g.set_limit(1)
    assert g.try_go(other.recv)
    ch.close()
    other.close()
    g.wait()
    g.set_limit(0)


def test_a_coroutine_that_try_go_refuses_is_left_alone():
    g = errgroup.Group()
    g.set_limit(0)
    coroutine = fail_async(Oops())
    assert not g.try_go(coroutine)
    assert coroutine.cr_frame is not None
    coroutine.close()


def test_from_a_plain_thread():
    got = []

    def body():
        g = errgroup.Group()
        g.set_limit(1)
        for i in range(5):
            g.go(got.append, i)
        g.go(fail, Oops("thread"))
        try:
            g.wait()
        except Oops as exc:
            got.append(str(exc))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert got == [0, 1, 2, 3, 4, "thread"]


# As a context manager


def test_leaving_waits_and_raises():
    got, ch = [], Chan(1)
    with errgroup.Group() as g:
        g.go(lambda: got.append(ch.recv()))
        ch.send(1)
    assert got == [1]
    with pytest.raises(Oops):
        with errgroup.Group() as g:
            g.go(fail, Oops())


def test_the_bodys_exception_wins_and_the_groups_is_its_context():
    of_group = Oops("group")
    with pytest.raises(KeyError) as info:
        with errgroup.Group(context.background()) as g:
            ctx = g.ctx

            def work():
                ctx.done().recv()
                raise of_group

            g.go(work)
            try:
                raise ValueError("before")
            except ValueError:
                raise KeyError("body")  # noqa: B904
    assert isinstance(info.value.__context__, ValueError)
    assert info.value.__context__.__context__ is of_group
    assert context.cause(ctx) is info.value


def test_no_chain_of_exceptions_becomes_a_circle():
    with pytest.raises(KeyError) as info:
        with errgroup.Group(context.background()) as g:

            def work():
                g.ctx.done().recv()
                g.ctx.raise_if_done()  # from its cause, which is the body's exception

            g.go(work)
            raise KeyError("body")
    assert info.value.__context__ is None
    with pytest.raises(KeyError) as info:
        with errgroup.Group() as g:
            g.go(fail, Oops())
            try:
                g.wait()
            except Oops as exc:
                raise KeyError from exc
    assert isinstance(info.value.__context__, Oops)
    assert info.value.__context__.__context__ is None
    with pytest.raises(Oops) as info:
        with errgroup.Group() as g:
            g.go(fail, Oops())
            g.wait()
    assert info.value.__context__ is None


# Bad input


def generator_in_use():
    yield


@pytest.mark.parametrize("call", ["go", "try_go"])
def test_wrong_functions(call, until):
    g, ended, busy = errgroup.Group(), generator_in_use(), None
    g.set_limit(1)
    add = getattr(g, call)

    async def agen():
        yield

    def running():
        with pytest.raises(ValueError, match="`fn` is a generator that runs already"):
            add(busy)
        yield

    list(ended)
    with pytest.raises(TypeError, match="`fn` must be callable, a coroutine or a generator, got int"):
        add(5)
    with pytest.raises(TypeError):
        add()
    with pytest.raises(TypeError, match="`fn` must not be an async generator function"):
        add(agen)
    with pytest.raises(ValueError, match="`fn` is a generator that has ended already"):
        add(ended)
    with pytest.raises(TypeError, match="`fn` is a generator, which takes no arguments"):
        add(generator_in_use(), 1)
    busy = running()
    next(busy)
    assert g.wait() is None
    g.set_limit(2)  # nothing was taken


def test_wrong_arguments_for_the_function_are_the_groups():
    for fn in (fail, fail_async, fail_generator):
        g = errgroup.Group()
        g.go(fn)
        with pytest.raises(TypeError, match="exc"):
            g.wait()


def test_wrong_limits_and_contexts():
    g = errgroup.Group()
    with pytest.raises(TypeError, match="`n` must be an int, got str"):
        g.set_limit("1")
    with pytest.raises(ValueError, match="`n` is out of range"):
        g.set_limit(10**30)
    with pytest.raises(TypeError, match="`ctx` must be a Context, got int"):
        errgroup.Group(1)
    with pytest.raises(TypeError, match="`ctx` must be a Context, got NoneType"):
        errgroup.with_context(None)
    assert g.try_go(lambda: None)
    g.wait()


# References


def test_nothing_is_kept_alive(until):
    class Thing:
        def __call__(self):
            raise Oops(self.__class__.__name__)

        async def method(self):
            raise Oops

    gc.collect()
    gc.disable()
    try:
        refs = []

        def body(attribute, ctx):
            g, thing = errgroup.Group(ctx), Thing()
            refs.append(weakref.ref(thing))
            g.go(getattr(thing, attribute))
            g._wg.wait()
            refs.append(weakref.ref(g.ctx) if g.ctx else lambda: None)

        body("__call__", None)
        body("method", None)
        if GIL:
            until(lambda: [ref() for ref in refs] == [None] * 4)  # without the collector
        body("method", context.background())
    finally:
        gc.enable()
    until(lambda: gc.collect() >= 0 and [ref() for ref in refs] == [None] * 6)


def test_memory_of_failed_groups_is_freed(until):
    def counted():
        """Of each type, how many: threads and workers that come meanwhile have a few of a type."""
        gc.collect()
        return Counter(type(each) for each in gc.get_objects())

    def rounds(n):
        for i in range(n):
            g, _ = errgroup.with_context(context.background())
            g.set_limit(2)
            for _ in range(3):
                g.go(fail_async if i % 2 else fail, Oops())
            try:
                g.wait()
            except Oops:
                pass

    rounds(50)
    before = counted()
    rounds(200)
    until(lambda: max((counted() - before).values(), default=0) < 100)


# Stress


def test_many_at_a_limit(gomaxprocs, until):
    gomaxprocs(4)
    g, active, most = errgroup.Group(), [], 0
    g.set_limit(5)

    def work():
        nonlocal most
        active.append(1)
        most = max(most, len(active))
        runtime.gosched()
        active.pop()

    async def work_async():
        nonlocal most
        active.append(1)
        most = max(most, len(active))
        await runtime.agosched()
        active.pop()

    def add():
        for i in range(300):
            g.go(work_async if i % 2 else work)

    threads = [threading.Thread(target=add), threading.Thread(target=add)]
    for thread in threads:
        thread.start()
    for adder in [go(add), go(add)]:
        adder.join()
    for thread in threads:
        thread.join()
    g.wait()
    assert not active
    assert 1 <= most <= 5


def test_reference_counts(until):
    g, marker = errgroup.Group(), object()
    before = sys.getrefcount(marker)

    def take(x):
        pass

    for _ in range(100):
        g.go(take, marker)
        assert g.try_go(take, marker)
    g.wait()
    if GIL:
        until(lambda: sys.getrefcount(marker) == before)
