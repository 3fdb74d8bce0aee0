"""select: which case runs, what it returns, and what the cases that did not run leave behind: nothing."""

import threading
import time
from collections import Counter

import pytest

from gopy import Chan, ClosedChannelError, aselect, default, go, nilchan, recv, runtime, select, send
from gopy import time as gotime


def full(*values):
    """A channel with these values in its buffer, and no room."""
    ch = Chan(len(values))
    for value in values:
        ch.send(value)
    return ch


def closed(*values, zero=None):
    ch = Chan(len(values), zero=zero)
    for value in values:
        ch.send(value)
    ch.close()
    return ch


def nobody_waits(ch):
    """No goroutine is queued on an unbuffered channel, neither to receive nor to send."""
    return select(send(ch, "probe"), recv(ch), default) == (2, None, True)


def start(fn, *args):
    """A goroutine that runs fn(*args), and the channel that gets what fn returned or raised."""
    result = Chan(1)

    def body():
        try:
            value = fn(*args)
        except Exception as exc:
            value = exc
        result.send(value)

    return go(body), result


@pytest.fixture
def parked(until):
    """parked(fn, *args): start() a goroutine and wait until it is parked in a select."""

    def parked(fn, *args):
        goroutine, result = start(fn, *args)
        until(lambda: goroutine.state == "select")
        return result

    return parked


# What a select returns


def test_a_ready_receive():
    assert select(recv(full("v"))) == (0, "v", True)


@pytest.mark.parametrize("value", [None, False, 0, (), ValueError("just a value")], ids=repr)
def test_any_object_is_a_value(value):
    index, got, ok = select(recv(full(value)))
    assert (index, ok) == (0, True)
    assert got is value


def test_a_ready_send():
    ch = Chan(1)
    assert select(send(ch, "v")) == (0, None, True)
    assert ch.recv() == "v"


def test_the_result_is_a_tuple_for_match():
    results, jobs, seen = full("result"), Chan(1), []
    for _ in range(3):
        match select(recv(results), send(jobs, "job"), default):
            case (0, result, True):
                seen.append(result)
            case (1, None, True):
                seen.append("sent")
            case (2, None, True):
                seen.append("default")
            case other:
                pytest.fail(f"{other!r}")
    assert sorted(seen[:2]) == ["result", "sent"]
    assert seen[2] == "default"


@pytest.mark.parametrize("at", range(4))
def test_default_runs_if_nothing_else_can(at):
    """Its index is where it stands, and it never parks."""
    cases = [recv(Chan()), send(Chan(), 1), send(full(0), 1)]
    cases.insert(at, default)
    assert select(*cases) == (at, None, True)


def test_default_alone():
    assert select(default) == (0, None, True)


def test_default_does_not_run_if_another_case_can():
    ch = Chan(1)
    for i in range(200):
        assert select(default, send(ch, i)) == (1, None, True)
        assert select(recv(ch), default) == (0, i, True)


def test_default_leaves_no_waiter_behind():
    ch = Chan()
    assert select(recv(ch), send(ch, 1), default)[0] == 2
    assert nobody_waits(ch)


def test_default_with_a_timeout_does_not_wait():
    assert select(recv(Chan()), default, timeout=60) == (1, None, True)


# Closed channels


def test_a_receive_from_a_closed_channel_gives_zero_and_false():
    zero = object()
    assert select(recv(closed())) == (0, None, False)
    assert select(recv(nilchan), recv(closed(zero=zero)), default) == (1, zero, False)
    assert select(recv(closed(zero=zero).recv_only())) == (0, zero, False)


def test_a_closed_channel_is_drained_first():
    ch = closed(1, 2, zero=0)
    assert [select(recv(ch)) for _ in range(4)] == [(0, 1, True), (0, 2, True), (0, 0, False), (0, 0, False)]


def test_close_wakes_a_parked_receive(parked):
    ch, other = Chan(zero="zero"), Chan()
    result = parked(select, recv(other), recv(ch))
    ch.close()
    assert result.recv() == (1, "zero", False)
    assert nobody_waits(other)


@pytest.mark.parametrize("view", [False, True])
def test_a_send_on_a_closed_channel_raises(view):
    ch = closed()
    ch = ch.send_only() if view else ch
    for cases in [(send(ch, 1),), (send(ch, 1), default), (recv(nilchan), send(ch, 1))]:
        with pytest.raises(ClosedChannelError, match=r"^send on closed channel$"):
            select(*cases)


