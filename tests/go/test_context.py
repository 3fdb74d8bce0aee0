"""Ports of Go's src/context/{context,x,afterfunc,net}_test.go."""

import random

import pytest

from gopy import Chan, context, default, go, nilchan, recv, runtime, select
from gopy import time as gotime
from gopy.context import Canceled, Context, DeadlineExceeded

SHORT = 0.001
LONG = 1000 * gotime.Hour


def closed(ch):
    return select(recv(ch), default)[0] == 0


class OtherContext(Context):
    """x_test.go's otherContext: embeds another one."""

    def __init__(self, inner):
        self.inner = inner

    def done(self):
        return self.inner.done()

    def err(self):
        return self.inner.err()

    def deadline(self):
        return self.inner.deadline()

    def value(self, key, default=None):
        return self.inner.value(key, default)


class AfterFuncContext(Context):
    """afterfunc_test.go's afterFuncContext: not ours, but it can tell of its end."""

    def __init__(self):
        self.after_funcs = {}
        self.channel = Chan()
        self.error = None

    def done(self):
        return self.channel.recv_only()

    def err(self):
        return self.error

    def after_func(self, fn):
        key = object()
        self.after_funcs[key] = fn
        return lambda: self.after_funcs.pop(key, None) is not None

    def cancel(self, err):
        self.error = err
        fns, self.after_funcs = self.after_funcs, {}
        for fn in fns.values():
            go(fn)


def children(ctx):
    return len(ctx._state.get("children", ()))


def test_parent_finishes_child():
    """context_test.go XTestParentFinishesChild"""
    parent, cancel = context.with_cancel(context.background())
    cancel_child, _ = context.with_cancel(parent)
    value_child = context.with_value(parent, "key", "value")
    timer_child, _ = context.with_timeout(value_child, LONG)
    stop = context.after_func(parent, lambda: None)
    everybody = [parent, cancel_child, value_child, timer_child]
    assert not any(closed(ctx.done()) for ctx in everybody)
    assert children(parent) == 3
    cancel()
    assert children(parent) == 0
    for ctx in [*everybody, context.with_value(parent, "key", "value")]:
        assert closed(ctx.done())
        assert type(ctx.err()) is Canceled
    assert not stop()


@pytest.mark.parametrize("cancelable", [False, True])
def test_child_finishes_first(cancelable):
    """context_test.go XTestChildFinishesFirst"""
    parent = context.with_cancel(context.background())[0] if cancelable else context.background()
    child, cancel = context.with_cancel(parent)
    assert not closed(parent.done())
    assert not closed(child.done())
    if cancelable:
        assert children(parent) == 1
    cancel()
    if cancelable:
        assert children(parent) == 0
    assert closed(child.done())
    assert type(child.err()) is Canceled
    assert not closed(parent.done())
    assert parent.err() is None


def test_cancel_removes():
    """context_test.go XTestCancelRemoves"""
    for derive in (
        context.with_cancel,
        lambda ctx: context.with_timeout(ctx, 3600),
        lambda ctx: (None, context.after_func(ctx, lambda: None)),
    ):
        ctx, _ = context.with_cancel(context.background())
        assert children(ctx) == 0
        child, cancel = derive(ctx)
        assert children(ctx) == 1
        cancel()
        assert children(ctx) == 0
        del child


def test_custom_context_goroutines(until):
    """context_test.go XTestCustomContextGoroutines"""

    class MyDone(OtherContext):
        def done(self):
            return never.recv_only()

    never = Chan()
    before = runtime.num_goroutine()

    def check(ctx, goroutines):
        for derive in (context.with_cancel, lambda ctx: context.with_timeout(ctx, LONG)):
            _, cancel = derive(ctx)
            assert runtime.num_goroutine() == before + goroutines
            cancel()
            until(lambda: runtime.num_goroutine() == before)

    ctx, cancel = context.with_cancel(context.background())
    check(context.background(), 0)
    check(ctx, 0)
    check(OtherContext(context.background()), 0)
    check(OtherContext(ctx), 0)
    check(OtherContext(OtherContext(context.with_value(ctx, "a", 1))), 0)
    check(MyDone(context.background()), 1)
    check(MyDone(ctx), 1)
    cancel()


def test_background():
    """x_test.go TestBackground"""
    c = context.background()
    assert not closed(c.done())
    assert str(c) == "context.Background"


