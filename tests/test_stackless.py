"""Stackless goroutines: generators and `async def`, and every a-prefixed call in them."""

import contextvars
import functools
import gc
import sys
import types
import weakref

import pytest

from gopy import (
    Chan,
    ClosedChannelError,
    Panic,
    aselect,
    default,
    go,
    nilchan,
    recv,
    runtime,
    select,
    send,
    sync,
    time,
)


def run(fn, *args):
    """What fn(*args), a coroutine function, returns or raises in a goroutine of its own."""
    done: Chan[object] = Chan(1)

    async def body():
        try:
            value = await fn(*args)
        except BaseException as exc:
            value = exc
        done.send(value)

    goroutine = go(body)
    value = done.recv(timeout=20)
    goroutine.join()
    return value


# What go takes.


class Callables:
    async def method(self, done):
        await done.asend("method")

    @staticmethod
    async def static(done):
        await done.asend("static")

    async def __call__(self, done):
        await done.asend("call")


async def coroutine_function(done):
    await done.asend("coroutine function")


def generator_function(done):
    yield done.asend("generator function")


@types.coroutine
def iterable_coroutine(done):
    yield from done.asend("iterable coroutine")


@pytest.mark.parametrize(
    "fn",
    [
        coroutine_function,
        generator_function,
        iterable_coroutine,
        Callables().method,
        Callables.static,
        Callables(),
        functools.partial(coroutine_function),
        functools.partial(functools.partial(Callables().method)),
    ],
)
def test_go_runs_it(fn):
    done = Chan()
    goroutine = go(fn, done)
    assert goroutine.stackless
    assert done.recv()
    goroutine.join()


@pytest.mark.parametrize("fn", [coroutine_function, generator_function])
def test_go_runs_an_object(fn):
    done = Chan()
    go(fn(done))
    assert done.recv() == fn.__name__.replace("_", " ")


def test_go_decorates():
    done = Chan()

    @go
    async def named():
        await done.asend(1)

    assert (named.stackless, named.name) == (True, f"{test_go_decorates.__qualname__}.<locals>.named")
    assert done.recv() == 1
    named.join()
    assert named.state == "dead"
    assert not go(lambda: None).stackless


def test_wrong_arguments_are_its_panic():
    seen = []
    before = runtime.set_panic_handler(lambda goroutine, exc: seen.append(exc) or True)
    go(coroutine_function).join()
    go(coroutine_function, 1, 2, done=3).join()
    runtime.set_panic_handler(before)
    assert [type(exc) for exc in seen] == [TypeError, TypeError]


# What may be awaited.


def test_a_generator_may_yield_or_delegate():
    async def answer(ch):
        return await ch.arecv() + 1

    def generator(ch, out):
        one = yield ch.arecv()
        two = yield from ch.arecv()
        pair = yield ch.arecv_ok()
        with pytest.raises(ClosedChannelError):
            yield closed.asend(1)
        with pytest.raises(ClosedChannelError):
            yield from closed.asend(1)
        three = yield from delegated(ch)
        yield out.asend((one, two, pair, three))

    def delegated(ch):
        return (yield ch.arecv())

    closed = Chan()
    closed.close()
    ch, out = Chan(), Chan()
    go(generator, ch, out)
    for i in range(4):
        ch.send(i)
    assert out.recv() == (0, 1, (2, True), 3)


def test_the_awaitables_do_what_their_twins_do(until):
    async def body():
        ch = Chan(2)
        assert await ch.asend(1) is None
        await ch.asend((2, 3))
        assert await ch.arecv() == 1
        assert await ch.arecv_ok() == ((2, 3), True)
        ch.close()
        assert await ch.arecv_ok() == (None, False)
        zero = Chan(zero=7)
        zero.close()
        assert (await zero.arecv(), await zero.arecv_ok()) == (7, (7, False))
        with pytest.raises(ClosedChannelError, match="send on closed channel"):
            await ch.asend(1)
        before = time_now()
        await time.asleep(0.01)
        assert time_now() - before >= 0.01
        await time.asleep(-1)
        await runtime.agosched()
        full = Chan(1)
        assert await aselect(recv(full), default) == (1, None, True)
        assert await aselect(recv(nilchan), send(full, 5)) == (1, None, True)
        assert await aselect(recv(full)) == (0, 5, True)
        with pytest.raises(ClosedChannelError):
            await aselect(send(ch, 1))
        assert await aselect(recv(zero)) == (0, 7, False)
        other = go(time.sleep, 0.001)
        await other.ajoin()
        assert other.state == "dead"
        await other.ajoin()
        with pytest.raises(RuntimeError, match="join itself"):
            await runtime.current().ajoin()
        return "ok"

    from time import monotonic as time_now

    assert run(body) == "ok"


