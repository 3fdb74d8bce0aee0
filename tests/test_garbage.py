"""Garbage: what gopy raises is gone when it has been caught, with the frames that it passed and what they refer to.

A frame that refers to an exception whose traceback refers to that frame is found by the cyclic collector only.
Until then it keeps everything alive, and free-threaded Python 3.13 never uses again what is freed in this way by
another thread than the one that made it.
"""

import gc
import weakref

import pytest

from gopy import Chan, context, go, net, panic, semaphore, singleflight, sync


class Value:
    """Something that can be seen to be gone."""


def cancelled():
    ctx, cancel = context.with_cancel(context.background())
    cancel()
    return ctx


def err():
    ctx = cancelled()
    raise ctx.err()


def err_of_a_child():
    ctx = cancelled()
    child = context.with_value(ctx, "key", ctx)
    raise child.err()


def raise_if_done():
    cancelled().raise_if_done()


def raise_if_done_with_a_cause():
    ctx, cancel = context.with_cancel_cause(context.background())
    cancel(KeyError("why"))
    ctx.raise_if_done()


def deadline():
    ctx, _cancel = context.with_timeout(context.background(), 0)
    ctx.raise_if_done()


def deadline_waited_for():
    ctx, _cancel = context.with_timeout(context.background(), 0.001)
    ctx.done().recv()
    ctx.raise_if_done()


def acquire():
    taken = semaphore.Weighted(0)
    ctx = cancelled()
    taken.acquire(1, ctx)


def timeout():
    ch = Chan()
    ch.recv(timeout=0.001)


def closed():
    ch = Chan()
    ch.close()
    ch.send(ch)


def panicked():
    panic("it")


def panicked_with_an_exception():
    panic(KeyError("it"))


def shared_call():
    def fail():
        raise KeyError("it")

    singleflight.Group().do("key", fail)


def refused():
    listener = net.listen("tcp", "127.0.0.1:0")
    listener.close()
    net.dial("tcp", str(listener.addr))


def no_such_host():
    net.dial("tcp", "999.0.0.1.invalid:1", timeout=30)


def cannot_listen():
    net.listen("tcp", "203.0.113.1:0")  # RFC 5737: nobody has that address


def no_handshake():
    import ssl

    listener = net.listen("tcp", "127.0.0.1:0")

    def answer():
        with listener.accept() as conn:
            conn.write(b"this is not TLS\r\n")

    go(answer)
    try:
        net.dial("tcp", str(listener.addr), tls=ssl.create_default_context())
    finally:
        listener.close()


RAISING = [
    err,
    err_of_a_child,
    raise_if_done,
    raise_if_done_with_a_cause,
    deadline,
    deadline_waited_for,
    acquire,
    timeout,
    closed,
    panicked,
    panicked_with_an_exception,
    shared_call,
    refused,
    no_such_host,
    cannot_listen,
    no_handshake,
]


@pytest.fixture
def no_collector():
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("raising", RAISING, ids=lambda raising: raising.__name__)
def test_what_is_raised_keeps_no_frame(raising, no_collector, until):
    def caught():
        mine, failed = Value(), False
        try:
            raising()
        except Exception:
            failed = True
        assert failed
        return weakref.ref(mine)

    alive = caught()
    until(lambda: alive() is None)


def test_everybody_has_an_error_of_his_own():
    """However often a context's error is raised, and by however many at once."""
    ctx = cancelled()
    lengths = Chan(400)

    def work():
        for _ in range(100):
            try:
                raise ctx.err()
            except context.Canceled as exc:
                lengths.send(exc.__traceback__.tb_next is None)

    wg = sync.WaitGroup()
    for _ in range(4):
        wg.go(work)
    wg.wait()
    assert [lengths.recv() for _ in range(400)] == [True] * 400


def test_raising_by_the_ten_thousand_keeps_nothing(run_program):
    """Goroutines that raise and catch a context's error, a deadline, a timeout: of blocks, one for ten at most."""
    done = run_program(
        """
        import gc, sys
        from gopy import Chan, context, runtime, sync

        shared, cancel = context.with_cancel(context.background())
        cancel()

        def work():
            ctx, cancel = context.with_timeout(shared, 1)
            for why in (shared, ctx):
                try:
                    raise why.err()
                except context.Canceled:
                    pass
            ctx, cancel = context.with_timeout(context.background(), 0)
            try:
                ctx.raise_if_done()
            except context.DeadlineExceeded:
                pass
            try:
                Chan().recv(timeout=0)
            except TimeoutError:
                pass

        def round():
            for _ in range(100):
                wg = sync.WaitGroup()
                for _ in range(100):
                    wg.go(work)
                wg.wait()

        gc.disable()
        for _ in range(3):
            round()
        kept = []
        for _ in range(3):
            before = sys.getallocatedblocks()
            round()
            kept.append((sys.getallocatedblocks() - before) / 10_000)
        print(min(kept))
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    # Without a GIL each thread keeps some hundred in hand, and one may start in any of the rounds.
    assert float(done.stdout) < 0.1
