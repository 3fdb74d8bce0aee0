"""Package singleflight."""

import gc
import sys
import weakref

import pytest
from starters import STARTERS, in_thread

from gopy import Chan, default, go, recv, runtime, select, singleflight
from gopy import time as gotime
from gopy._failure import Failure, copy_of

GIL = runtime.stats()["gil"]


class Oops(Exception):
    pass


def share(group, fn, start, until, n=4):
    """n callers of one do(), each with what it got; fn is called while they wait."""
    got, go_on = Chan(n), Chan()

    def slow():
        go_on.recv()
        return fn()

    def call():
        try:
            got.send(group.do("key", slow))
        except BaseException as exc:
            got.send(exc)
            if not isinstance(exc, Exception):
                raise

    started = [start(call) for _ in range(n)]
    until(lambda: "key" in group._calls and group._calls["key"].dups == n - 1)
    go_on.close()
    results = [got.recv() for _ in range(n)]
    for each in started:
        each.join()
    assert not group._calls
    return results


def test_alone():
    group = singleflight.Group()
    assert group.do("key", lambda: 5) == (5, False)
    assert group.do(("other", 1), fn=list) == ([], False)
    assert group.forget("nobody knows it") is None


@STARTERS
def test_one_call_for_all(start, until):
    calls = []
    results = share(singleflight.Group(), lambda: calls.append(1) or len(calls), start, until)
    assert results == [(1, True)] * 4
    assert calls == [1]


@STARTERS
def test_an_exception_reaches_every_waiter(start, until):
    exc = Oops("x", 1)
    exc.extra = ["more"]

    def fail():
        raise exc from KeyError("cause")

    results = share(singleflight.Group(), fail, start, until)
    assert {type(each) for each in results} == {Oops}
    for each in results:
        assert (each.args, each.extra, type(each.__cause__)) == (("x", 1), ["more"], KeyError)
    if GIL:
        assert {id(each) for each in results} == {id(exc)}


def test_goexit_ends_every_waiting_goroutine(until):
    results = share(singleflight.Group(), runtime.goexit, go, until)
    assert {type(each).__name__ for each in results} == {"_Goexit"}


def test_goexit_for_a_plain_thread(until):
    group, go_on, got = singleflight.Group(), Chan(), []

    def leader():
        group.do("key", lambda: (go_on.recv(), runtime.goexit()))

    def follower():
        try:
            group.do("key", int)
        except RuntimeError as exc:
            got.append(exc)

    goroutine = go(leader)
    until(lambda: "key" in group._calls)
    thread = in_thread(follower)
    until(lambda: group._calls["key"].dups == 1)
    go_on.send(None)
    goroutine.join()  # first: it may have started on this thread, which the other join blocks
    thread.join()
    assert len(got) == 1


def test_do_chan():
    group, go_on = singleflight.Group(), Chan()
    first = group.do_chan("key", go_on.recv)
    second = group.do_chan("key", fn=lambda: 1 / 0)
    go_on.send(7)
    for ch in (first, second):
        result = ch.recv()
        assert result == singleflight.Result(7, None, True)
        assert (result.val, result.err, result.shared) == result
        assert select(recv(ch), default)[0] == 1  # it is not closed
        assert not hasattr(ch, "send")
    assert group.do_chan("key", int).recv() == (0, None, False)


def test_do_joins_do_chan_and_the_other_way_round(until):
    group, go_on, got = singleflight.Group(), Chan(), Chan(1)
    ch = group.do_chan("key", go_on.recv)
    go(lambda: got.send(group.do("key", int)))
    until(lambda: group._calls["key"].dups == 1)
    go_on.send(1)
    assert ch.recv() == (1, None, True)
    assert got.recv() == (1, True)
    go(lambda: got.send(group.do("key", go_on.recv)))
    until(lambda: "key" in group._calls)
    ch = group.do_chan("key", int)
    go_on.send(2)
    assert ch.recv() == (2, None, True)
    assert got.recv() == (2, True)