def test_close_fails_a_parked_send(parked):
    """The select raises, and its other cases are off their channels."""
    ch, other, third = Chan(), Chan(), full(0)
    result = parked(select, recv(other), send(ch, 1), send(third, 1))
    ch.close()
    exc = result.recv()
    assert type(exc) is ClosedChannelError
    assert str(exc) == "send on closed channel"
    assert nobody_waits(other)
    assert third.recv() == 0
    assert len(third) == 0


def test_close_wakes_every_select(until):
    ch = Chan(zero=0)
    started = [start(select, recv(Chan()), recv(ch)) for _ in range(100)]
    until(lambda: all(g.state == "select" for g, _ in started))
    ch.close()
    assert [result.recv() for _, result in started] == [(1, 0, False)] * 100


def test_close_of_a_channel_that_is_in_several_cases(parked):
    ch = Chan(zero=0)
    result = parked(select, recv(ch), recv(ch), recv(ch))
    ch.close()
    index, value, ok = result.recv()
    assert index in (0, 1, 2)
    assert (value, ok) == (0, False)


# While parked


def test_a_send_wakes_a_parked_receive(parked):
    chans = [Chan() for _ in range(3)]
    for i, ch in enumerate(chans):
        result = parked(select, *map(recv, chans))
        ch.send("v")
        assert result.recv() == (i, "v", True)
        assert all(map(nobody_waits, chans))


def test_a_receive_wakes_a_parked_send(parked):
    chans = [Chan() for _ in range(3)]
    for i, ch in enumerate(chans):
        result = parked(select, *(send(ch, i) for i, ch in enumerate(chans)))
        assert ch.recv() == i
        assert result.recv() == (i, None, True)
        assert all(map(nobody_waits, chans))


def test_room_in_a_buffer_wakes_a_parked_send(parked):
    ch = full(1)
    result = parked(select, recv(Chan()), send(ch, 2))
    assert [ch.recv(), ch.recv()] == [1, 2]
    assert result.recv() == (1, None, True)


def test_exactly_one_case_of_a_parked_select_runs(parked):
    """Ten senders that find it parked: one of them gets rid of its value."""
    chans = [Chan() for _ in range(10)]
    result = parked(select, *map(recv, chans))
    sent = [select(send(ch, i), default)[0] == 0 for i, ch in enumerate(chans)]
    assert sent == [True] + [False] * 9
    assert result.recv() == (0, 0, True)


def test_selects_and_receives_on_a_channel_are_served_first_come_first_served(until):
    ch, order = Chan(), Chan(30)

    def by_recv(i):
        order.send((i, ch.recv()))

    def by_select(i):
        order.send((i, select(recv(Chan()), recv(ch))[1]))

    for i in range(30):
        g = go(by_select if i % 3 else by_recv, i)
        until(lambda g=g: g.state in ("chan receive", "select"))
    for i in range(30):
        ch.send(i)
    assert sorted(order.recv() for _ in range(30)) == [(i, i) for i in range(30)]


def test_a_select_that_moved_on_does_not_hold_its_place(until, parked):
    """A waiter whose select was served by another channel is passed over, and the next one gets the value."""
    a, b = Chan(), Chan()
    first = parked(select, recv(a), recv(b))
    second = parked(select, recv(a))
    b.send("b")
    a.send("a")
    assert first.recv() == (1, "b", True)
    assert second.recv() == (0, "a", True)


def test_a_select_meets_a_select(parked):
    a, b, dead = Chan(), Chan(), Chan()
    result = parked(select, recv(dead), recv(a), send(b, "to b"))
    assert select(send(a, "to a"), send(dead.send_only(), 1), recv(nilchan))[0] in (0, 1)
    assert result.recv() in [(1, "to a", True), (0, 1, True)]
    assert all(map(nobody_waits, (a, b, dead)))


# The same channel in several cases


def test_duplicate_receives_take_one_value(parked):
    ch = Chan()
    cases = [recv(ch)] * 3 + [recv(ch), recv(ch.recv_only())]
    result = parked(select, *cases)
    ch.send("v")
    index, value, ok = result.recv()
    assert 0 <= index < 5
    assert (value, ok) == ("v", True)
    assert nobody_waits(ch)


