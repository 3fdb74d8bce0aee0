"""time.sleep and every timeout: in order, never early, and nothing left behind."""

import threading
import time

import pytest

import gopy.time
from gopy import Chan, go, nilchan, recv, runtime, select, send
from gopy.time import now, sleep

NO_TIME = [0, 0.0, -0.0, -1, -0.5, -(10**400), -1e300, float("-inf"), False]
FOR_EVER = [None, float("inf"), 1e300, 10**400, 4e9]


class Seconds:
    """A number of seconds that is no int and no float."""

    def __init__(self, value):
        self.value = value

    def __float__(self):
        return self.value

    def __str__(self):
        return f"Seconds({self.value})"


class Index:
    def __index__(self):
        return 0


def test_the_constants_are_in_seconds():
    assert (gopy.time.Nanosecond, gopy.time.Microsecond, gopy.time.Millisecond) == (1e-9, 1e-6, 1e-3)
    assert (gopy.time.Second, gopy.time.Minute, gopy.time.Hour) == (1, 60, 3600)
    assert 150 * gopy.time.Millisecond == 0.15


# sleep


@pytest.mark.parametrize(
    "seconds", [1e-9, 1e-6, 0.0001, 0.001, 0.01, 0.05, Seconds(0.002), True / 100], ids=str
)
def test_sleep_is_not_shorter_than_asked(in_goroutine, seconds):
    def measure():
        before = time.monotonic_ns()
        sleep(seconds)
        return time.monotonic_ns() - before

    for elapsed in (measure(), in_goroutine(measure)):
        assert isinstance(elapsed, int)
        assert elapsed >= int(float(seconds) * 1e9)


@pytest.mark.quiet
def test_sleep_is_not_much_longer_than_asked(machine_delay):
    """The least of many, for the machine may be busy with others."""

    def once():
        before = time.monotonic()
        sleep(0.01)
        return time.monotonic() - before

    least = min(once() for _ in range(50))
    assert least < 0.013 + machine_delay()


@pytest.mark.parametrize("seconds", [*NO_TIME, Seconds(0.0), Index()], ids=lambda s: str(s)[:8])
def test_sleep_of_no_time_returns_at_once(seconds):
    """Without parking: the others do not even get to run."""
    switches = runtime.stats()["switches"]
    timers = runtime.stats()["timers"]
    for _ in range(1000):
        assert sleep(seconds) is None
    if runtime.GOMAXPROCS() == 1:
        assert runtime.stats()["switches"] == switches
    assert runtime.stats()["timers"] <= timers


def test_sleepers_wake_in_the_order_of_their_deadlines(gomaxprocs):
    """Unless the system holds a thread up: there are rounds until it has held up none."""
    gomaxprocs(1)
    ms = [37, 1, 13, 29, 5, 41, 17, 25, 9, 33, 21]

    def wake_up(gap):
        woken, first_due = Chan(64), now() + 5 * gap

        def sleeper(n):
            sleep(first_due + n * gap - now())
            woken.send(n)

        for n in ms:
            go(sleeper, n)
        return [woken.recv() for _ in ms]

    gap = 0.004
    while wake_up(gap) != sorted(ms):
        gap *= 1.5


@pytest.mark.quiet
def test_sleepers_that_are_due_at_once_wake_in_order(gomaxprocs):
    """All deadlines have passed when the scheduler looks: it still takes them in order.

    The deadlines are two milliseconds apart, as far as the sleepers get to their sleep at once, and
    on one thread. There are rounds until the system lets them.
    """
    gomaxprocs(1)
    ns = [(i * 37) % 100 for i in range(100)]

    def wake_up(gap):
        woken, first_due = Chan(100), now() + 25 * gap

        def sleeper(n):
            sleep(first_due + n * gap - now())
            woken.send(n)

        parked = [go(sleeper, n) for n in ns]
        while any(g.state in ("runnable", "running") for g in parked):
            runtime.gosched()
        while time.monotonic() < first_due + 101 * gap:  # computing, on the only P
            pass
        return [woken.recv() for _ in ns]

    gap = 0.002
    while wake_up(gap) != sorted(ns):
        gap *= 1.1