def test_do_chan_receives_the_exception():
    result = singleflight.Group().do_chan("key", lambda: 1 / 0).recv()
    assert (result.val, type(result.err), result.shared) == (None, ZeroDivisionError, False)


def goexit_error(result):
    return (result.val, type(result.err), str(result.err), result.shared) == (
        None,
        RuntimeError,
        "singleflight: `fn` called goexit()",
        True,
    )


@pytest.mark.parametrize("leader", ["do", "do_chan"])
def test_do_chan_receives_an_error_after_goexit(until, leader):
    """Each of its channels, whoever makes the call; those in do() end with it, as in Go."""
    group, go_on, ended = singleflight.Group(), Chan(), []

    def fn():
        go_on.recv()
        runtime.goexit()

    def do(fn):
        try:
            group.do("key", fn)
        except BaseException as exc:
            ended.append(type(exc).__name__)
            raise

    chans = [group.do_chan("key", fn)] if leader == "do_chan" else []
    goroutines = [go(do, fn)]
    until(lambda: "key" in group._calls)
    goroutines.append(go(do, int))
    chans += [group.do_chan("key", int) for _ in range(2)]
    until(lambda: group._calls["key"].dups == len(goroutines) + len(chans) - 1)
    go_on.send(None)
    errors = [ch.recv() for ch in chans]
    assert all(map(goexit_error, errors))
    assert len({id(result.err) for result in errors}) == len(chans)
    for goroutine in goroutines:
        goroutine.join()
    assert ended == ["_Goexit"] * 2
    assert group.do_chan("key", int).recv() == (0, None, False)


@pytest.mark.parametrize("what", ["SystemExit(7)", "KeyboardInterrupt()"])
def test_what_ends_the_program_ends_it(what, run_program):
    finished = run_program(f"""
        from gopy import Chan, singleflight
        def fail():
            raise {what}
        try:
            ch = singleflight.Group().do_chan("key", fail)
            print(type(ch.recv().err).__name__)
            Chan().recv()
        except BaseException as exc:
            print(type(exc).__name__)
    """)
    name = what.partition("(")[0]
    assert finished.returncode == 0
    assert finished.stdout.splitlines()[-1] == name


def test_forget_makes_a_new_call(until):
    group, go_on = singleflight.Group(), Chan()
    first = group.do_chan("key", go_on.recv)
    group.forget("key")
    second = group.do_chan("key", go_on.recv)
    assert group.do("other", int) == (0, False)
    until(lambda: len({id(group._calls["key"])}) == 1)
    go_on.send("x")
    go_on.send("x")
    assert first.recv() == second.recv() == ("x", None, False)
    until(lambda: not group._calls)


def test_the_end_of_a_forgotten_call_leaves_the_new_one(until):
    group, one, two = singleflight.Group(), Chan(), Chan()
    first = group.do_chan("key", one.recv)
    group.forget("key")
    second = group.do_chan("key", two.recv)
    one.send(1)
    first.recv()
    third = group.do_chan("key", int)
    two.send(2)
    assert second.recv() == third.recv() == (2, None, True)


def test_bad_input():
    group = singleflight.Group()
    for call in (group.do, group.do_chan):
        with pytest.raises(TypeError, match="`fn` must be callable, got int"):
            call("key", 5)
        for key in ([], ((), {})):
            with pytest.raises(TypeError, match=f"`key` must be hashable, got {type(key).__name__}"):
                call(key, int)
    with pytest.raises(TypeError, match="`key` must be hashable, got list"):
        group.forget([])
    assert not group._calls