def test_duplicate_sends_send_one_value(parked):
    ch = Chan()
    result = parked(select, send(ch, "a"), send(ch, "b"), send(ch.send_only(), "c"))
    value = ch.recv()
    assert result.recv() == ("abc".index(value), None, True)
    assert nobody_waits(ch)


def test_duplicates_on_a_buffered_channel():
    ch = Chan(1)
    index, _, _ = select(send(ch, 0), send(ch, 1), send(ch, 2))
    assert ch.recv() == index
    ch = full("v", "w")
    assert select(recv(ch), recv(ch))[1:] == ("v", True)
    assert len(ch) == 1


def test_send_and_receive_on_one_unbuffered_channel_do_not_meet(parked):
    """A select does not communicate with itself; it does with another goroutine, either way."""
    ch = Chan()
    assert select(send(ch, "mine"), recv(ch), default)[0] == 2

    result = parked(select, send(ch, "mine"), recv(ch))
    assert ch.recv() == "mine"
    assert result.recv() == (0, None, True)

    result = parked(select, send(ch, "mine"), recv(ch))
    ch.send("yours")
    assert result.recv() == (1, "yours", True)
    assert nobody_waits(ch)


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_selects_that_both_send_and_receive_on_one_channel_meet(gomaxprocs, procs):
    """Whoever sent, one other received: each meeting has two sides, and both know it."""
    gomaxprocs(procs)
    ch, stop, first = Chan(), Chan(), Chan(1)

    def party(name):
        met = []
        while len(met) < 500:
            index, value, _ = select(send(ch, (name, len(met))), recv(ch), recv(stop))
            if index == 2:
                return met
            met.append((name, len(met)) if index == 0 else value)
        if select(send(first, name), default)[0] == 0:
            stop.close()
        return met

    results = [start(party, name)[1] for name in "abcd"]
    met = Counter(pair for result in results for pair in result.recv())
    assert met.total() >= 1000
    assert set(met.values()) == {2}


def test_send_and_receive_on_one_buffered_channel():
    ch = full(1)
    assert select(send(ch, 2), recv(ch)) == (1, 1, True)
    assert select(send(ch, 2), recv(ch)) == (0, None, True)
    assert len(ch) == 1


# The nil channel


def test_the_nil_channel_is_never_picked():
    ch = Chan(1)
    nils = (recv(nilchan), send(nilchan, 1), recv(nilchan.recv_only()), send(nilchan.send_only(), 1))
    for i in range(100):
        assert select(*nils, send(ch, i)) == (4, None, True)
        assert select(recv(ch), *nils) == (0, i, True)
        assert select(*nils, default) == (4, None, True)


def test_a_parked_select_with_nil_channels(parked):
    ch = Chan()
    result = parked(select, recv(nilchan), recv(ch), send(nilchan, 1))
    ch.send("v")
    assert result.recv() == (1, "v", True)


def test_only_nil_channels_wait_for_ever():
    with pytest.raises(TimeoutError):
        select(recv(nilchan), send(nilchan, 1), timeout=0.02)