def test_parked_operations_are_finished_by_the_other_side():
    async def body():
        ch, got = Chan(), []

        async def other():
            got.append(await ch.arecv())
            await ch.asend("back")
            got.append(await aselect(recv(ch), recv(nilchan)))
            await aselect(send(ch, "select"), recv(nilchan))
            got.append([v async for v in ch])

        goroutine = go(other)
        await ch.asend("there")
        assert await ch.arecv() == "back"
        await ch.asend("case")
        assert await ch.arecv() == "select"
        for i in range(3):
            await ch.asend(i)
        ch.close()
        await goroutine.ajoin()
        return got

    assert run(body) == ["there", (0, "case", True), [0, 1, 2]]


def test_a_waiter_learns_that_its_channel_is_closed(until):
    async def body(op):
        ch = Chan()
        goroutine = go(closer, ch)
        try:
            return await op(ch)
        finally:
            goroutine.join()

    def closer(ch):
        time.sleep(0.005)
        ch.close()

    async def iterate(ch):
        return [v async for v in ch]

    assert run(body, lambda ch: ch.arecv_ok()) == (None, False)
    assert run(body, iterate) == []
    assert isinstance(run(body, lambda ch: ch.asend(1)), ClosedChannelError)
    assert isinstance(run(body, lambda ch: aselect(send(ch, 1))), ClosedChannelError)


def test_an_awaitable_that_is_not_awaited_does_nothing():
    ch = Chan(1)
    ch.asend(1)
    assert len(ch) == 0
    ch.send(2)
    ch.arecv()
    aselect(recv(ch))
    assert len(ch) == 1


@pytest.mark.leaks
def test_an_awaitable_is_good_for_one_await():
    async def body():
        ch = Chan(2)
        one = ch.asend(1)
        await one
        with pytest.raises(RuntimeError, match="good for one `await`"):
            await one
        waiting = Chan().arecv()
        goroutine = go(wait, waiting)
        while goroutine.state != "chan receive":
            await time.asleep(0.0005)
        with pytest.raises(RuntimeError, match="good for one `await`"):
            await waiting
        assert goroutine.state == "chan receive"
        return waiting

    async def wait(awaitable):
        await awaitable

    assert not isinstance(run(body), Exception)


def test_driven_by_nobody_of_ours():
    coroutine = coroutine_function(Chan())
    coroutine.send(None)
    with pytest.raises(RuntimeError, match="only a goroutine"):
        coroutine.send(None)
    coroutine.close()


@pytest.mark.parametrize(
    ("thing", "said"),
    [(None, "got None: instead of a bare `yield`"), (1, "got int"), (object(), "got object")],
)
def test_awaiting_something_foreign_raises_at_that_line(thing, said):
    class Foreign:
        def __await__(self):
            yield thing

    async def body():
        await Foreign()

    exc = run(body)
    assert isinstance(exc, TypeError)
    assert said in str(exc)
    frames = []
    tb = exc.__traceback__
    while tb:
        frames.append(tb.tb_frame.f_code.co_name)
        tb = tb.tb_next
    assert frames[-2:] == ["body", "__await__"]

    async def survives():
        with pytest.raises(TypeError):
            await Foreign()
        await time.asleep(0)
        return "alive"

    assert run(survives) == "alive"


def test_awaiting_a_future_of_asyncio_says_what_to_do():
    import asyncio

    loop = asyncio.new_event_loop()
    future = loop.create_future()

    async def body():
        await future

    exc = run(body)
    loop.close()
    assert isinstance(exc, TypeError)
    assert "Future of asyncio" in str(exc)