def test_a_sleeper_does_not_keep_others_waiting(gomaxprocs):
    """Two goroutines play hundreds of rounds while a third one sleeps on the only P, if only it sleeps long enough."""
    gomaxprocs(1)
    ping, pong = Chan(), Chan()

    def echo():
        for value in ping:
            pong.send(value)

    echoing, rounds, seconds = go(echo), 0, 0.1
    while rounds < 300:
        sleeper, rounds, seconds = go(sleep, seconds), 0, seconds * 2
        while sleeper.state != "dead":
            ping.send(rounds)
            assert pong.recv() == rounds
            rounds += 1
    ping.close()
    echoing.join()


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_ten_thousand_sleepers(gomaxprocs, procs):
    """None is early, and none is lost."""
    gomaxprocs(procs)
    early, done = [], Chan(1000)

    def sleeper(i):
        seconds = 0.2 + (i * 7919 % 10_000) * 2e-5
        before = time.monotonic()
        sleep(seconds)
        elapsed = time.monotonic() - before
        if elapsed < seconds - 1e-9:
            early.append((seconds, elapsed))
        done.send(i)

    sleepers = [go(sleeper, i) for i in range(10_000)]
    assert sorted(done.recv() for _ in range(10_000)) == list(range(10_000))
    assert early == []
    for g in sleepers:
        g.join()
    assert runtime.stats()["timers"] == 0