def test_select_without_cases_waits_for_ever(run_program):
    """It parks, says so in its state, and leaves a timeout to work."""
    with pytest.raises(TimeoutError):
        select(timeout=0.02)
    with pytest.raises(TimeoutError):
        select(timeout=0)
    done = run_program(
        """
        from gopy import Deadlock, go, runtime, select
        g = go(select)
        while g.state != "select (no cases)":
            runtime.gosched()
        try:
            select()
        except Deadlock as exc:
            print(str(exc).count("[select (no cases)]:"))
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


# Timeouts


@pytest.mark.parametrize("timeout", [0.03, 0, 0.0, -1, -1e300, float("-inf")])
def test_a_timeout_leaves_every_channel_untouched(timeout):
    a, b, c = Chan(), Chan(), full(1)
    before = time.monotonic()
    with pytest.raises(TimeoutError):
        select(recv(a), send(b, 1), send(c, 2), timeout=timeout)
    assert time.monotonic() - before >= timeout
    assert nobody_waits(a)
    assert nobody_waits(b)
    assert (c.recv(), len(c)) == (1, 0)


@pytest.mark.parametrize("timeout", [0, -1, 1e-9, 60, None, float("inf"), 10**400])
def test_a_ready_case_runs_whatever_the_timeout(timeout):
    assert select(recv(Chan()), recv(full("v")), timeout=timeout) == (1, "v", True)


@pytest.mark.parametrize("timeout", [30, None, float("inf"), 1e300, 10**400])
def test_a_case_that_becomes_ready_before_the_timeout(parked, timeout):
    ch = Chan()
    result = parked(lambda: select(recv(ch), timeout=timeout))
    ch.send("v")
    assert result.recv() == (0, "v", True)


def test_a_timeout_that_races_with_a_send_loses_nothing(gomaxprocs):
    """Each value is received once, or its send timed out: never both, never neither."""
    for procs in (1, 2, 8):
        gomaxprocs(procs)
        a, b, got, sent = Chan(), Chan(), Chan(4096), Chan(4096)
        ended = Chan()

        def sender(name):
            for i in range(150):
                try:
                    select(send(a, (name, i)), send(b, (name, i)), timeout=i % 7 * 1e-4)
                    sent.send((name, i))
                except TimeoutError:
                    pass
            ended.send("sender")

        def receiver():
            while True:
                try:
                    _, value, ok = select(recv(a), recv(b), timeout=3e-4)
                except TimeoutError:
                    continue
                if not ok:
                    break
                got.send(value)
            ended.send("receiver")

        for name in range(4):
            go(sender, name)
            go(receiver)
        for _ in range(4):
            assert ended.recv() == "sender"
        a.close()
        for _ in range(4):
            assert ended.recv() == "receiver"
        assert sorted(got.recv() for _ in range(len(got))) == sorted(sent.recv() for _ in range(len(sent)))


# Chance


def chi_square(counts):
    expected = sum(counts) / len(counts)
    return sum((n - expected) ** 2 / expected for n in counts)


def bound(cells):
    """What chi-square exceeds once in a million runs of a perfect source (Wilson and Hilferty)."""
    df = cells - 1
    return df * (1 - 2 / (9 * df) + 4.753 * (2 / (9 * df)) ** 0.5) ** 3


def ready_cases(n):
    """n cases that are always ready: receives from a closed channel and from one channel for each case."""
    return [recv(closed(zero=i)) for i in range(n)]


@pytest.mark.parametrize("n", [2, 3, 4, 7, 8, 9, 16, 40])
def test_the_choice_among_ready_cases_is_uniform(n):
    cases, counts = ready_cases(n), [0] * n
    for _ in range(20_000):
        index, value, _ = select(*cases)
        assert index == value
        counts[index] += 1
    assert chi_square(counts) < bound(n)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_choice_does_not_depend_on_the_one_before(n):
    cases, counts = ready_cases(n), [[0] * n for _ in range(n)]
    before = 0
    for _ in range(40_000):
        index = select(*cases)[0]
        counts[before][index] += 1
        before = index
    for row in counts:
        assert chi_square(row) < bound(n)


def test_the_choice_is_uniform_between_sends_and_receives():
    counts = [0] * 4
    for _ in range(10_000):
        a, b = full(1), Chan(1)
        counts[select(recv(a), send(b, 1), recv(a), send(b, 2), default)[0]] += 1
    assert chi_square(counts) < bound(4)


def test_the_choice_among_waiting_senders_is_uniform(until):
    """Not only what lies in buffers: goroutines parked on their channels, too."""
    chans, stop, counts = [Chan() for _ in range(4)], Chan(), [0] * 4

    def sender(ch):
        while select(send(ch, None), recv(stop))[0] == 0:
            pass

    senders = [go(sender, ch) for ch in chans]
    cases = [recv(ch) for ch in chans]
    for _ in range(2000):
        until(lambda: all(g.state == "select" for g in senders))
        counts[select(*cases)[0]] += 1
    stop.close()
    for g in senders:
        g.join()
    assert chi_square(counts) < bound(4)


def test_the_choice_is_uniform_on_a_plain_thread():
    counts, done = [0] * 5, Chan()

    def run():
        cases = ready_cases(5)
        for _ in range(20_000):
            counts[select(*cases)[0]] += 1
        done.send(None)

    thread = threading.Thread(target=run)
    thread.start()
    done.recv()
    thread.join()
    assert chi_square(counts) < bound(5)


@pytest.mark.parametrize("way", ["select", "aselect"])
@pytest.mark.parametrize("sends", [True, False])
def test_the_choice_among_cases_of_one_channel_that_wait_is_uniform(until, way, sends):
    """Each of two wins at least 40 times of 200. That a fair coin gives fewer of one side has a probability of
    2 * P(B(200, 1/2) < 40) < 1e-18."""
    ch = Chan()
    cases = [send(ch, 0), send(ch, 1)] if sends else [recv(ch), recv(ch)]
    wins = [0, 0]

    def plain():
        wins[select(*cases)[0]] += 1

    async def awaiting():
        wins[(await aselect(*cases))[0]] += 1

    for _ in range(200):
        goroutine = go(plain if way == "select" else awaiting)
        until(lambda: goroutine.state == "select")
        if sends:
            ch.recv()
        else:
            ch.send(None)
        goroutine.join()
    assert sum(wins) == 200
    assert min(wins) >= 40


def test_no_ready_case_starves():
    """
    Every one of them runs, over and over, however busy the others are.

    Two that hand values to each other may keep a thread for a time slice, so the others are
    promised a turn each slice, and no share of the values.
    """
    chans, stop, counts = [Chan() for _ in range(3)], Chan(), [0] * 3

    def sender(ch):
        while select(send(ch, None), recv(stop))[0] == 0:
            pass

    senders = [go(sender, ch) for ch in chans]
    while min(counts) < 50:
        counts[select(*map(recv, chans))[0]] += 1
    stop.close()
    for g in senders:
        g.join()


# Case objects


def test_a_case_may_be_used_again_and_again():
    ch = Chan(1)
    sending, receiving = send(ch, "v"), recv(ch)
    for _ in range(1000):
        assert select(sending, default) == (0, None, True)
        assert select(sending, default) == (1, None, True)
        assert select(receiving, default) == (0, "v", True)
        assert select(receiving, default) == (1, None, True)


def test_a_case_does_nothing_by_itself():
    ch = Chan(1)
    send(ch, 1), recv(ch)
    assert len(ch) == 0


def test_cases_shared_by_goroutines(gomaxprocs):
    """Many goroutines wait with the very same case objects, and each value is received once."""
    for procs in (1, 2, 8):
        gomaxprocs(procs)
        chans, stop, got = [Chan(i) for i in range(4)], Chan(), Chan(64)
        cases = [recv(ch) for ch in chans] + [recv(stop)]

        def receiver():
            while (chosen := select(*cases))[0] < 4:
                got.send(chosen[1])
            got.send(None)

        def sender(first):
            for i in range(first, first + 100):
                select(*(send(ch, i) for ch in chans))

        receivers = [go(receiver) for _ in range(20)]
        senders = [go(sender, first) for first in range(0, 2000, 100)]
        assert sorted(got.recv() for _ in range(2000)) == list(range(2000))
        stop.close()
        assert [got.recv() for _ in receivers] == [None] * 20
        for g in senders + receivers:
            g.join()


def test_one_send_case_shared_by_goroutines_sends_each_time(parked):
    ch, value = Chan(), object()
    case = send(ch, value)
    results = [parked(select, case) for _ in range(50)]
    assert all(ch.recv() is value for _ in range(50))
    assert [result.recv() for result in results] == [(0, None, True)] * 50


def test_cases_outlive_their_channels_name(parked):
    """A parked select keeps its channels and values alive, though nobody else refers to them."""
    held = []

    def wait():
        ch = Chan()
        held.append(ch.send_only())
        return select(recv(ch), send(Chan(), object()))

    result = parked(wait)
    held.pop().send("v")
    assert result.recv() == (0, "v", True)


# Views


def test_views_are_channels(parked):
    ch = Chan()
    result = parked(select, recv(ch.recv_only()), recv(Chan().recv_only()))
    assert select(send(ch.send_only(), "v")) == (0, None, True)
    assert result.recv() == (0, "v", True)

    result = parked(select, send(ch.send_only(), "w"))
    assert select(recv(ch.recv_only())) == (0, "w", True)
    assert result.recv() == (0, None, True)


# Many cases


@pytest.mark.parametrize("n", [7, 8, 9, 16, 17, 64, 1000])
def test_each_of_many_cases_runs_under_its_own_index(parked, n):
    chans = [Chan() for _ in range(n)]
    cases = [recv(ch) if i % 2 else send(ch, i) for i, ch in enumerate(chans)]
    for i in sorted({0, 1, n // 2, n // 2 + 1, n - 2, n - 1}):
        result = parked(select, *cases)
        if i % 2:
            chans[i].send("v")
            assert result.recv() == (i, "v", True)
        else:
            assert chans[i].recv() == i
            assert result.recv() == (i, None, True)
    assert all(map(nobody_waits, chans))


def test_a_thousand_cases_that_need_not_wait():
    chans = [Chan(1) for _ in range(1000)]
    for i, ch in enumerate(chans):
        ch.send(i)
        assert select(*map(recv, chans)) == (i, i, True)
        if i % 100 == 0:
            assert select(*map(recv, chans), default) == (1000, None, True)


def test_a_thousand_cases_on_one_channel(parked):
    ch = Chan()
    result = parked(select, *[recv(ch)] * 500, *[send(ch, "mine")] * 500)
    ch.send("v")
    index, value, ok = result.recv()
    assert index < 500
    assert (value, ok) == ("v", True)
    assert nobody_waits(ch)


def test_the_most_cases():
    """65536, as in Go."""
    ch = full("v")
    cases = [recv(nilchan)] * 65535
    assert select(*cases, recv(ch)) == (65535, "v", True)
    with pytest.raises(ValueError, match="`cases`"):
        select(*cases, recv(full(1)), default)


# Traffic


@pytest.mark.parametrize("procs", [1, 2, 8])
@pytest.mark.parametrize("capacity", [0, 1, 5])
def test_fan_in_keeps_each_producers_order(gomaxprocs, procs, capacity):
    gomaxprocs(procs)
    chans = [Chan(capacity) for _ in range(6)]

    def producer(ch):
        for i in range(300):
            ch.send(i)
        ch.close()

    producers = [go(producer, ch) for ch in chans]
    got, open_chans = [[] for _ in chans], list(chans)
    while any(ch is not nilchan for ch in open_chans):
        index, value, ok = select(*map(recv, open_chans))
        if ok:
            got[index].append(value)
        else:
            open_chans[index] = nilchan
    assert got == [list(range(300))] * 6
    for g in producers:
        g.join()


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_crossed_selects_neither_lose_nor_deadlock(gomaxprocs, procs):
    """Two goroutines, two channels, each ready to send on one and receive on the other."""
    gomaxprocs(procs)
    a, b, done = Chan(), Chan(), Chan(2)
    rounds = 3000

    def party(out, into):
        sent = received = 0
        while sent + received < rounds:
            index, value, ok = select(send(out, sent), recv(into))
            assert ok
            if index == 0:
                sent += 1
            else:
                assert value == received
                received += 1
        done.send((sent, received))

    first, second = go(party, a, b), go(party, b, a)
    (sent, received), (sent2, received2) = done.recv(), done.recv()
    assert (sent, received) == (received2, sent2)
    first.join()
    second.join()


def test_an_interrupted_select_leaves_no_waiter(run_program):
    """Ctrl-C ends the wait of the main goroutine; whatever it waited on goes on without it."""
    done = run_program(
        """
        import os, signal
        from gopy import Chan, default, go, recv, runtime, select, send
        a, b = Chan(), Chan()
        def interrupt():
            while "[select]" not in runtime.stack(all=True):
                runtime.gosched()
            os.kill(os.getpid(), signal.SIGINT)
        g = go(interrupt)
        try:
            select(recv(a), send(b, 1))
        except KeyboardInterrupt:
            pass
        else:
            print("not interrupted")
        print(select(send(a, 1), default)[0], select(recv(b), default)[0])
        g.join()
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 1\n", "")


def test_select_runs_with_other_goroutines_and_timers(until):
    """A loop of the usual kind: work, a ticker of its own, and a done channel."""
    work, tick, done = Chan(), Chan(), Chan()

    def ticker():
        while select(send(tick, None), recv(done), timeout=50)[0] == 0:
            gotime.sleep(0.001)

    def worker():
        sent = 0
        while sent < 200 or ticks == 0:
            work.send(sent)
            sent += 1
            runtime.gosched()
        done.close()

    got, ticks = [], 0
    goroutines = [go(ticker), go(worker)]
    while True:
        match select(recv(work), recv(tick), recv(done)):
            case (0, value, True):
                got.append(value)
            case (1, _, _):
                ticks += 1
            case (2, None, False):
                break
    assert len(got) >= 200
    assert got == list(range(len(got)))
    for g in goroutines:
        g.join()
