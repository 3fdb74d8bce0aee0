"""Ports of Go's os/signal/signal_test.go, the tests of Notify and Stop."""

import os
import signal
import sys

import pytest

from gopy import Chan, context, default, go, recv, runtime, select, sync, time
from gopy import signal as gosignal


def kill(signum):
    os.kill(os.getpid(), signum)


def wait_sig(ch, signum):
    """It comes next; but a child of another test may end, or somebody may stop this process for a moment."""
    while (got := ch.recv(timeout=30)) != signum:
        assert got in (signal.SIGCHLD, signal.SIGCONT)


def test_signal():
    """os/signal/signal_test.go, TestSignal."""
    c, c1 = Chan(1), Chan(10)
    gosignal.notify(c, signal.SIGHUP)
    try:
        kill(signal.SIGHUP)
        wait_sig(c, signal.SIGHUP)
        gosignal.notify(c1)  # everything
        kill(signal.SIGWINCH)
        wait_sig(c1, signal.SIGWINCH)
        kill(signal.SIGHUP)  # two more, to see that not reading from c does not block everything
        wait_sig(c1, signal.SIGHUP)
        kill(signal.SIGHUP)
        wait_sig(c1, signal.SIGHUP)
        wait_sig(c, signal.SIGHUP)  # the first one
    finally:
        gosignal.stop(c)
        gosignal.stop(c1)


@pytest.fixture
def ignored_sigusr1():
    """One that is sent before the stop may come after it."""
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("ignored_sigusr1")
@pytest.mark.parametrize("where", ["goroutine", "here"])
def test_stress(where, gomaxprocs):
    """os/signal/signal_test.go, TestStress; and TestTime, where main hammers on the clock meanwhile."""
    gomaxprocs(4)
    sig, time_is_over = Chan(1), time_is_up()
    gosignal.notify(sig, signal.SIGUSR1)
    received = [0]

    def over():
        return time_is_over() and received[0] > 0

    def send():
        while not over():
            kill(signal.SIGUSR1)
            runtime.gosched()
        gosignal.stop(sig)
        sig.close()  # after stop() nothing is sent any more

    def receive():
        for value in sig:
            assert value == signal.SIGUSR1
            received[0] += 1

    goroutines = [go(send)]
    if where == "here":
        receive()
    else:
        goroutines.append(go(receive))
        while not over():
            runtime.gosched()
    for g in goroutines:
        g.join()


def time_is_up():
    import time

    deadline = time.monotonic() + 0.1
    return lambda: time.monotonic() > deadline


@pytest.mark.parametrize("signum", [signal.SIGWINCH, signal.SIGCONT])
def test_stop(signum):
    """os/signal/signal_test.go, TestStop and TestSIGCONT: the signals without an effect of their own."""
    kill(signum)
    c, other = Chan(1), Chan(1)
    gosignal.notify(c, signum)
    gosignal.notify(other, signal.SIGURG)
    kill(signum)
    wait_sig(c, signum)
    gosignal.stop(c)
    kill(signum)
    kill(signal.SIGURG)
    wait_sig(other, signal.SIGURG)
    gosignal.stop(other)
    assert len(c) == 0


STOP = """
    import os, signal, sys
    from gopy import Chan
    from gopy import signal as gosignal

    before, after = map(int, sys.argv[1:])
    if before:
        os.kill(os.getpid(), signal.SIGHUP)
    c = Chan(1)
    gosignal.notify(c, signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGHUP)
    assert c.recv(timeout=30) == signal.SIGHUP
    gosignal.stop(c)
    if after:
        os.kill(os.getpid(), signal.SIGHUP)
    assert len(c) == 0
    print("survived")
"""


@pytest.mark.slow
@pytest.mark.parametrize("args", [(1, 0), (0, 1), (0, 0)])
def test_nohup(args, run_program):
    """os/signal/signal_test.go, TestNohup: a SIGHUP that nobody wants kills, but under nohup it does not."""
    result = run_program(STOP, *args)
    assert (result.returncode, result.stderr) == (-signal.SIGHUP if any(args) else 0, "")
    ignored = run_program(
        STOP.replace("before,", "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n    before,"), *args
    )
    assert (ignored.returncode, ignored.stdout, ignored.stderr) == (0, "survived\n", "")


ATOMIC_STOP = """
    import os, signal
    from gopy import Chan, go
    from gopy import signal as gosignal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for i in range(10):
        cs = Chan(1)
        gosignal.notify(cs, signal.SIGINT)
        stopping = go(gosignal.stop, cs)
        os.kill(os.getpid(), signal.SIGINT)
        try:
            cs.recv(timeout=20)
        except TimeoutError:
            print("lost signal on try", i)
            break
        stopping.join()
"""


