"""gopy.context beyond Go's own tests: memory, size, threads, exceptions, wrong arguments."""

import gc
import threading
import time
import weakref

import pytest

from gopy import Chan, context, default, go, nilchan, recv, runtime, select
from gopy import time as gotime
from gopy.context import Canceled, Context, DeadlineExceeded, background


def closed(ch):
    return select(recv(ch), default)[0] == 0


def timers():
    return runtime.stats()["timers"]


def collected(refs):
    gc.collect()
    return [r for r in refs if r() is not None] == []


# Errors


def test_the_messages_are_gos():
    assert str(Canceled()) == "context canceled"
    assert str(DeadlineExceeded()) == "context deadline exceeded"
    assert str(Canceled("why")) == "why"
    assert isinstance(DeadlineExceeded(), TimeoutError)


def test_what_is_raised_is_always_new():
    ctx, cancel = context.with_cancel(background())
    ctx.raise_if_done()
    cancel()
    raised = [ctx.err(), ctx.err()]
    for _ in range(3):
        with pytest.raises(Canceled, match=r"^context canceled$") as info:
            ctx.raise_if_done()
        raised.append(info.value)
    assert len({id(exc) for exc in raised}) == 5
    assert {type(exc) for exc in raised} == {Canceled}
    assert all(exc.__cause__ is None for exc in raised)


def test_raise_if_done_tells_the_cause():
    why = KeyError("why")
    ctx, cancel = context.with_cancel_cause(background())
    cancel(why)
    with pytest.raises(Canceled) as info:
        context.with_value(ctx, "k", 1).raise_if_done()
    assert info.value.__cause__ is why


def test_the_first_cancel_counts():
    ctx, cancel = context.with_cancel_cause(background())
    first, second = ValueError(1), ValueError(2)
    for why in (first, second, None):
        assert cancel(why) is None
    assert context.cause(ctx) is first


def test_a_deadline_that_is_cancelled_first_is_cancelled():
    timeout = 0.001
    while True:
        ctx, cancel = context.with_timeout(background(), timeout)
        cancel()
        if gotime.now() < ctx.deadline():
            break
        timeout *= 2  # it may have passed first
    gotime.sleep(ctx.deadline() + 0.004 - gotime.now())
    assert type(ctx.err()) is Canceled


# done


def test_done_is_one_sided_and_always_the_same():
    ctx, cancel = context.with_cancel(background())
    done = ctx.done()
    assert not hasattr(done, "close")
    assert not hasattr(done, "send")
    assert ctx.done() is done
    cancel()
    assert ctx.done() is done
    assert closed(done)
    late, cancel = context.with_cancel(background())
    cancel()
    assert closed(late.done())
    assert not hasattr(late.done(), "close")


def test_the_root_is_never_done():
    for ctx in (background(), context.todo(), context.without_cancel(context.with_cancel(background())[0])):
        assert ctx.done() == nilchan
        assert not hasattr(ctx.done(), "close")


# Deadlines


def test_deadline_is_on_the_monotonic_clock():
    before = time.monotonic()
    ctx, _ = context.with_timeout(background(), 50)
    assert before + 50 <= ctx.deadline() <= time.monotonic() + 50
    assert context.with_value(context.with_cancel(ctx)[0], 1, 2).deadline() == ctx.deadline()
    assert context.without_cancel(ctx).deadline() is None
    assert context.with_timeout(ctx, 100)[0].deadline() == ctx.deadline()
    assert context.with_timeout(ctx, 10)[0].deadline() < ctx.deadline()
    assert background().deadline() is None


def test_a_timeout_is_not_early():
    for _ in range(5):
        before = time.monotonic()
        ctx, _ = context.with_timeout(background(), 0.01)
        ctx.done().recv()
        assert time.monotonic() - before >= 0.01
        assert type(ctx.err()) is DeadlineExceeded