def test_todo():
    """x_test.go TestTODO"""
    c = context.todo()
    assert not closed(c.done())
    assert str(c) == "context.TODO"


def test_with_cancel():
    """x_test.go TestWithCancel"""
    c1, cancel = context.with_cancel(context.background())
    assert str(c1) == "context.Background.WithCancel"
    other = OtherContext(c1)
    c2, _ = context.with_cancel(other)
    for c in (c1, other, c2):
        assert c.done() != nilchan
        assert c.err() is None
        assert not closed(c.done())
    cancel()
    for c in (c1, other, c2):
        assert closed(c.done())
        assert type(c.err()) is Canceled


def check_deadline(c):
    assert select(recv(c.done()), recv(gotime.after(20)))[0] == 0
    assert type(c.err()) is DeadlineExceeded


def test_deadline():
    """x_test.go TestDeadline"""
    bg = context.background()
    c, _ = context.with_deadline(bg, gotime.now() + SHORT)
    assert str(c).startswith("context.Background.WithDeadline(")
    check_deadline(c)
    check_deadline(OtherContext(context.with_deadline(bg, gotime.now() + SHORT)[0]))
    other = OtherContext(context.with_deadline(bg, gotime.now() + SHORT)[0])
    check_deadline(context.with_deadline(other, gotime.now() + LONG)[0])
    check_deadline(context.with_deadline(bg, gotime.now() - SHORT)[0])
    check_deadline(context.with_deadline(bg, gotime.now())[0])


def test_timeout():
    """x_test.go TestTimeout"""
    bg = context.background()
    c, _ = context.with_timeout(bg, SHORT)
    assert str(c).startswith("context.Background.WithDeadline(")
    check_deadline(c)
    check_deadline(OtherContext(context.with_timeout(bg, SHORT)[0]))
    check_deadline(context.with_timeout(OtherContext(context.with_timeout(bg, SHORT)[0]), LONG)[0])


def test_canceled_timeout():
    """x_test.go TestCanceledTimeout"""
    c, cancel_parent = context.with_timeout(context.background(), LONG)
    c, cancel = context.with_timeout(OtherContext(c), LONG)
    cancel()
    assert closed(c.done())
    assert type(c.err()) is Canceled
    cancel_parent()


def test_values():
    """x_test.go TestValues"""
    k1, k2, k3 = ("k", 1), ("l", 1), ("l", 3)

    def check(c, *values):
        assert tuple(c.value(k) for k in (k1, k2, k3)) == values

    bg = context.background()
    check(bg, None, None, None)
    c1 = context.with_value(bg, k1, "c1k1")
    check(c1, "c1k1", None, None)
    assert str(c1) == "context.Background.WithValue(tuple, c1k1)"
    c2 = context.with_value(c1, k2, "c2k2")
    check(c2, "c1k1", "c2k2", None)
    c3 = context.with_value(c2, k3, "c3k3")
    check(c3, "c1k1", "c2k2", "c3k3")
    c4 = context.with_value(c3, k1, None)
    check(c4, None, "c2k2", "c3k3")
    assert str(c4).endswith(".WithValue(tuple, c3k3).WithValue(tuple, <nil>)")
    check(OtherContext(bg), None, None, None)
    o1 = OtherContext(context.with_value(bg, k1, "c1k1"))
    check(o1, "c1k1", None, None)
    check(context.with_value(o1, k2, "o2k2"), "c1k1", "o2k2", None)
    o3 = OtherContext(c4)
    check(o3, None, "c2k2", "c3k3")
    check(context.with_value(o3, k3, None), None, "c2k2", None)


def test_simultaneous_cancels():
    """x_test.go TestSimultaneousCancels"""
    root, cancel = context.with_cancel(context.background())
    queue, found = [root], {root: cancel}
    while len(found) < 200:
        parent = queue.pop(0)
        for _ in range(2):
            child, cancel = context.with_cancel(parent)
            found[child] = cancel
            queue.append(child)
    for cancel in found.values():
        go(cancel)
    for ctx in found:
        assert select(recv(ctx.done()), recv(gotime.after(20)))[0] == 0
    for parent in found:
        assert children(parent) == 0