@pytest.mark.slow
def test_atomic_stop(run_programs):
    """os/signal/signal_test.go, TestAtomicStop: a signal during a stop is received or has its own effect."""
    results = run_programs([(ATOMIC_STOP, {"env": {"GOMAXPROCS": n}}) for n in "1244"] * 2)
    for result in results:
        assert result.returncode in (0, -signal.SIGINT)
        assert (result.stdout, result.stderr) == ("", "")


def test_signal_trace():
    """os/signal/signal_test.go, TestSignalTrace: signals while the world is looked at."""
    c, quits = Chan(1), Chan()
    gosignal.notify(c, signal.SIGHUP)

    def sends():
        while select(recv(quits), default)[0] == 1:
            kill(signal.SIGHUP)
            wait_sig(c, signal.SIGHUP)
        gosignal.stop(c)

    sending = go(sends)
    for _ in range(100):
        assert runtime.stack(all=True)
        sys._current_frames()
        time.sleep(0)
    quits.close()
    sending.join()


# NotifyContext


@pytest.mark.parametrize("n", [1, 10])
def test_notify_context_notifications(n, run_program):
    """os/signal/signal_test.go, TestNotifyContextNotifications: further signals have no effect either."""
    result = run_program(
        """
        import os, signal, sys
        from gopy import context, sync, time
        from gopy import signal as gosignal

        ctx, _ = gosignal.notify_context(context.background(), signal.SIGINT)
        wg = sync.WaitGroup()
        for _ in range(int(sys.argv[1])):
            wg.go(os.kill, os.getpid(), signal.SIGINT)
        wg.wait()
        ctx.done().recv()
        assert str(context.cause(ctx)) == "interrupt signal received"
        print("received SIGINT")
        time.sleep(0.1)
        """,
        n,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "received SIGINT\n", "")


def ended(ctx):
    ctx.done().recv(timeout=30)
    assert type(ctx.err()) is context.Canceled


def test_notify_context_stop():
    """os/signal/signal_test.go, TestNotifyContextStop."""
    parent, cancel_parent = context.with_cancel(context.background())
    c, stop = gosignal.notify_context(parent, signal.SIGHUP)
    assert repr(c) == "signal.NotifyContext(context.Background.WithCancel, [hangup])"
    assert c.err() is None
    stop()
    ended(c)
    assert type(context.cause(c)) is type(c.err()) is context.Canceled
    cancel_parent()
    stop()


@pytest.mark.parametrize("premature", [False, True])
def test_notify_context_cancel_parent(premature):
    """os/signal/signal_test.go, TestNotifyContextCancelParent and TestNotifyContextPrematureCancelParent."""
    parent, cancel_parent = context.with_cancel_cause(context.background())
    parent_cause = ValueError("parent canceled")
    if premature:
        cancel_parent(parent_cause)
    c, stop = gosignal.notify_context(parent, signal.SIGINT)
    assert repr(c) == "signal.NotifyContext(context.Background.WithCancel, [interrupt])"
    cancel_parent(parent_cause)
    ended(c)
    assert context.cause(c) is parent_cause
    stop()


def test_notify_context_simultaneous_stop():
    """os/signal/signal_test.go, TestNotifyContextSimultaneousStop."""
    c, stop = gosignal.notify_context(context.background(), signal.SIGINT)
    assert repr(c) == "signal.NotifyContext(context.Background, [interrupt])"
    wg = sync.WaitGroup()
    for _ in range(10):
        wg.go(stop)
    wg.wait()
    ended(c)


def test_notify_context_stringer():
    """os/signal/signal_test.go, TestNotifyContextStringer."""
    parent, cancel_parent = context.with_cancel(context.background())
    c, stop = gosignal.notify_context(parent, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    names = "[hangup interrupt terminated]"
    assert repr(c) == f"signal.NotifyContext(context.Background.WithCancel, {names})"
    assert repr(context.with_value(c, "k", "v")) == repr(c) + ".WithValue(k, v)"
    stop()
    cancel_parent()


def test_notify_context_cause():
    """os/signal/signal_test.go, TestNotifyContextCause."""
    ctx, stop = gosignal.notify_context(context.background(), signal.SIGINT)
    kill(signal.SIGINT)
    ended(ctx)
    assert isinstance(context.cause(ctx), context.Canceled)
    assert str(context.cause(ctx)) == "interrupt signal received"
    stop()