def test_an_interrupted_leader_tells_the_others(run_program):
    """Ctrl-C strikes the main goroutine in fn: that is what its call ended with, for all of them."""
    finished = run_program("""
        import os, signal
        from gopy import Chan, go, singleflight, time
        group, got = singleflight.Group(), Chan(1)
        def follow():
            try:
                group.do("key", int)
            except KeyboardInterrupt:
                got.send("too")
        def interrupt():
            go(follow)
            while not group._calls["key"].dups:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)
        def fn():
            go(interrupt)
            Chan().recv()
        try:
            group.do("key", fn)
        except KeyboardInterrupt:
            print("interrupted", got.recv(), len(group._calls))
    """)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "interrupted too 0\n", "")


# What waiters raise without a GIL


class Picky(ValueError):
    __slots__ = ("slot",)

    def __init__(self, code, *, more):
        super().__init__(f"code {code}")
        self.code, self.more, self.slot = code, more, "s"


class Pickier(Exception):
    def __new__(cls, *, only):
        return super().__new__(cls, only)

    def __init__(self, *, only):
        pass


def some_exceptions():
    os_error = FileNotFoundError(2, "No such file", "name")
    try:
        b"\xff".decode()
    except UnicodeDecodeError as exc:
        decode = exc
    group = ExceptionGroup("several", [ValueError(1), os_error])
    missing = ImportError("x", name="module")
    return [os_error, decode, group, missing, Picky(3, more=4), Pickier(only=1), SystemExit(5), KeyError("k")]


@pytest.mark.parametrize("exc", some_exceptions(), ids=lambda exc: type(exc).__name__)
def test_a_copy_is_like_the_exception(exc):
    made = copy_of(exc)
    assert made is not exc
    assert (type(made), str(made), repr(made), made.args) == (type(exc), str(exc), repr(exc), exc.args)
    for name in ("errno", "filename", "start", "object", "exceptions", "name", "code", "more", "slot"):
        assert getattr(made, name, None) == getattr(exc, name, None)


def test_no_two_threads_raise_one_object_without_a_gil():
    exc = Oops("x")
    exc.__cause__ = KeyError("cause")
    failure = Failure(exc, None)
    given = [failure.to_raise() for _ in range(3)]
    assert given[0] is exc
    assert len({id(each) for each in given}) == (1 if GIL else 3)
    for each in given:
        assert (each.args, each.__cause__, each.__suppress_context__) == (("x",), exc.__cause__, True)


# References and stress


def test_nothing_is_kept_alive(until):
    class Thing:
        pass

    refs = []

    def body(group):
        thing = Thing()
        refs.append(weakref.ref(thing))

        def fail():
            raise Oops(thing)

        try:
            group.do("key", fail)
        except Oops:
            pass
        group.do(thing, lambda: thing)
        group.do_chan("key", fail).recv()

    gc.collect()
    gc.disable()
    try:
        group = singleflight.Group()
        body(group)
    finally:
        gc.enable()
    until(
        lambda: gc.collect() >= 0 and refs[0]() is None
    )  # do_chan()'s goroutine may still be on its way out
    marker = object()
    before = sys.getrefcount(marker)
    for _ in range(100):
        group.do(marker, lambda: marker)
    if GIL:
        assert sys.getrefcount(marker) == before


def test_stress(gomaxprocs):
    gomaxprocs(4)
    group, done, under_way, twice = singleflight.Group(), Chan(20), set(), []

    def body(me):
        for i in range(200):
            key = i % 3

            def fn():
                if key in under_way:
                    twice.append(key)
                under_way.add(key)
                runtime.gosched()
                under_way.discard(key)
                if i % 5 == 0:
                    raise Oops(key)
                return key

            if i % 7 == 0:
                result = group.do_chan(key, fn).recv()
                assert result.val == key or result.err.args == (key,)
            else:
                try:
                    assert group.do(key, fn)[0] == key
                except Oops as exc:
                    assert exc.args == (key,)
        done.send(me)

    threads = [in_thread(body, i) for i in range(3)]
    for i in range(9):
        go(body, i)
    for _ in range(12):
        done.recv(timeout=50)
    for thread in threads:
        thread.join()
    gotime.sleep(0)
    assert not twice
    assert not group._calls