def test_interlocked_cancels():
    """x_test.go TestInterlockedCancels"""
    parent, cancel_parent = context.with_cancel(context.background())
    child, cancel_child = context.with_cancel(parent)

    def interlocked():
        parent.done().recv()
        cancel_child()

    go(interlocked)
    cancel_parent()
    assert select(recv(child.done()), recv(gotime.after(20)))[0] == 0


@pytest.mark.parametrize("timeout", [False, True])
def test_layers(timeout):
    """x_test.go TestLayersCancel, TestLayersTimeout"""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rnd = random.Random(seed)
    ctx, values, cancels, timers = context.background(), [], [], 0
    while len(values) + len(cancels) < 30 or not (timers and cancels and values):
        what = rnd.randrange(3)
        if what == 0:
            values.append(object())
            ctx = context.with_value(ctx, values[-1], values[-1])
        elif what == 1:
            ctx, cancel = context.with_cancel(ctx)
            cancels.append(cancel)
        else:
            ctx, cancel = context.with_timeout(ctx, SHORT if timeout else LONG)
            cancels.append(cancel)
            timers += 1
    assert str(ctx).startswith("context.Background.")
    assert all(ctx.value(v) is v for v in values)
    if timeout:
        assert select(recv(ctx.done()), recv(gotime.after(20)))[0] == 0
    else:
        assert not closed(ctx.done())
        rnd.choice(cancels)()
        assert closed(ctx.done())
    assert all(ctx.value(v) is v for v in values)
    for cancel in cancels:
        cancel()


def test_with_cancel_canceled_parent():
    """x_test.go TestWithCancelCanceledParent"""
    parent, cancel = context.with_cancel_cause(context.background())
    why = ValueError("because")
    cancel(why)
    c, _ = context.with_cancel(parent)
    assert closed(c.done())
    assert type(c.err()) is Canceled
    assert context.cause(c) is why


def test_with_cancel_simultaneously_canceled_parent():
    """x_test.go TestWithCancelSimultaneouslyCanceledParent"""
    for _ in range(100):
        parent, cancel = context.with_cancel_cause(context.background())
        why = ValueError("because")
        go(cancel, why)
        c, _ = context.with_cancel(parent)
        c.done().recv()
        assert type(c.err()) is Canceled
        assert context.cause(c) is why


def test_with_value_checks_key():
    """x_test.go TestWithValueChecksKey"""
    with pytest.raises(TypeError, match="`key`"):
        context.with_value(context.background(), None, "bar")


def test_invalid_derived_fail():
    """x_test.go TestInvalidDerivedFail"""
    for derive in (
        lambda: context.with_cancel(None),
        lambda: context.with_deadline(None, gotime.now()),
        lambda: context.with_value(None, "foo", "bar"),
    ):
        with pytest.raises(TypeError, match="`parent` must be a Context, got NoneType"):
            derive()


def test_deadline_exceeded_supports_timeout():
    """x_test.go TestDeadlineExceededSupportsTimeout, net_test.go TestDeadlineExceededIsNetError"""
    assert issubclass(DeadlineExceeded, TimeoutError)


PARENT, CHILD, SLOW, EARLY = (ValueError(name) for name in ("parent", "child", "too slow", "finished early"))


class CustomContext(OtherContext):
    """x_test.go's customContext"""

    def __init__(self, parent):
        super().__init__(parent)
        self.channel, self.error = Chan(), None
        context.after_func(parent, lambda: self.end(parent.err()))

    def end(self, err):
        if self.error is None:
            self.error = err
            self.channel.close()

    def done(self):
        return self.channel.recv_only()

    def err(self):
        return self.error


def chained(*steps):
    """("cancel"|"child"|"timeout"|..., ...) applied to background() in turn -> the last context."""
    ctx, cancels = context.background(), []
    for step in steps:
        name, *args = step if isinstance(step, tuple) else (step,)
        if name == "end":
            cancels[args[0]](*args[1:])
            continue
        derived = getattr(context, name)(ctx, *args)
        if isinstance(derived, tuple):
            ctx, cancel = derived
            cancels.append(cancel)
        else:
            ctx = derived
    return ctx