def test_locks_in_async_with():
    async def body():
        mutex, rw = sync.Mutex(), sync.RWMutex()
        async with mutex:
            assert mutex.locked()
            with pytest.raises(ValueError, match="inside"):
                async with rw:
                    raise ValueError("inside")
        async with rw.rlocker():
            assert not rw.try_lock()
            assert rw.try_rlock()
            rw.runlock()
        assert rw.try_lock()
        rw.unlock()
        with pytest.raises(Panic, match="sync: unlock of unlocked mutex"):
            async with mutex:
                mutex.unlock()
        with pytest.raises(Panic, match="sync: unlock of unlocked mutex"):
            await sync.Cond(mutex).await_()
        assert not mutex.locked()
        with pytest.raises(TypeError, match="`L`"):
            sync.Cond(Locker()).await_()
        await sync.WaitGroup().await_()
        return "ok"

    class Locker:
        def lock(self): ...

        def unlock(self): ...

    assert run(body) == "ok"


# Blocking calls in a step.


def test_a_blocking_call_keeps_the_worker_until_the_step_ends():
    async def body():
        ch = Chan()
        goroutine = go(ch.send, 5)
        assert ch.recv() == 5  # blocks: no await
        goroutine.join()
        time.sleep(0.002)
        assert await ch_of("later").arecv() == "later"
        with pytest.raises(TimeoutError):
            ch.recv(timeout=0.001)
        await time.asleep(0.001)
        select(recv(ch_of(1)))
        return "done"

    def ch_of(value):
        ch = Chan(1)
        ch.send(value)
        return ch

    assert run(body) == "done"
    assert [run(body) for _ in range(50)] == ["done"] * 50


# What belongs to a goroutine.

variable = contextvars.ContextVar("variable", default="unset")


def test_context_is_a_copy_and_survives_awaiting():
    async def body(value):
        assert variable.get() == "outer"
        variable.set(value)
        for _ in range(20):
            await runtime.agosched()
            assert variable.get() == value
        return value

    token = variable.set("outer")
    done = Chan(10)

    async def collect(i):
        await done.asend(await body(i))

    for i in range(10):
        go(collect, i)
    assert sorted(done.recv() for _ in range(10)) == list(range(10))
    assert variable.get() == "outer"
    variable.reset(token)


def test_exception_state_is_its_own():
    async def body(i):
        try:
            raise ValueError(i)
        except ValueError:
            for _ in range(10):
                await runtime.agosched()
                assert sys.exc_info()[1].args == (i,)
        assert sys.exc_info() == (None, None, None)

    goroutines = [go(body, i) for i in range(10)]
    for goroutine in goroutines:
        goroutine.join()


def test_stack_shows_the_chain_of_coroutines(until):
    async def outermost(ch):
        await middle(ch)

    async def middle(ch):
        async for _ in items(ch):
            pass

    async def items(ch):
        yield await ch.arecv()

    ch = Chan()
    goroutine = go(outermost, ch)
    until(lambda: goroutine.state == "chan receive")
    text = goroutine.stack()
    assert text.startswith(f"goroutine {goroutine.id} [chan receive]:\n")
    places = [text.index(name) for name in ("in outermost", "in middle", "in items")]
    assert places == sorted(places)
    assert goroutine.stack() in runtime.stack(all=True)
    ch.close()
    goroutine.join()


def test_stack_while_it_blocks_within_a_step(until):
    async def body(ch):
        ch.recv()

    ch = Chan()
    goroutine = go(body, ch)
    until(lambda: goroutine.state == "chan receive")
    assert "in body" in goroutine.stack()
    ch.send(1)
    goroutine.join()


def test_lock_os_thread_holds_across_awaits(gomaxprocs):
    import threading

    gomaxprocs(4)

    async def body():
        runtime.lock_os_thread()
        ident = threading.get_ident()
        for _ in range(20):
            await time.asleep(0.0002)
            await runtime.agosched()
            assert threading.get_ident() == ident
        runtime.unlock_os_thread()
        await runtime.agosched()
        return "same"

    assert run(body) == "same"


# Ends.


def test_its_references_are_dropped_when_it_ends(until):
    class Argument:
        pass

    async def body(argument, ch):
        await ch.arecv()

    argument, ch = Argument(), Chan()
    ref = weakref.ref(argument)
    goroutine = go(body, argument, ch)
    del argument
    ch.send(1)
    goroutine.join()
    until(lambda: ref() is None)
    del goroutine


def test_goexit():
    ran = []

    async def body():
        try:
            await runtime.agosched()
            runtime.goexit()
        finally:
            ran.append("finally")

    go(body).join()
    assert ran == ["finally"]