def test_state_and_timers_while_asleep(run_program):
    done = run_program(
        """
        from gopy import go, runtime
        from gopy.time import sleep
        g = go(sleep, 3600)
        while g.state != "sleep":
            runtime.gosched()
        print(runtime.stats()["timers"])
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


@pytest.mark.parametrize("procs", [1, 2])
def test_a_sleeping_program_uses_no_cpu(procs, run_program):
    """The best of a few tries: the machine may be busy, but a busy wait never passes."""
    done = run_program(
        """
        import time
        from gopy import go
        from gopy.time import sleep
        used = []
        for _ in range(3):
            gs = [go(sleep, 0.3 + i * 1e-5) for i in range(100)]
            sleep(0.05)
            before = time.process_time()
            sleep(0.2)
            used.append(time.process_time() - before)
            for g in gs:
                g.join()
        print(min(used) < 0.02 or used)
        """,
        env={"GOMAXPROCS": str(procs)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_sleep_on_plain_threads():
    """Each sleeps on its own, no goroutine is delayed if only they sleep long enough, and none is early."""
    done = Chan(16)

    def body(seconds):
        before = time.monotonic()
        sleep(seconds)
        done.send((seconds, time.monotonic() - before))

    rounds, seconds = 0, 0.01
    while rounds < 10:
        threads = [threading.Thread(target=body, args=(i * seconds,)) for i in range(-1, 9)]
        rounds, seconds = 0, seconds * 2
        for thread in threads:
            thread.start()
        while len(done) < len(threads):
            sleep(0.0001)
            rounds += 1
        for _ in threads:
            asked, elapsed = done.recv()
            assert elapsed >= asked
        for thread in threads:
            thread.join()


def test_sleep_does_not_hold_the_gil_on_a_plain_thread():
    """This thread counts far while another one sleeps, if only that sleeps long enough."""

    def body(seconds, started, ended):
        started.set()
        sleep(seconds)
        ended.set()

    n, seconds = 0, 0.1
    while n < 1000:
        n, seconds, started, ended = 0, seconds * 2, threading.Event(), threading.Event()
        thread = threading.Thread(target=body, args=(seconds, started, ended))
        thread.start()
        started.wait()
        while not ended.is_set():
            n += 1
        thread.join()


# Timeouts of everything that waits


def waits():
    """Name -> a call with a timeout that nothing else ends."""
    full = Chan(1)
    full.send(0)
    return {
        "recv": Chan().recv,
        "recv_ok": Chan().recv_ok,
        "recv of a view": Chan(3).recv_only().recv,
        "recv_ok of a view": Chan(3).recv_only().recv_ok,
        "recv on nil": nilchan.recv,
        "recv_ok on nil": nilchan.recv_ok,
        "send": lambda timeout: Chan().send(1, timeout=timeout),
        "send to a view": lambda timeout: Chan().send_only().send(1, timeout=timeout),
        "send when full": lambda timeout: full.send(1, timeout=timeout),
        "send on nil": lambda timeout: nilchan.send(1, timeout=timeout),
        "select": lambda timeout: select(recv(Chan()), send(Chan(), 1), timeout=timeout),
        "select of many": lambda timeout: select(*[recv(Chan()) for _ in range(20)], timeout=timeout),
        "select without cases": lambda timeout: select(timeout=timeout),
        "join": lambda timeout: join_parked(timeout),
    }


def join_parked(timeout):
    stop = Chan()
    g = go(stop.recv)
    try:
        g.join(timeout=timeout)
    finally:
        stop.close()
        g.join()


@pytest.mark.parametrize("name", waits())
def test_a_timeout_is_not_early(name, in_goroutine):
    wait = waits()[name]

    def measure():
        before = time.monotonic_ns()
        try:
            wait(timeout=0.02)
        except TimeoutError as exc:
            return time.monotonic_ns() - before, str(exc)
        return 0, "no timeout"

    for elapsed, text in (measure(), in_goroutine(measure)):
        assert elapsed >= 20_000_000
        assert text == "timed out"


@pytest.mark.parametrize("name", waits())
@pytest.mark.parametrize("timeout", NO_TIME, ids=lambda s: str(s)[:8])
def test_no_time_is_over_at_once(name, timeout):
    """Without parking: no timer, no switch."""
    wait = waits()[name]
    before = runtime.stats()["switches"]
    with pytest.raises(TimeoutError, match=r"^timed out$"):
        wait(timeout=timeout)
    if runtime.GOMAXPROCS() == 1 and name != "join":
        assert runtime.stats()["switches"] == before


@pytest.mark.parametrize("timeout", [0, 0.0, -1, 1e-9, *FOR_EVER, 60], ids=lambda s: str(s)[:8])
def test_what_need_not_wait_has_no_timeout(timeout):
    ch = Chan(1)
    for _ in range(100):
        ch.send("v", timeout=timeout)
        assert ch.recv(timeout=timeout) == "v"
        ch.send("v", timeout=timeout)
        assert ch.recv_ok(timeout=timeout) == ("v", True)
        assert select(send(ch, "v"), timeout=timeout) == (0, None, True)
        assert select(recv(ch), timeout=timeout) == (0, "v", True)
    ch.close()
    assert ch.recv(timeout=timeout) is None
    assert ch.recv_ok(timeout=timeout) == (None, False)
    dead = go(int)
    dead.join()
    dead.join(timeout=timeout)
    dead.join(timeout)


@pytest.mark.parametrize("timeout", FOR_EVER, ids=lambda s: str(s)[:8])
def test_a_timeout_of_for_ever(until, timeout):
    """Neither an overflow nor an early end."""
    ch, ended = Chan(), Chan(4)
    goroutines = [
        go(lambda: ended.send(ch.recv(timeout=timeout))),
        go(lambda: ended.send(ch.recv_ok(timeout=timeout)[0])),
        go(lambda: ended.send(select(recv(ch), timeout=timeout)[1])),
    ]
    goroutines.append(go(lambda: ended.send(goroutines[0].join(timeout=timeout) or "v")))
    until(lambda: [g.state for g in goroutines] == ["chan receive", "chan receive", "select", "join"])
    for _ in range(3):
        ch.send("v", timeout=timeout)
    assert [ended.recv() for _ in goroutines] == ["v"] * 4
    for g in goroutines:
        g.join()


def test_timeouts_leave_no_waiter_and_no_timer(until):
    ch = Chan()
    for _ in range(50):
        with pytest.raises(TimeoutError):
            ch.recv(timeout=1e-5)
        with pytest.raises(TimeoutError):
            ch.send(1, timeout=1e-5)
        with pytest.raises(TimeoutError):
            select(recv(ch), send(ch, 2), timeout=1e-5)
    with pytest.raises(TimeoutError):
        ch.recv(timeout=0)
    with pytest.raises(TimeoutError):
        ch.send(1, timeout=0)
    until(lambda: runtime.stats()["timers"] == 0)


def test_a_wait_that_ended_leaves_no_timer(until):
    """The timer of a long timeout goes when the wait ends, not when it is due."""
    ch = Chan()
    until(lambda: runtime.stats()["timers"] == 0)
    goroutines = [go(lambda: ch.recv(timeout=3600)) for _ in range(1000)]
    until(lambda: runtime.stats()["timers"] == 1000)
    for _ in goroutines:
        ch.send(None)
    for g in goroutines:
        g.join()
    assert runtime.stats()["timers"] == 0


def test_a_timeout_in_the_middle_of_a_queue(until):
    """Those before and behind the one that gave up still get their values, in order."""
    ch, got = Chan(), Chan(100)

    def receiver(i):
        try:
            got.send((i, ch.recv(timeout=0.01 if i % 3 == 1 else None)))
        except TimeoutError:
            got.send((i, "timed out"))

    for i in range(30):
        g = go(receiver, i)
        until(lambda: g.state in ("chan receive", "dead"))
    late = [got.recv() for _ in range(10)]
    assert sorted(late) == [(i, "timed out") for i in range(1, 30, 3)]
    for i in range(20):
        ch.send(i)
    others = [i for i in range(30) if i % 3 != 1]
    assert sorted(got.recv() for _ in range(20)) == list(zip(others, range(20), strict=True))


@pytest.mark.parametrize("procs", [1, 2, 8])
@pytest.mark.parametrize("capacity", [0, 2])
def test_a_value_is_sent_or_timed_out_never_both(gomaxprocs, procs, capacity):
    gomaxprocs(procs)
    ch, results = Chan(capacity), Chan(16)

    def sender(name):
        sent = []
        for i in range(200):
            try:
                ch.send((name, i), timeout=(i % 5) * 5e-5)
                sent.append((name, i))
            except TimeoutError:
                pass
        results.send(("sent", sent))

    def receiver():
        got, ok = [], True
        while ok:
            try:
                value, ok = ch.recv_ok(timeout=1e-4)
            except TimeoutError:
                continue
            if ok:
                got.append(value)
        results.send(("got", got))

    senders = [go(sender, name) for name in range(5)]
    receivers = [go(receiver) for _ in range(5)]
    for g in senders:
        g.join()
    ch.close()
    for g in receivers:
        g.join()
    values = {"sent": [], "got": []}
    for _ in range(10):
        what, some = results.recv()
        values[what] += some
    assert sorted(values["sent"]) == sorted(values["got"])


def test_many_timeouts_at_one_moment(gomaxprocs):
    for procs in (1, 2):
        gomaxprocs(procs)
        ch, ended = Chan(), Chan(100)

        def waiter():
            try:
                ch.recv(timeout=0.05)
            except TimeoutError:
                ended.send("timed out")

        goroutines = [go(waiter) for _ in range(2000)]
        assert [ended.recv() for _ in goroutines] == ["timed out"] * 2000
        for g in goroutines:
            g.join()


def test_timeouts_on_plain_threads():
    """The same calls, the same result, on a thread that gopy does not run."""
    done = Chan(100)

    def body(name, wait):
        before = time.monotonic()
        try:
            wait(timeout=0.02)
            done.send((name, "no timeout"))
        except TimeoutError as exc:
            done.send((name, time.monotonic() - before >= 0.02 and str(exc)))

    calls = {name: wait for name, wait in waits().items() if name != "join"}
    threads = [threading.Thread(target=body, args=item) for item in calls.items()]
    for thread in threads:
        thread.start()
    assert sorted(done.recv() for _ in threads) == sorted((name, "timed out") for name in calls)
    for thread in threads:
        thread.join()


# Wrong arguments


@pytest.mark.parametrize("seconds", [None, "1", b"1", [], 1j, object(), sleep])
def test_sleep_takes_a_number(seconds):
    with pytest.raises(TypeError, match=r"`seconds` must be a number of seconds, got \w+"):
        sleep(seconds)


def test_sleep_refuses_nan():
    with pytest.raises(ValueError, match="`seconds`"):
        sleep(float("nan"))
    with pytest.raises(ValueError, match="`seconds`"):
        sleep(Seconds(float("nan")))


@pytest.mark.parametrize("name", waits())
def test_a_timeout_is_a_number_or_none(name):
    wait = waits()[name]
    for timeout in ("1", b"", [], 1j, object()):
        with pytest.raises(TypeError, match="`timeout` must be a number of seconds or None, got"):
            wait(timeout=timeout)
    with pytest.raises(ValueError, match="`timeout`"):
        wait(timeout=float("nan"))


def test_an_error_in_the_number_itself_passes_through():
    class Bad:
        def __float__(self):
            raise KeyError("bad")

    ch = Chan(1)
    for call in (lambda: sleep(Bad()), lambda: ch.send(1, timeout=Bad()), lambda: ch.recv(timeout=Bad())):
        with pytest.raises(KeyError, match="bad"):
            call()
    assert len(ch) == 0
