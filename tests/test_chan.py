"""Chan: every promise of its interface, from goroutines, the main goroutine and plain threads."""

import gc
import threading
import weakref

import pytest

from gopy import Chan, ClosedChannelError, Panic, RecvChan, SendChan, go, nilchan


@pytest.fixture
def wait_for(until):
    return lambda goroutine, state: until(lambda: goroutine.state == state)


def test_unbuffered_send_waits_for_its_receiver(wait_for):
    ch, log = Chan(), []

    def sender():
        ch.send("v")
        log.append("sent")

    g = go(sender)
    wait_for(g, "chan send")
    assert log == []
    assert ch.recv() == "v"
    g.join()
    assert log == ["sent"]


def test_buffer_takes_capacity_values_in_order():
    ch = Chan(3)
    for i in range(3):
        ch.send(i)
    assert (len(ch), ch.cap) == (3, 3)
    with pytest.raises(TimeoutError):
        ch.send(3, timeout=0)
    assert [ch.recv() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(TimeoutError):
        ch.recv(timeout=0.001)
    assert len(ch) == 0


@pytest.mark.parametrize("capacity", [0, 1, 5])
def test_waiting_senders_are_served_first_in_first_out(capacity, wait_for):
    ch, senders = Chan(capacity), []
    for i in range(10):
        senders.append(go(ch.send, i))
        wait_for(senders[-1], "dead" if i < capacity else "chan send")
    assert [ch.recv() for _ in range(10)] == list(range(10))
    for g in senders:
        g.join()


def test_waiting_receivers_are_served_first_in_first_out(wait_for):
    ch, got = Chan(), []

    def receiver(n):
        got.append((n, ch.recv()))

    receivers = []
    for n in range(10):
        receivers.append(go(receiver, n))
        wait_for(receivers[-1], "chan receive")
    for n in range(10):
        ch.send(n)
    for g in receivers:
        g.join()
    assert sorted(got) == [(n, n) for n in range(10)]


def test_close_wakes_everyone(wait_for):
    ch, got = Chan(zero="nothing"), Chan(20)
    receivers = [go(lambda: got.send(ch.recv_ok())) for _ in range(10)]
    for g in receivers:
        wait_for(g, "chan receive")
    ch.close()
    assert [got.recv() for _ in range(10)] == [("nothing", False)] * 10

    full, errors = Chan(), Chan(20)

    def sender():
        try:
            full.send(1)
        except ClosedChannelError as error:
            errors.send(str(error))

    senders = [go(sender) for _ in range(10)]
    for g in senders:
        wait_for(g, "chan send")
    full.close()
    assert [errors.recv() for _ in range(10)] == ["send on closed channel"] * 10


def test_a_closed_channel_drains_and_then_gives_zero():
    ch = Chan(3, zero=-1)
    ch.send(1)
    ch.send(2)
    ch.close()
    assert ch.recv_ok() == (1, True)
    assert ch.recv() == 2
    assert ch.recv_ok() == (-1, False)
    assert ch.recv() == -1
    with pytest.raises(ClosedChannelError, match=r"^send on closed channel$"):
        ch.send(3)
    with pytest.raises(ClosedChannelError, match=r"^close of closed channel$"):
        ch.close()


def test_iteration_ends_when_closed_and_drained():
    ch = Chan(2)

    @go
    def feed():
        for i in range(100):
            ch.send(i)
        ch.close()

    assert list(ch) == list(range(100))
    assert list(ch) == []


def test_views_show_one_side():
    ch = Chan(1)
    send_only, recv_only = ch.send_only(), ch.recv_only()
    assert type(send_only) is SendChan
    assert type(recv_only) is RecvChan
    assert isinstance(ch, SendChan)
    assert isinstance(ch, RecvChan)
    send_only.send(1)
    assert (len(recv_only), recv_only.cap, recv_only.recv()) == (1, 1, 1)
    assert send_only == ch == recv_only
    assert len({ch, send_only, recv_only}) == 1
    assert ch != Chan(1)
    assert not any(hasattr(recv_only, name) for name in ("send", "close"))
    assert not any(hasattr(send_only, name) for name in ("recv", "recv_ok", "__iter__"))
    send_only.close()
    assert list(recv_only) == []


def test_a_channel_is_always_true_and_generic():
    assert bool(Chan())
    assert Chan[int](2).cap == 2


def test_nilchan_blocks_for_ever():
    for block in (nilchan.recv, lambda timeout: nilchan.send(1, timeout=timeout)):
        with pytest.raises(TimeoutError):
            block(timeout=0.001)
        with pytest.raises(TimeoutError):
            block(timeout=0)
    with pytest.raises(Panic, match=r"^close of nil channel$"):
        nilchan.close()


@pytest.mark.parametrize("timeout", [0, -1, 0.0, 1e-9, 0.002])
def test_a_timeout_leaves_no_waiter_behind(timeout):
    ch = Chan()
    for _ in range(20):
        with pytest.raises(TimeoutError):
            ch.recv(timeout=timeout)
    with pytest.raises(TimeoutError):
        ch.send("lost?", timeout=timeout)
    g = go(ch.send, "kept")
    assert ch.recv(timeout=30) == "kept"
    g.join()


def test_timeout_none_and_infinity_wait():
    ch = Chan()
    go(ch.send, 1)
    assert ch.recv(timeout=None) == 1
    go(ch.send, 2)
    assert ch.recv(timeout=float("inf")) == 2


def test_threads_and_goroutines_share_a_channel():
    ch, n = Chan(), 500
    threads = [threading.Thread(target=lambda k=k: [ch.send((k, i)) for i in range(n)]) for k in range(2)]
    goroutines = [go(lambda k=k: [ch.send((k, i)) for i in range(n)]) for k in range(2, 4)]
    for thread in threads:
        thread.start()
    got = [ch.recv() for _ in range(4 * n)]
    for waiting in [*threads, *goroutines]:
        waiting.join()
    for k in range(4):
        assert [i for who, i in got if who == k] == list(range(n))


def test_channels_in_cycles_are_collected():
    ch = Chan(3)
    ch.send(ch)
    ch.send(iter(ch))
    gone = weakref.ref(ch)
    del ch
    gc.collect()
    assert gone() is None


@pytest.mark.slow
def test_a_hundred_thousand_parked_goroutines_all_wake():
    ch, parked, done = Chan(), Chan(100_000), Chan(100_000)

    def wait():
        parked.send(None)
        done.send(ch.recv_ok())

    for _ in range(100_000):
        go(wait)
    for _ in range(100_000):
        parked.recv()
    ch.close()
    for _ in range(100_000):
        assert done.recv() == (None, False)
