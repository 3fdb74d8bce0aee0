"""Arguments: whatever takes a number of seconds takes the same ones, and so for ints."""

import re
from decimal import Decimal
from fractions import Fraction

import pytest

from gopy import Chan, context, errgroup, go, net, runtime, select, semaphore, sync, time

NEVER = Chan()


class Float:
    def __init__(self, value):
        self.value = value

    def __float__(self):
        return self.value


class Index:
    """As numpy's ints are."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


def locked(lock):
    lock.lock()
    return lock


def busy():
    wg = sync.WaitGroup()
    wg.add()
    return wg


def wait_on(condition, seconds):
    with condition.L:
        condition.wait(timeout=seconds)


def join(seconds):
    gate = Chan()
    goroutine = go(gate.recv)
    try:
        goroutine.join(timeout=seconds)
    finally:
        gate.close()
        goroutine.join()


def on_descriptor(wait):
    """wait(fd, seconds) for a descriptor that does not become ready."""

    def call(seconds):
        with net.listen("tcp", "127.0.0.1:0") as listener:
            wait(listener.fileno(), seconds)

    return call


def on_connection(name):
    def call(seconds):
        with net.listen("tcp", "127.0.0.1:0") as listener, net.dial("tcp", str(listener.addr)) as conn:
            getattr(conn, name)(seconds)

    return call


def dial(seconds):
    with net.listen("tcp", "127.0.0.1:0") as listener:
        net.dial("tcp", str(listener.addr), timeout=seconds).close()


def after_func(seconds):
    """It runs before the next test counts goroutines."""
    ran = Chan(1)
    time.after_func(seconds, ran.send, None)
    ran.recv()


def ended(made):
    made[1]()


# What takes a number of seconds; those that want more than none; those to which None means for ever.
SECONDS = {
    "sleep": time.sleep,
    "asleep": time.asleep,
    "after": time.after,
    "Timer": time.Timer,
    "Timer.reset": lambda s: time.Timer(100).reset(s),
    "after_func": after_func,
    "with_timeout": lambda s: ended(context.with_timeout(context.background(), s)),
    "with_deadline": lambda s: ended(context.with_deadline(context.background(), s)),
    "with_timeout_cause": lambda s: ended(context.with_timeout_cause(context.background(), s, OSError())),
}
POSITIVE = {
    "tick": time.tick,
    "Ticker": time.Ticker,
    "Ticker.reset": lambda s: time.Ticker(100).reset(s),
}
TIMEOUTS = {
    "send": lambda s: NEVER.send(1, timeout=s),
    "recv": lambda s: NEVER.recv(timeout=s),
    "recv_ok": lambda s: NEVER.recv_ok(timeout=s),
    "select": lambda s: select(timeout=s),
    "join": join,
    "Mutex.lock": lambda s: locked(sync.Mutex()).lock(timeout=s),
    "RWMutex.lock": lambda s: locked(sync.RWMutex()).lock(timeout=s),
    "RWMutex.rlock": lambda s: locked(sync.RWMutex()).rlock(timeout=s),
    "WaitGroup.wait": lambda s: busy().wait(timeout=s),
    "Cond.wait": lambda s: wait_on(sync.Cond(sync.Mutex()), s),
    "wait_read": on_descriptor(runtime.wait_read),
    "dial": dial,
    "set_deadline": on_connection("set_deadline"),
    "set_read_deadline": on_connection("set_read_deadline"),
    "set_write_deadline": on_connection("set_write_deadline"),
}
TAKERS = SECONDS | POSITIVE | TIMEOUTS
each_taker = pytest.mark.parametrize("taker", TAKERS)


@each_taker
def test_any_number_of_seconds(taker):
    for seconds in Fraction(1, 1000), Decimal("0.001"), Float(0.001), 0.001:
        try:
            TAKERS[taker](seconds)
        except TimeoutError:
            pass


@pytest.mark.parametrize("taker", SECONDS | TIMEOUTS)
def test_ints_and_bools_are_numbers_of_seconds(taker):
    for seconds in 0, False, Index(0), -(10**400):
        try:
            TAKERS[taker](seconds)
        except TimeoutError:
            pass


@each_taker
def test_no_number_of_seconds(taker):
    for wrong in ["1", b"1", [], 1j, object(), *([] if taker in TIMEOUTS else [None])]:
        wanted = r"^`\w+` must be a number of seconds( or None)?, got " + re.escape(type(wrong).__name__)
        with pytest.raises(TypeError, match=wanted):
            TAKERS[taker](wrong)
    for nan in float("nan"), Decimal("nan"), Float(float("nan")):
        with pytest.raises(ValueError, match=r"^`\w+` must be a number of seconds, got nan$"):
            TAKERS[taker](nan)


def test_preempt_takes_any_number_of_seconds(run_program):
    """It is the process's, and so a program's."""
    done = run_program(
        """
        from decimal import Decimal
        from fractions import Fraction
        from gopy import runtime

        for seconds in 1, True, 0.5, Fraction(1, 2), Decimal("0.5"), None:
            runtime.preempt(seconds)
        for wrong in "1", 1j, float("nan"):
            try:
                runtime.preempt(wrong)
            except (TypeError, ValueError) as exc:
                print(type(exc).__name__, exc)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "TypeError `seconds` must be a number of seconds, got str",
        "TypeError `seconds` must be a number of seconds, got complex",
        "ValueError `seconds` must be a number of seconds, got nan",
    ]


def serve(limit):
    listener = net.listen("tcp", "127.0.0.1:0")
    listener.close()
    listener.serve(lambda conn: None, limit=limit)


def read_from(n):
    with net.listen_packet("udp", "127.0.0.1:0") as conn:
        conn.write_to(b"x", conn.local_addr)
        return conn.read_from(n)


# What takes an int, and what its least is.
INTS = {
    "Chan": (Chan, 0),
    "WaitGroup.add": (lambda n: sync.WaitGroup().add(n), 0),
    "Weighted": (semaphore.Weighted, 0),
    "acquire": (lambda n: semaphore.Weighted(5).acquire(n), 0),
    "set_limit": (lambda n: errgroup.Group().set_limit(n), None),
    "serve": (serve, 1),
    "listen": (lambda n: net.listen("tcp", "127.0.0.1:0", backlog=n).close(), None),
    "read_from": (read_from, 0),
}


@pytest.mark.parametrize("taker", INTS)
def test_ints(taker):
    take, least = INTS[taker]
    for n in 1, True, Index(1):
        take(n)
    for wrong in "1", 1.0, [], Fraction(1):
        with pytest.raises(
            TypeError, match=rf"^`\w+` must be an int( or None)?, got {type(wrong).__name__}$"
        ):
            take(wrong)
    if least is not None and taker != "WaitGroup.add":
        with pytest.raises(ValueError, match=rf"^`\w+` must be {least} or more, got {least - 1}$"):
            take(least - 1)