@pytest.mark.parametrize("seconds", [0, -1, -1e300, float("-inf"), -(10**400)], ids=lambda s: str(s)[:6])
def test_no_time_left(seconds):
    ctx, cancel = context.with_timeout(background(), seconds)
    assert type(ctx.err()) is DeadlineExceeded
    assert closed(ctx.done())
    cancel()
    assert type(ctx.err()) is DeadlineExceeded


@pytest.mark.parametrize("seconds", [1e9, 1e300, float("inf"), 10**400], ids=lambda s: str(s)[:6])
def test_a_deadline_that_never_comes(seconds, until):
    until(lambda: timers() == 0)
    ctx, cancel = context.with_timeout(background(), seconds)
    assert ctx.err() is None
    assert ctx.deadline() >= 1e9
    cancel()
    assert type(ctx.err()) is Canceled
    assert timers() == 0


def test_no_goroutine_per_context(until):
    until(lambda: timers() == 0)
    known = {each.id for each in runtime.goroutines()}
    made = [context.with_timeout(background(), 3600) for _ in range(1000)]
    assert {each.id for each in runtime.goroutines()} <= known
    assert timers() == 1000
    for _, cancel in made:
        cancel()
    assert timers() == 0


def test_many_deadlines_at_once():
    deadline = gotime.now() + 0.02
    made = [context.with_deadline(background(), deadline)[0] for _ in range(2000)]
    for ctx in made:
        ctx.done().recv(timeout=20)
    assert {type(ctx.err()) for ctx in made} == {DeadlineExceeded}


# Size