def test_a_panic_in_a_step_is_a_panic():
    seen = []
    before = runtime.set_panic_handler(lambda goroutine, exc: seen.append((goroutine, exc)) or True)

    async def body():
        await runtime.agosched()
        raise ValueError("stackless")

    goroutine = go(body)
    goroutine.join()
    runtime.set_panic_handler(before)
    assert [(g is goroutine, str(exc)) for g, exc in seen] == [(True, "stackless")]


def test_async_generators_are_finalised(until):
    closed = []

    async def numbers():
        try:
            for i in range(100):
                yield i
        finally:
            await time.asleep(0.001)
            closed.append("closed")

    async def body():
        async for i in numbers():
            if i == 3:
                break

    go(body).join()
    gc.collect()
    until(lambda: closed == ["closed"])


@pytest.mark.slow
def test_exit_with_stackless_goroutines_in_every_state_is_silent(run_programs):
    program = """
        from gopy import *
        from gopy import time, runtime

        async def park(ch):
            try:
                await ch.arecv()
            finally:
                print("not at exit")

        def generate(ch):
            yield ch.arecv()

        async def agen():
            yield 1
            await Chan().arecv()

        async def iterate():
            async for v in agen():
                pass

        for _ in range(200):
            go(park, Chan()); go(generate, Chan()); go(iterate); go(park(Chan()))
        if BEFORE: runtime.gosched()
        END
        """
    ends = ["pass", "raise SystemExit(3)", "import os; os._exit(3)", "go(runtime.goexit)"]
    programs = [
        (program.replace("END", end).replace("BEFORE", before), {"env": {"GOMAXPROCS": n}})
        for end in ends
        for before in ("True", "False")
        for n in "14"
    ]
    for finished in run_programs(programs):
        assert (finished.returncode in (0, 3), finished.stdout, finished.stderr) == (True, "", "")


def test_fork_in_a_step(run_programs):
    program = """
        import os
        from gopy import *
        from gopy import time

        async def body(done):
            await time.asleep(0.001)
            pid = os.fork()
            if pid == 0:
                ch = Chan()
                go(ch.send, 1)
                assert await ch.arecv() == 1
                await time.asleep(0.001)
                print("child", flush=True)
                os._exit(7)
            print("parent", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
            await done.asend(None)

        done = Chan()
        go(body, done)
        done.recv()
        """
    if hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled():
        pytest.skip("CPython 3.13t itself sometimes hangs in the child of a process with threads")
    for finished in run_programs([(program, {"env": {"GOMAXPROCS": n}}) for n in "14"]):
        assert (finished.returncode, finished.stdout) == (0, "child\nparent 7\n")


# Many.


def test_a_parked_one_takes_at_most_a_kilobyte(run_program):
    program = """
        import resource, sys
        import psutil
        from gopy import Chan, go, runtime, time

        async def park(ch):
            await ch.arecv()

        def rss():
            return psutil.Process().memory_info().rss

        ch, n = Chan(), 100_000
        go(park, Chan())
        runtime.gosched()
        before = rss()
        for _ in range(n):
            go(park, ch)
        while runtime.stats()["runnable"]:
            time.sleep(0.01)
        print((rss() - before) / n)
        """
    assert float(run_program(program).stdout) <= 1024


def test_a_hundred_thousand_at_once(until):
    async def relay(left, right):
        await left.asend(await right.arecv() + 1)

    n = 100_000
    first = right = Chan()
    left = right
    for _ in range(n):
        right = Chan()
        go(relay, left, right)
        left = right
    go(right.send, 0)
    assert first.recv() == n


def test_yielding_kinds_take_turns(gomaxprocs, until):
    """
    Neither kind of goroutine starves the other by yielding all the time.

    While the system holds up the thread of the stackful one the other runs alone, on another
    thread. So some hundred turns in a row are looked for of which each kind has a tenth.
    """
    gomaxprocs(1)
    turns = []
    stop = False

    def stackful():
        while not stop:
            turns.append("stackful")
            runtime.gosched()

    async def stackless():
        while not stop:
            turns.append("stackless")
            await runtime.agosched()

    goroutines = [go(stackful), go(stackless)]
    until(lambda: 10 <= turns[-100:].count("stackful") <= 90)
    stop = True
    for goroutine in goroutines:
        goroutine.join()