CAUSES = {
    "with_cancel": (("with_cancel", ("end", 0)), Canceled, Canceled),
    "with_cancel_cause": (("with_cancel_cause", ("end", 0, PARENT)), Canceled, PARENT),
    "with_cancel_cause None": (("with_cancel_cause", ("end", 0, None)), Canceled, Canceled),
    "parent before child": (
        ("with_cancel_cause", "with_cancel_cause", ("end", 0, PARENT), ("end", 1, CHILD)),
        Canceled,
        PARENT,
    ),
    "parent after child": (
        ("with_cancel_cause", "with_cancel_cause", ("end", 1, CHILD), ("end", 0, PARENT)),
        Canceled,
        CHILD,
    ),
    "parent before plain": (
        ("with_cancel_cause", "with_cancel", ("end", 0, PARENT), ("end", 1)),
        Canceled,
        PARENT,
    ),
    "parent after plain": (
        ("with_cancel_cause", "with_cancel", ("end", 1), ("end", 0, PARENT)),
        Canceled,
        Canceled,
    ),
    "child after plain": (
        ("with_cancel", "with_cancel_cause", ("end", 0), ("end", 1, CHILD)),
        Canceled,
        Canceled,
    ),
    "child before plain": (
        ("with_cancel", "with_cancel_cause", ("end", 1, CHILD), ("end", 0)),
        Canceled,
        CHILD,
    ),
    "with_timeout": ((("with_timeout", 0), ("end", 0)), DeadlineExceeded, DeadlineExceeded),
    "with_timeout canceled": ((("with_timeout", 1e6), ("end", 0)), Canceled, Canceled),
    "with_timeout_cause": ((("with_timeout_cause", 0, SLOW), ("end", 0)), DeadlineExceeded, SLOW),
    "with_timeout_cause canceled": ((("with_timeout_cause", 1e6, SLOW), ("end", 0)), Canceled, Canceled),
    "stacked": (
        ("with_cancel_cause", ("with_timeout_cause", 0, SLOW), ("end", 0, EARLY)),
        DeadlineExceeded,
        SLOW,
    ),
    "stacked canceled": (
        ("with_cancel_cause", ("with_timeout_cause", 1e6, SLOW), ("end", 0, EARLY)),
        Canceled,
        EARLY,
    ),
    "without_cancel": (("without_cancel",), None, None),
    "without_cancel canceled": (("with_cancel_cause", "without_cancel", ("end", 0, EARLY)), None, None),
    "without_cancel timeout": ((("with_timeout_cause", 0, SLOW), "without_cancel", ("end", 0)), None, None),
}


@pytest.mark.parametrize("name", CAUSES)
def test_cause(name):
    """x_test.go TestCause"""
    steps, err, why = CAUSES[name]
    ctx = chained(*steps)
    if err is None:
        assert ctx.err() is None
        assert context.cause(ctx) is None
        return
    assert type(ctx.err()) is err
    cause = context.cause(ctx)
    assert type(cause) is err if isinstance(why, type) else cause is why


@pytest.mark.parametrize("order", ["not canceled", "canceled before", "canceled after"])
def test_cause_of_a_custom_context(order):
    """x_test.go TestCause, the last three"""
    parent, cancel = context.with_cancel_cause(context.background())
    ctx = CustomContext(parent)
    if order == "canceled before":
        cancel(PARENT)
    ctx.end(Canceled())
    if order == "canceled after":
        cancel(PARENT)
    assert type(ctx.err()) is Canceled
    assert context.cause(ctx) is (ctx.err() if order == "not canceled" else PARENT)


def test_cause_race():
    """x_test.go TestCauseRace"""
    why = ValueError("TestCauseRace")
    ctx, cancel = context.with_cancel_cause(context.background())
    go(cancel, why)
    while (found := context.cause(ctx)) is None:
        runtime.gosched()
    assert found is why


def test_without_cancel():
    """x_test.go TestWithoutCancel"""
    ctx = context.without_cancel(context.with_value(context.background(), "key", "value"))
    assert ctx.deadline() is None
    assert ctx.done() == nilchan
    assert ctx.err() is None
    assert ctx.value("key") == "value"


def test_custom_context_propagation():
    """x_test.go TestCustomContextPropagation"""

    class CustomDone(OtherContext):
        def done(self):
            return channel.recv_only()

    why, channel = ValueError("TestCustomContextPropagation"), Chan()
    ctx1, cancel1 = context.with_cancel_cause(context.background())
    ctx3, _ = context.with_cancel(CustomDone(ctx1))
    cancel1(why)
    channel.close()
    ctx3.done().recv()
    assert type(ctx3.err()) is Canceled
    assert context.cause(ctx3) is why


