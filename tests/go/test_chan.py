"""Ports of Go's tests of channels: runtime/chan_test.go and test/chan/*.go."""

import pytest

from gopy import Chan, default, go, nilchan, recv, runtime, select, send


@pytest.mark.parametrize("capacity", [0, 1, 5, 40])
def test_chan(capacity):
    """runtime/chan_test.go, TestChan: the parts on blocking, closing, FIFO order and many goroutines."""
    ch, fired = Chan(capacity), [False, False]

    def receiver(which):
        ch.recv()
        fired[which] = True

    first = go(receiver, 0)
    while first.state != "chan receive":
        runtime.gosched()
    assert fired == [False, False]
    ch.send(0)
    first.join()

    ch = Chan(capacity)
    for i in range(capacity):
        ch.send(i)
    sent = [False]

    def sender():
        ch.send(0)
        sent[0] = True

    blocked = go(sender)
    while blocked.state != "chan send":
        runtime.gosched()
    assert not sent[0]
    assert select(send(ch, 0), default)[0] == (0 if capacity == -1 else 1)
    ch.recv()
    blocked.join()
    while select(recv(ch), default)[0] == 0:
        pass

    ch = Chan(capacity)  # FIFO
    feeder = go(lambda: [ch.send(i) for i in range(100)])
    assert [ch.recv() for _ in range(100)] == list(range(100))
    feeder.join()

    counts, players = Chan(4), 4  # many to many: everything sent is received as often

    def send_all():
        for i in range(1000):
            ch.send(i)

    def receive_all():
        seen = {}
        for _ in range(1000):
            v = ch.recv()
            seen[v] = seen.get(v, 0) + 1
        counts.send(seen)

    for _ in range(players):
        go(send_all)
        go(receive_all)
    total = {}
    for _ in range(players):
        for v, n in counts.recv().items():
            total[v] = total.get(v, 0) + n
    assert total == dict.fromkeys(range(1000), players)


def test_non_block_recv_race():
    """runtime/chan_test.go, TestNonblockRecvRace: a receive with default after close finds the value."""
    for _ in range(1000):
        ch = Chan(1)
        ch.send(1)

        def check(ch=ch):
            assert select(recv(ch), default)[0] == 0

        g = go(check)
        ch.close()
        g.join()


def test_multi_consumer():
    """runtime/chan_test.go, TestMultiConsumer: every value passes once through 23 consumers."""
    consumers, n = 23, 10_000
    primes = [2, 3, 7, 11, 13, 17, 19, 23, 27, 31]
    queue, results, done = Chan(consumers * 3), Chan(consumers * 3), Chan()

    def consume():
        for v in queue:
            if primes[v % len(primes)] % 2:
                runtime.gosched()
            results.send(v)
        done.send(None)

    def produce():
        for i in range(n):
            queue.send(i)
        queue.close()

    def close_when_done():
        for _ in range(consumers):
            done.recv()
        results.close()

    for _ in range(consumers):
        go(consume)
    go(produce)
    go(close_when_done)
    assert sorted(results) == list(range(n))


def test_self_select():
    """runtime/chan_test.go, TestSelfSelect: no select meets itself on its own channel."""
    for capacity in (0, 10):
        ch, n = Chan(capacity), 1000

        def player(me, ch=ch, n=n):
            for i in range(n):
                if me == 0 or i % 2 == 0:
                    cases = (send(ch, me), recv(ch))
                    got = 1
                else:
                    cases = (recv(ch), send(ch, me))
                    got = 0
                index, value, _ = select(*cases, timeout=0.05) if i else select(*cases, default)
                if index == got and len(cases) > index:
                    assert capacity > 0 or value != me or value is None

        def guarded(me):
            try:
                player(me)
            except TimeoutError:
                pass  # its partner has finished

        players = [go(guarded, me) for me in range(2)]
        for g in players:
            g.join()


def test_select_fairness():
    """runtime/chan_test.go, TestSelectFairness: of two ready channels each is chosen about half the time."""
    trials = 10_000
    c1, c2 = Chan(trials + 1), Chan(trials + 1)
    for _ in range(trials + 1):
        c1.send(1)
        c2.send(2)
    c3, c4 = Chan(), Chan()
    counts = [0, 0]
    for _ in range(trials):
        index, value, _ = select(recv(c3), recv(c4), recv(c1), recv(c2))
        assert index in (2, 3)
        counts[value - 1] += 1
    assert abs(counts[0] / trials - 0.5) < 0.05