@pytest.mark.quiet
@pytest.mark.parametrize("shape", ["wide", "deep", "binary"])
def test_a_tree_of_ten_thousand(shape):
    """Linear, and however deep: the best of a few tries takes not much more than ten times a tenth of it."""

    def seconds(n):
        root, cancel = context.with_cancel(background())
        made = [root]
        for i in range(1, n):
            parent = {"wide": root, "deep": made[-1], "binary": made[(i - 1) // 2]}[shape]
            made.append(context.with_cancel(parent)[0])
        before = time.process_time()
        cancel()
        took = time.process_time() - before
        assert all(ctx.err() is not None for ctx in made)
        return took

    small = min(seconds(1000) for _ in range(5))
    large = min(seconds(10_000) for _ in range(3))
    assert large < 30 * small


def test_a_chain_of_ten_thousand():
    ctx, cancel = context.with_cancel(background())
    first = context.with_value(ctx, "key", "value")
    ctx = first
    for i in range(10_000):
        ctx = context.with_cancel(ctx)[0] if i % 2 else context.with_value(ctx, i, i)
    assert ctx.value("key") == "value"
    assert ctx.value("none", 5) == 5
    assert ctx.deadline() is None
    assert ctx.err() is None
    assert repr(ctx).count(".WithCancel") == 5001
    assert ctx.done() != nilchan
    cancel()
    assert type(ctx.err()) is Canceled
    assert type(context.cause(ctx)) is Canceled
    del ctx, first
    gc.collect()


# Memory


def test_a_finished_child_leaves_its_parent():
    parent, _ = context.with_cancel(background())
    refs = []
    for _ in range(100):
        child, cancel = context.with_cancel(context.with_value(parent, 1, 2))
        child.done()
        refs.append(weakref.ref(child))
        cancel()
    del child, cancel
    assert collected(refs)
    assert not parent._state["children"]


def test_a_parent_does_not_keep_a_child_that_nobody_refers_to():
    parent, _ = context.with_cancel(background())
    refs = [weakref.ref(context.with_cancel(parent)[0]) for _ in range(100)]
    refs += [weakref.ref(context.with_timeout(parent, 3600)[0]) for _ in range(100)]
    assert collected(refs)
    assert not parent._state["children"]


def test_what_is_needed_stays():
    """Its channel is waited on, or it is to call a function: also through a chain of which nobody holds any."""

    def derive(ctx):
        for i in range(10):
            ctx = context.with_cancel(context.with_value(ctx, i, i))[0]
        return ctx

    root, cancel = context.with_cancel(background())
    done = derive(root).done()
    called = Chan()
    context.after_func(derive(root), called.close)
    gc.collect()
    cancel()
    assert closed(done)
    called.recv(timeout=20)


def test_a_timeout_whose_channel_is_waited_on_stays():
    done = context.with_timeout(background(), 0.02)[0].done()
    deeper = context.with_cancel(context.with_timeout(background(), 0.02)[0])[0].done()
    gc.collect()
    done.recv(timeout=20)
    deeper.recv(timeout=20)


def test_a_timeout_that_nobody_refers_to_leaves_no_timer(until):
    until(lambda: timers() == 0)
    for _ in range(100):
        context.with_timeout(background(), 3600)
    gc.collect()
    assert timers() == 0


def test_a_cancelled_tree_is_collected(until):
    until(lambda: timers() == 0)
    root, cancel = context.with_cancel(background())
    made = [root]
    for i in range(1, 200):
        made.append(context.with_timeout(made[i // 2], 3600)[0])
        made[-1].done()
    refs = [weakref.ref(ctx) for ctx in made]
    cancel()
    del made, root, cancel
    assert collected(refs)
    assert timers() == 0


# Many at once


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_children_come_while_the_parent_is_cancelled(gomaxprocs, procs):
    """From goroutines and plain threads: none is missed."""
    gomaxprocs(procs)
    for _ in range(20):
        parent, cancel = context.with_cancel(background())
        made, ready = [], Chan()

        def derive(n):
            ready.recv()
            for i in range(n):
                child, _ = context.with_cancel(context.with_value(parent, i, i))
                made.append((child, child.done()))

        workers = [go(derive, 30) for _ in range(4)] + [threading.Thread(target=derive, args=(30,))]
        workers[-1].start()
        ready.close()
        gotime.sleep(0.0002)
        cancel()
        for worker in workers:
            worker.join()
        assert len(made) == 150
        for child, done in made:
            done.recv(timeout=20)
            assert type(child.err()) is Canceled
        assert not parent._state.get("children")


def test_cancel_from_many_threads_at_once():
    for _ in range(20):
        ctx, cancel = context.with_cancel_cause(background())
        done, causes = ctx.done(), [ValueError(i) for i in range(4)]
        threads = [threading.Thread(target=cancel, args=(why,)) for why in causes]
        for thread in threads:
            thread.start()
        done.recv(timeout=20)
        for thread in threads:
            thread.join()
        assert context.cause(ctx) in causes


def test_a_plain_thread_waits_and_a_goroutine_cancels():
    ctx, cancel = context.with_cancel(background())
    got = []
    thread = threading.Thread(target=lambda: got.append(ctx.done().recv_ok(timeout=20)))
    thread.start()
    go(cancel)
    thread.join()
    assert got == [(None, False)]


def test_done_in_a_select_with_a_timer():
    ctx, cancel = context.with_timeout(background(), 0.005)
    assert select(recv(ctx.done()), recv(gotime.after(20)))[0] == 0
    cancel()


# Parents of other types


def test_a_duck_for_a_parent(until):
    class Duck:
        def __init__(self):
            self.channel, self.error = Chan(), None

        def done(self):
            return self.channel

        def err(self):
            return self.error

        def deadline(self):
            return None

        def value(self, key, default=None):
            return {"k": "v"}.get(key, default)

    duck = Duck()
    known = {each.id for each in runtime.goroutines()}

    def started():
        return len({each.id for each in runtime.goroutines()} - known)

    ctx, cancel = context.with_cancel(context.with_value(duck, 1, 2))
    assert (ctx.value("k"), ctx.value(1), ctx.value(3, 4)) == ("v", 2, 4)
    assert started() == 1
    cancel()
    until(lambda: started() == 0)
    assert duck.error is None
    ctx, _ = context.with_cancel(duck)
    duck.error = KeyError("its own")
    duck.channel.close()
    ctx.done().recv(timeout=20)
    assert ctx.err() is duck.error
    assert context.cause(ctx) is duck.error
    with pytest.raises(KeyError, match="its own"):
        ctx.raise_if_done()
    late, _ = context.with_cancel(duck)
    assert late.err() is duck.error
    assert "Duck" in repr(late)


def test_a_subclass_that_changes_nothing_is_a_root():
    class Mine(Context):
        pass

    ctx, _ = context.with_cancel(Mine())
    assert ctx.err() is None
    assert ctx.value("k", 1) == 1
    assert Mine().done() == nilchan


# after_func


def test_after_func_runs_once_in_its_own_goroutine():
    ctx, cancel = context.with_cancel(background())
    ran = Chan(10)
    context.after_func(ctx, lambda: ran.send(runtime.current().id))
    context.after_func(ctx, lambda: ran.send(runtime.current().id))
    cancel()
    cancel()
    ids = {ran.recv(timeout=20), ran.recv(timeout=20)}
    assert len(ids - {runtime.current().id}) == 2
    gotime.sleep(0.002)
    assert len(ran) == 0


def test_after_func_takes_arguments():
    ctx, cancel = context.with_cancel(background())
    ran = Chan(3)
    context.after_func(ctx, ran.send, "argument")

    async def coroutine(x, y):
        await ran.asend(x + y)

    context.after_func(ctx, coroutine, 1, 2)
    context.after_func(ctx, coroutine, 3, y=4)
    cancel()
    assert {ran.recv(), ran.recv(), ran.recv()} == {"argument", 3, 7}


def test_deadline_cause():
    why = KeyError("why")
    late, _ = context.with_deadline_cause(background(), gotime.now() - 1, why)
    assert isinstance(late.err(), context.DeadlineExceeded)
    assert context.cause(late) is why
    soon, _ = context.with_deadline_cause(background(), gotime.now() + 0.01, why)
    soon.done().recv()
    assert context.cause(soon) is why
    never, cancel = context.with_deadline_cause(background(), gotime.now() + 1e6, why)
    cancel()
    assert isinstance(context.cause(never), context.Canceled)
    with pytest.raises(TypeError, match="`cause` must be an exception or None, got type"):
        context.with_deadline_cause(background(), 1, KeyError)
    with pytest.raises(TypeError, match="`deadline` must be a number of seconds, got str"):
        context.with_deadline_cause(background(), "1", why)


def test_after_func_on_what_never_ends():
    stop = context.after_func(background(), lambda: None)
    assert stop()
    assert not stop()


# Wrong arguments


@pytest.mark.parametrize("seconds", ["1", None, [], 1j])
def test_a_timeout_is_a_number(seconds, until):
    until(lambda: timers() == 0)
    for derive, name in ((context.with_timeout, "timeout"), (context.with_deadline, "deadline")):
        with pytest.raises(TypeError, match=f"`{name}` must be a number of seconds, got"):
            derive(background(), seconds)
        with pytest.raises(ValueError, match=f"`{name}`"):
            derive(background(), float("nan"))
    assert timers() == 0


def test_what_is_no_context():
    calls = [
        lambda: context.with_cancel(1),
        lambda: context.with_cancel_cause(object()),
        lambda: context.with_timeout("x", 1),
        lambda: context.without_cancel(None),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="`parent` must be a Context"):
            call()
    for call in (lambda: context.after_func(1, int), lambda: context.cause(1)):
        with pytest.raises(TypeError, match="`ctx` must be a Context"):
            call()


def test_what_is_no_cause():
    ctx, cancel = context.with_cancel_cause(background())
    with pytest.raises(TypeError, match="`cause` must be an exception or None, got str"):
        cancel("why")
    assert ctx.err() is None
    with pytest.raises(TypeError, match="`cause`"):
        context.with_timeout_cause(background(), 1, ValueError)
    with pytest.raises(TypeError, match="`fn` must be callable"):
        context.after_func(ctx, 1)