class CustomCause(Context):
    """x_test.go's customCauseContext"""

    def __init__(self):
        self.channel, self.error, self.cancel_child = Chan(), None, None

    def done(self):
        return self.channel.recv_only()

    def err(self):
        return self.error

    def cancel(self):
        self.error = Canceled()
        self.channel.close()
        if self.cancel_child:
            self.cancel_child()


def test_custom_context_cause():
    """x_test.go TestCustomContextCause"""
    ccc = CustomCause()
    ccc.cancel()
    assert context.cause(ccc) is ccc.err()

    ccc, why = CustomCause(), ValueError("TestCustomContextCause")
    ctx, cancel = context.with_cancel_cause(ccc)
    cancel(why)
    assert type(ctx.err()) is Canceled
    assert context.cause(ctx) is why
    assert ccc.err() is context.cause(ccc) is None
    ccc.cancel()
    assert context.cause(ctx) is why
    assert context.cause(ccc) is ccc.err()

    ccc = CustomCause()
    ctx, ccc.cancel_child = context.with_cancel(ccc)
    ccc.cancel()
    assert type(ctx.err()) is type(context.cause(ctx)) is Canceled


def called(ctx):
    channel = Chan()
    return channel, context.after_func(ctx, channel.close)


def test_after_func_called_after_cancel():
    """x_test.go TestAfterFuncCalledAfterCancel"""
    ctx, cancel = context.with_cancel(context.background())
    done, stop = called(ctx)
    assert select(recv(done), recv(gotime.after(SHORT)))[0] == 1
    cancel()
    done.recv(timeout=20)
    assert not stop()


def test_after_func_called_after_timeout():
    """x_test.go TestAfterFuncCalledAfterTimeout"""
    ctx, _ = context.with_timeout(context.background(), SHORT)
    called(ctx)[0].recv(timeout=20)


def test_after_func_called_immediately():
    """x_test.go TestAfterFuncCalledImmediately"""
    ctx, cancel = context.with_cancel(context.background())
    cancel()
    called(ctx)[0].recv(timeout=20)


def test_after_func_not_called_after_stop():
    """x_test.go TestAfterFuncNotCalledAfterStop"""
    ctx, cancel = context.with_cancel(context.background())
    done, stop = called(ctx)
    assert stop()
    cancel()
    assert select(recv(done), recv(gotime.after(SHORT)))[0] == 1
    assert not stop()


def test_after_func_called_asynchronously():
    """x_test.go TestAfterFuncCalledAsynchronously"""
    ctx, cancel = context.with_cancel(context.background())
    done = Chan()
    context.after_func(ctx, lambda: done.send(None))
    cancel()
    done.recv(timeout=20)


def test_context_err_done_race():
    """x_test.go TestContextErrDoneRace"""
    for _ in range(50):
        ctx, cancel = context.with_cancel(context.background())
        done = ctx.done()
        go(cancel)
        while ctx.err() is None:
            runtime.gosched()
        assert closed(done)


def test_custom_context_after_func_cancel():
    """afterfunc_test.go TestCustomContextAfterFuncCancel"""
    ctx0 = AfterFuncContext()
    ctx1, _ = context.with_cancel(ctx0)
    ctx0.cancel(Canceled())
    ctx1.done().recv(timeout=20)


def test_custom_context_after_func_timeout():
    """afterfunc_test.go TestCustomContextAfterFuncTimeout"""
    ctx0 = AfterFuncContext()
    ctx1, _ = context.with_timeout(ctx0, LONG)
    ctx0.cancel(Canceled())
    ctx1.done().recv(timeout=20)


def test_custom_context_after_func_after_func():
    """afterfunc_test.go TestCustomContextAfterFuncAfterFunc"""
    ctx0 = AfterFuncContext()
    done, _ = called(ctx0)
    ctx0.cancel(Canceled())
    done.recv(timeout=20)


def test_custom_context_after_func_unregister():
    """afterfunc_test.go TestCustomContextAfterFuncUnregisterCancel, ...Timeout, ...AfterFunc"""
    ctx0 = AfterFuncContext()
    _, cancel1 = context.with_cancel(ctx0)
    _, cancel2 = context.with_timeout(ctx0, LONG)
    stop = context.after_func(ctx0, lambda: None)
    assert len(ctx0.after_funcs) == 3
    cancel1()
    cancel2()
    stop()
    assert len(ctx0.after_funcs) == 0