def test_select_stress():
    """runtime/chan_test.go, TestSelectStress: four channels, plain operations against selects over all."""
    n, chans = 2000, [Chan(), Chan(), Chan(2), Chan(3)]
    goroutines = []
    for ch in chans:
        goroutines.append(go(lambda ch=ch: [ch.send(0) for _ in range(n)]))
        goroutines.append(go(lambda ch=ch: [ch.recv() for _ in range(n)]))

    def by_select(make):
        left, cases = [n] * 4, [make(ch) for ch in chans]
        while any(left):
            live = [case if left[k] else make(nilchan) for k, case in enumerate(cases)]
            left[select(*live)[0]] -= 1

    goroutines.append(go(by_select, recv))
    goroutines.append(go(by_select, lambda ch: send(ch, 0)))
    for g in goroutines:
        g.join()
    assert not any(len(ch) for ch in chans)


def test_select_dup_channel():
    """runtime/chan_test.go, TestSelectDuplicateChannel: one channel twice in a select."""
    a, b, woken = Chan(), Chan(), Chan(3)

    def twice():
        select(recv(a), recv(a), recv(b))
        woken.send("select")

    g = go(twice)
    while g.state != "select":
        runtime.gosched()
    other = go(lambda: woken.send(a.recv()))
    while other.state != "chan receive":
        runtime.gosched()
    b.send(None)
    assert woken.recv() == "select"
    a.send("plain")
    assert woken.recv() == "plain"


def test_pseudo_random_send():
    """runtime/chan_test.go, TestPseudoRandomSend: two sends on one channel are chosen among at random."""
    n, ch = 200, Chan()
    bits = []
    receiver = go(lambda: bits.extend(ch.recv() for _ in range(n)))
    for _ in range(n):
        select(send(ch, 0), send(ch, 1))
    receiver.join()
    assert n // 10 < sum(bits) < n - n // 10


def test_sieve():
    """test/chan/sieve1.go: the concurrent prime sieve."""

    def generate(ch):
        i = 2
        while select(send(ch, i), recv(stop))[0] == 0:
            i += 1

    def keep(source, sink, prime):
        while True:
            index, i, _ = select(recv(source), recv(stop))
            if index == 1:
                return
            if i % prime and select(send(sink, i), recv(stop))[0] == 1:
                return

    stop, ch, primes = Chan(), Chan(), []
    goroutines = [go(generate, ch)]
    for _ in range(25):
        prime = ch.recv()
        primes.append(prime)
        onward = Chan()
        goroutines.append(go(keep, ch, onward, prime))
        ch = onward
    stop.close()
    for g in goroutines:
        g.join()
    assert primes == [p for p in range(2, 98) if all(p % q for q in range(2, p))]


def test_fifo():
    """test/chan/fifo.go, SynchFifo and AsynchFifo."""
    ch = Chan(10)
    for i in range(10):
        ch.send(i)
    assert [ch.recv() for _ in range(10)] == list(range(10))
    ch, start = Chan(), Chan()

    def chain(value, before, after):
        before.recv()
        assert ch.recv() == value
        after.send(1)

    before = start
    for i in range(10):
        after = Chan()
        go(chain, i, before, after)
        before = after
    start.send(0)
    for i in range(10):
        ch.send(i)
    before.recv()


def test_doubleselect():
    """test/chan/doubleselect.go: a value sent through a select over four cases arrives exactly once."""
    n, multi, values = 2000, Chan(), Chan()
    c1, c2, c3, c4 = (Chan() for _ in range(4))

    def sender():
        for i in range(n):
            select(send(c1, i), send(c2, i), send(c3, i), send(c4, i))
        for ch in (c1, c2, c3, c4):
            ch.close()

    def mux(ch):
        for v in ch:
            values.send(v)
        multi.send(True)

    def close_values():
        for _ in range(4):
            multi.recv()
        values.close()

    go(sender)
    for ch in (c1, c2, c3, c4):
        go(mux, ch)
    go(close_values)
    assert sorted(values) == list(range(n))
