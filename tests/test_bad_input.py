"""Wrong arguments and hostile objects: a clear error, nothing half done, and all goes on as before."""

import gc
import sys

import pytest

import gopy
from gopy import (
    Chan,
    ClosedChannelError,
    Deadlock,
    Default,
    Goroutine,
    GoroutinePanic,
    Panic,
    RecvCase,
    RecvChan,
    SendCase,
    SendChan,
    default,
    go,
    nilchan,
    recv,
    runtime,
    select,
    send,
)
from gopy import time as gotime

NOT_INTS = [None, "1", b"1", 1.0, 1.5, [], 1j, object(), int]


def name_of(value):
    return type(value).__name__


# Types and ranges


@pytest.mark.parametrize("capacity", NOT_INTS, ids=name_of)
def test_capacity_is_an_int(capacity):
    text = f"^`capacity` must be an int, got {name_of(capacity)}$"
    with pytest.raises(TypeError, match=text):
        Chan(capacity)
    with pytest.raises(TypeError, match=text):
        Chan(capacity=capacity)


@pytest.mark.parametrize("capacity", [-1, -5, -sys.maxsize, -(10**40), sys.maxsize + 1, 10**40])
def test_capacity_is_in_range(capacity):
    with pytest.raises(ValueError, match="`capacity`"):
        Chan(capacity)


def test_capacity_beyond_memory():
    with pytest.raises(MemoryError):
        Chan(sys.maxsize)
    with pytest.raises(MemoryError):
        Chan(sys.maxsize // 8)


def test_capacity_may_be_an_index():
    class Three:
        def __index__(self):
            return 3

    class Bad:
        def __index__(self):
            raise KeyError("bad")

    assert Chan(Three()).cap == 3
    with pytest.raises(KeyError):
        Chan(Bad())


CALLS = {
    "Chan(1, 2)": lambda: Chan(1, 2),
    "Chan(size=1)": lambda: Chan(size=1),
    "Chan(1, capacity=1)": lambda: Chan(1, capacity=1),
    "send()": lambda: Chan(1).send(),
    "send(1, 2)": lambda: Chan(1).send(1, 2),
    "send(value=1)": lambda: Chan(1).send(value=1),
    "send(1, time=1)": lambda: Chan(1).send(1, time=1),
    "recv(1)": lambda: Chan(1).recv(1),
    "recv(time=1)": lambda: Chan(1).recv(time=1),
    "recv_ok(1)": lambda: Chan(1).recv_ok(1),
    "recv_ok(time=1)": lambda: Chan(1).recv_ok(time=1),
    "close(1)": lambda: Chan(1).close(1),
    "send_only(1)": lambda: Chan(1).send_only(1),
    "recv_only(1)": lambda: Chan(1).recv_only(1),
    "case recv()": lambda: recv(),
    "case recv(ch, 1)": lambda: recv(Chan(1), 1),
    "case recv(ch=ch)": lambda: recv(ch=Chan(1)),
    "case send(ch)": lambda: send(Chan(1)),
    "case send(ch, 1, 2)": lambda: send(Chan(1), 1, 2),
    "case send(ch, value=1)": lambda: send(Chan(1), value=1),
    "select(time=1)": lambda: select(default, time=1),
    "go()": lambda: go(),
    "go(fn=int)": lambda: go(fn=int),
    "sleep()": lambda: gotime.sleep(),
    "sleep(0, 0)": lambda: gotime.sleep(0, 0),
    "gosched(1)": lambda: runtime.gosched(1),
    "GOMAXPROCS(1, 2)": lambda: runtime.GOMAXPROCS(1, 2),
    "join(1, 2)": lambda: go(int).join(1, 2),
    "join(time=1)": lambda: go(int).join(time=1),
}


@pytest.mark.parametrize("call", CALLS)
def test_arguments_that_no_call_takes(call):
    with pytest.raises(TypeError):
        CALLS[call]()


@pytest.mark.parametrize("fn", [None, 1, "print", [], object(), go(int)], ids=name_of)
def test_go_takes_a_callable(fn):
    spawned = runtime.stats()["spawned"]
    with pytest.raises(
        TypeError, match=f"^`fn` must be callable, a coroutine or a generator, got (gopy.)?{name_of(fn)}$"
    ):
        go(fn, 1, 2, key=3)
    assert runtime.stats()["spawned"] == spawned


@pytest.mark.parametrize("ch", [None, 1, "ch", [], object, Chan, recv(nilchan), default], ids=repr)
def test_a_case_takes_a_channel(ch):
    with pytest.raises(TypeError, match=r"^`ch` must be a Chan or RecvChan, got [\w.]+$"):
        recv(ch)
    with pytest.raises(TypeError, match=r"^`ch` must be a Chan or SendChan, got [\w.]+$"):
        send(ch, 1)


def test_a_case_takes_a_channel_of_its_direction():
    with pytest.raises(TypeError, match=r"`ch` must be a Chan or RecvChan, got gopy.SendChan"):
        recv(Chan().send_only())
    with pytest.raises(TypeError, match=r"`ch` must be a Chan or SendChan, got gopy.RecvChan"):
        send(Chan().recv_only(), 1)


def test_a_view_has_one_side():
    ch = Chan(1)
    for name in ("recv", "recv_ok", "__iter__", "send_only", "recv_only"):
        assert not hasattr(ch.send_only(), name)
    for name in ("send", "close", "send_only", "recv_only"):
        assert not hasattr(ch.recv_only(), name)
    with pytest.raises(TypeError):
        iter(ch.send_only())


@pytest.mark.parametrize("case", [None, 1, "recv", (), Chan(), recv, Default, object()], ids=name_of)
def test_select_takes_cases_and_does_nothing_if_one_is_wrong(case):
    """Whichever place the wrong one has: no ready case has run."""
    sending, receiving = Chan(1), Chan(1)
    receiving.send(1)
    good = [send(sending, 1), recv(receiving)]
    for cases in ([case, *good], [good[0], case, good[1]], [*good, case], [*good, *good * 5, case]):
        with pytest.raises(
            TypeError, match=r"^`cases` must be made by recv\(\), send\(\) or be `default`, got "
        ):
            select(*cases)
    assert (len(sending), len(receiving)) == (0, 1)


def test_select_takes_one_default():
    ch = Chan(1)
    for cases in ([default, default], [send(ch, 1), default, default], [default, send(ch, 1), default]):
        with pytest.raises(ValueError, match=r"^`cases` must have at most one `default`$"):
            select(*cases)
    assert len(ch) == 0


@pytest.mark.parametrize("timeout", ["1", b"", [], 1j, object(), float("nan")], ids=name_of)
def test_a_wrong_timeout_does_nothing(timeout):
    """Though the operation need not have waited."""
    error = ValueError if isinstance(timeout, float) else TypeError
    ch = Chan(2)
    ch.send(0)
    for call in (
        lambda: ch.send(1, timeout=timeout),
        lambda: ch.send_only().send(1, timeout=timeout),
        lambda: ch.recv(timeout=timeout),
        lambda: ch.recv_ok(timeout=timeout),
        lambda: select(send(ch, 1), timeout=timeout),
        lambda: select(recv(ch), timeout=timeout),
        lambda: select(default, timeout=timeout),
        lambda: dead.join(timeout=timeout),
        lambda: dead.join(timeout),
    ):
        dead = go(int)
        with pytest.raises(error, match=r"^`timeout` must be a number of seconds"):
            call()
        dead.join()
    assert len(ch) == 1


@pytest.mark.parametrize("n", [None, "2", 1.5, [], 1j], ids=name_of)
def test_GOMAXPROCS_takes_an_int(n):
    before = runtime.GOMAXPROCS()
    with pytest.raises(TypeError, match=f"`n` must be an int, got {name_of(n)}"):
        runtime.GOMAXPROCS(n)
    assert runtime.GOMAXPROCS() == before


@pytest.mark.parametrize("n", [10**40, -(10**40), -1, 0])
def test_GOMAXPROCS_out_of_range_only_asks_or_refuses(n, gomaxprocs):
    before = gomaxprocs(2) and gomaxprocs()
    try:
        assert gomaxprocs(n) == before
    except ValueError as exc:
        assert n > 0
        assert "`n`" in str(exc)
    if n < 1:
        assert gomaxprocs() == before


@pytest.mark.parametrize("cls", [Goroutine, RecvChan, SendChan, RecvCase, SendCase, Default], ids=name_of)
def test_what_cannot_be_made_by_hand(cls):
    with pytest.raises(TypeError):
        cls()
    with pytest.raises(TypeError):
        cls.__new__(cls)
    with pytest.raises(TypeError):
        object.__new__(cls)


def test_init_again_changes_nothing():
    """__init__ and __new__ called by hand neither lose values nor crash."""
    ch = Chan(2, zero="z")
    ch.send(1)
    with pytest.raises(TypeError):
        Chan.__new__(int)
    try:
        ch.__init__(5)
    except TypeError:
        pass
    assert (ch.cap, len(ch), ch.recv()) == (2, 1, 1)
    ch.close()
    assert ch.recv() == "z"


def test_channels_cannot_be_copied_or_pickled():
    """A copy that shares nothing with its original would be a trap."""
    import copy
    import pickle

    for thing in (Chan(1), Chan(1).recv_only(), recv(Chan(1)), go(int)):
        for use in (copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
            with pytest.raises((TypeError, pickle.PicklingError)):
                use(thing)


def test_a_subclass_that_does_not_call_init():
    class Sub(Chan):
        def __init__(self, *args, **kwargs):
            self.extra = "extra"

    ch = Sub(1)
    ch.send(1)
    assert (ch.recv(), ch.extra, ch.cap) == (1, "extra", 1)
    assert select(recv(ch), send(ch, 2)) == (1, None, True)


# Panics


def test_send_on_a_closed_channel():
    for capacity in (0, 3):
        ch = Chan(capacity)
        ch.close()
        for call in (
            lambda: ch.send(1),
            lambda: ch.send(1, timeout=0),
            lambda: ch.send(1, timeout=5),
            lambda: ch.send_only().send(1),
            lambda: select(send(ch, 1)),
        ):
            with pytest.raises(ClosedChannelError, match=r"^send on closed channel$"):
                call()
        assert len(ch) == 0


def test_close_of_a_closed_channel():
    ch = Chan(1)
    ch.send("left")
    ch.send_only().close()
    for close in (ch.close, ch.send_only().close):
        with pytest.raises(ClosedChannelError, match=r"^close of closed channel$"):
            close()
    assert ch.recv_ok() == ("left", True)
    assert ch.recv_ok() == (None, False)


def test_close_of_the_nil_channel():
    for close in (nilchan.close, nilchan.send_only().close):
        with pytest.raises(Panic, match=r"^close of nil channel$"):
            close()


def test_panics_are_runtime_errors():
    assert issubclass(Panic, RuntimeError)
    assert all(issubclass(cls, Panic) for cls in (ClosedChannelError, GoroutinePanic, Deadlock))
    named = {cls.__module__ for cls in (Panic, ClosedChannelError, Deadlock, GoroutinePanic)}
    assert named == {"gopy"}  # so tracebacks name them


def test_close_fails_senders_that_wait(until):
    ch, errors = Chan(), Chan()

    def sender(i):
        try:
            ch.send(i)
        except ClosedChannelError as exc:
            errors.send(str(exc))

    goroutines = [go(sender, i) for i in range(50)]
    until(lambda: all(g.state == "chan send" for g in goroutines))
    ch.close()
    assert [errors.recv() for _ in goroutines] == ["send on closed channel"] * 50
    assert ch.recv_ok() == (None, False)


# Hostile objects


class Hostile:
    """Calls into gopy whenever Python looks at it, with every kind of call."""

    made, calls = [], []  # one entry each: unlike +=, append counts right without a GIL
    busy = False

    def __init__(self):
        Hostile.made.append(1)

    def play(self):
        Hostile.calls.append(1)
        if Hostile.busy:
            return
        Hostile.busy = True
        try:
            a, b = Chan(1), Chan()
            a.send(1)
            go(b.send, 2)
            assert select(recv(b), recv(nilchan)) == (0, 2, True)
            runtime.gosched()
            assert a.recv() == 1
            assert select(recv(a), default)[0] == 1
            gotime.sleep(1e-6)
            go(int).join()
        finally:
            Hostile.busy = False

    def __del__(self):
        self.play()

    def __eq__(self, other):
        self.play()
        return self is other

    def __hash__(self):
        self.play()
        return 7

    def __bool__(self):
        self.play()
        return True

    def __repr__(self):
        self.play()
        return "Hostile()"


@pytest.fixture
def hostile(until):
    """The class, whose __del__ must have run for each of its objects in the end."""
    gc.collect()
    Hostile.calls.clear()
    Hostile.made.clear()
    yield Hostile
    assert Hostile.made
    until(lambda: gc.collect() >= 0 and len(Hostile.calls) >= len(Hostile.made))


@pytest.fixture(params=[1, 2, 8])
def procs(request, gomaxprocs):
    gomaxprocs(request.param)
    return request.param


def test_hostile_values_dropped_in_a_buffer(hostile, procs):
    """The channel goes, and with it the values nobody received; each calls into gopy on its way out."""
    for _ in range(50):
        ch = Chan(3)
        for _ in range(3):
            ch.send(hostile())
        del ch


def test_hostile_values_received_and_dropped(hostile, procs):
    ch = Chan()

    def sender():
        for _ in range(100):
            ch.send(hostile())
        ch.close()

    g = go(sender)
    assert sum(1 for _ in ch) == 100
    g.join()


def test_hostile_values_that_are_not_sent(hostile, procs, until):
    """A timeout, a closed channel, a wake-up by close: the value is dropped inside the failing call."""
    for _ in range(10):
        ch = Chan()
        with pytest.raises(TimeoutError):
            ch.send(hostile(), timeout=1e-5)
        with pytest.raises(TimeoutError):
            select(send(ch, hostile()), timeout=1e-5)
        assert select(send(ch, hostile()), default)[0] == 1

        def sender():
            with pytest.raises(ClosedChannelError):
                ch.send(hostile())
            with pytest.raises(ClosedChannelError):
                select(send(ch, hostile()))

        g = go(sender)
        until(lambda: g.state == "chan send")
        ch.close()
        g.join()


def test_hostile_values_in_selects(hostile, procs):
    """The values of the cases that did not run die with their cases."""
    a, b = Chan(), Chan()

    def party(out, into):
        for _ in range(100):
            select(send(out, hostile()), recv(into), *[send(nilchan, hostile()) for _ in range(9)])

    first, second = go(party, a, b), go(party, b, a)
    first.join()
    second.join()


def test_hostile_functions_arguments_and_results(hostile, procs):
    class Function(hostile):
        def __call__(self, *args, **kwargs):
            local = hostile()  # dies as the frame goes
            assert all(isinstance(arg, Hostile) for arg in (*args, *kwargs.values(), local))
            return hostile()

    for _ in range(50):
        goroutines = [
            go(Function()),
            go(Function(), hostile()),
            go(Function(), hostile(), hostile(), key=hostile()),
            go(lambda captured=hostile(): hostile()),  # noqa: B008
        ]
        for g in goroutines:
            g.join()


def test_hostile_objects_in_a_closure_of_a_parked_goroutine(hostile, procs, until):
    stop = Chan()

    def start():
        captured = hostile()

        def body():
            inner = hostile()
            stop.recv()
            return captured, inner

        return go(body)

    goroutines = [start() for _ in range(50)]
    until(lambda: all(g.state == "chan receive" for g in goroutines))
    stop.close()
    for g in goroutines:
        g.join()


@pytest.mark.slow
def test_hostile_objects_in_the_garbage_collector(hostile, procs):
    """Cycles through channels, collected in the midst of traffic."""
    ch = Chan(1)

    def churn():
        for i in range(40):
            cycle = Chan(2, zero=hostile())
            cycle.send(cycle)
            cycle.send([hostile(), cycle.recv_only(), send(cycle, cycle)])
            del cycle
            if i % 10 == 0:
                gc.collect()
            ch.send(i)
        ch.close()

    g = go(churn)
    assert list(ch) == list(range(40))
    g.join()
    gc.collect()


def test_hostile_zero(hostile, procs):
    ch = Chan(zero=hostile())
    ch.close()
    assert isinstance(ch.recv(), Hostile)
    assert repr(ch.recv()) == "Hostile()"


def test_channels_do_not_compare_or_hash_their_values(hostile, procs):
    ch, other, calls = Chan(1), Chan(1), len(hostile.calls)
    value = hostile()
    ch.send(value)
    other.send(value)
    assert ch != other
    assert hash(ch) == hash(ch.recv_only())
    assert repr(ch) == repr(ch)
    assert len(hostile.calls) == calls
    assert repr(send(ch, value)).endswith("Hostile())")


def test_an_object_whose_eq_calls_into_gopy_beside_a_channel(hostile, procs):
    """A channel compared with it asks it, as Python does, and survives what it does."""
    ch, thing = Chan(), hostile()
    assert (ch == thing) is False
    assert ch != thing
    assert {thing: 1, ch: 2}[ch] == 2
    assert {ch: 2, thing: 1}[thing] == 1
    with pytest.raises(TypeError):
        ch < thing  # noqa: B015


def test_a_del_that_uses_the_channel_it_dies_in():
    """It sends on, closes and receives from the very channel that is letting it go."""
    seen = []

    class Value:
        def __init__(self, ch):
            self.ch = ch

        def __del__(self):
            seen.append(select(recv(self.ch), default)[0])
            try:
                self.ch.close()
            except ClosedChannelError:
                seen.append("closed")
            seen.append(len(self.ch))

    ch = Chan(3)
    for _ in range(3):
        ch.send(Value(ch))
    del ch
    gc.collect()
    assert seen.count("closed") == 2
    assert len(seen) == 8

    ch = Chan(3)
    ch.send(Value(ch))
    ch.recv()
    with pytest.raises(ClosedChannelError):
        ch.close()


def test_a_del_that_parks_until_another_goroutine_acts(until):
    """The goroutine that drops the last reference waits in __del__, as in any other function."""
    gate, order = Chan(), []

    class Value:
        def __del__(self):
            order.append(gate.recv())

    def drop():
        value = Value()
        del value
        order.append("dropped")

    g = go(drop)
    until(lambda: g.state == "chan receive")
    gate.send("gate")
    g.join()
    assert order == ["gate", "dropped"]

    if not runtime.stats()["gil"]:
        return  # without a GIL, __del__ runs on the thread that made the object: main would wait for itself
    # The same at the end of a goroutine, when its argument and its function go.
    g = go(lambda value: None, Value())
    until(lambda: gate_has_receiver(gate))
    g.join()
    assert order[-1] == "probe"


def gate_has_receiver(gate):
    return select(send(gate, "probe"), default)[0] == 0


def test_a_timeout_whose_float_calls_into_gopy():
    """It runs before anything is done, whatever it does to the channel."""
    ch = Chan(1)

    class Timeout:
        def __float__(self):
            gotime.sleep(1e-4)
            if len(ch):
                ch.recv()
            else:
                ch.send("from float")
            return 0.0

    assert ch.recv(timeout=Timeout()) == "from float"
    ch.send(1)
    ch.send(2, timeout=Timeout())
    assert ch.recv() == 2
    assert select(recv(ch), timeout=Timeout()) == (0, "from float", True)
    ch.send(1)
    assert select(send(ch, 2), timeout=Timeout()) == (0, None, True)
    assert ch.recv() == 2


def test_a_name_that_calls_into_gopy():
    class Function:
        def __getattr__(self, name):
            runtime.gosched()
            go(int).join()
            raise ZeroDivisionError if name == "__qualname__" else AttributeError

        def __call__(self):
            runtime.gosched()

    goroutines = [go(Function()) for _ in range(20)]
    assert all(g.name == "Function" for g in goroutines)
    assert all(repr(g) for g in goroutines)
    for g in goroutines:
        g.join()


# Deep things


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["case", "buffer", "zero", "view", "iterator"])
def test_deeply_nested_channels_are_freed(kind, run_program):
    """As lists are: a chain of them, however long, does not overflow the C stack when it goes."""
    step = {
        "case": "x = send(ch, x)",
        "buffer": "c = Chan(1); c.send(x); x = c",
        "zero": "x = Chan(zero=x)",
        "view": "c = Chan(1); c.send(x); x = c.recv_only()",
        "iterator": "c = Chan(1); c.send(x); x = iter(c)",
    }[kind]
    done = run_program(
        f"""
        from gopy import Chan, go, send

        def deep():
            ch, c, x = Chan(), None, None
            for _ in range(500_000):
                {step}
            c = x = None
            print("freed")

        deep()
        go(deep).join()
        """,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "freed\nfreed\n", "")


def test_a_goroutine_that_recurses_too_deep(until, in_goroutine):
    """A RecursionError in it; those that wait, and those that come after, do not notice."""

    def down(n):
        return down(n + 1)

    ch, got = Chan(), Chan(100)
    waiting = [go(lambda: got.send(ch.recv())) for _ in range(100)]
    until(lambda: all(g.state == "chan receive" for g in waiting))
    for _ in range(10):
        assert isinstance(in_goroutine(down, 0), RecursionError)
    for i in range(100):
        ch.send(i)
    assert sorted(got.recv() for _ in waiting) == list(range(100))
    assert in_goroutine(lambda: "fine") == "fine"


def test_recursion_10_000_deep_through_gopy(in_goroutine):
    """Each level blocks on a channel, with a recursion limit that allows it."""
    ch = Chan()

    def down(n):
        ch.send(n)
        return down(n - 1) + 1 if n else 0

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        reader = go(lambda: [ch.recv() for _ in range(10_001)])
        assert in_goroutine(down, 10_000) == 10_000
        reader.join()
    finally:
        sys.setrecursionlimit(limit)


def test_recursion_through_del_and_go(in_goroutine, until):
    """Goroutines that start goroutines from __del__, each with a fresh stack."""
    made = []

    class Again:
        def __init__(self, n):
            self.n = n

        def __del__(self):
            made.append(self.n)
            if self.n:
                go(lambda again: None, Again(self.n - 1)).join()

    def start():
        Again(300)

    assert in_goroutine(start) is None
    until(lambda: len(made) == 301)
    assert made == list(range(300, -1, -1))


# Exceptions while others wait


def test_an_exception_while_others_wait(until):
    """The handler gets it, in the goroutine that raised; who waits goes on waiting, and is served."""
    ch, got, panics = Chan(), Chan(50), []
    waiting = [go(lambda: got.send(ch.recv())) for _ in range(50)]
    until(lambda: all(g.state == "chan receive" for g in waiting))

    def handler(goroutine, exc):
        panics.append((goroutine, exc, runtime.current()))
        return True

    before = runtime.set_panic_handler(handler)
    try:
        failing = [go(fail) for fail in (fails_at_once, fails_after_parking, fails_on_closed) * 10]
        for g in failing:
            g.join()
    finally:
        assert runtime.set_panic_handler(before) is handler
    assert {g for g, _, _ in panics} == set(failing)
    assert all(goroutine is current for goroutine, _, current in panics)
    assert sorted({type(exc).__name__ for _, exc, _ in panics}) == [
        "ClosedChannelError",
        "KeyError",
        "ZeroDivisionError",
    ]
    for i in range(50):
        ch.send(i)
    assert sorted(got.recv() for _ in waiting) == list(range(50))


def fails_at_once():
    1 / 0


def fails_after_parking():
    gotime.sleep(0.001)
    raise KeyError("after parking")


def fails_on_closed():
    ch = Chan()
    ch.close()
    ch.send(1)


def test_an_exception_thrown_by_a_value_on_its_way_out(procs, until):
    """An exception in __del__ is unraisable, as everywhere in Python: the operation itself is done."""
    raised = []

    class Value:
        def __del__(self):
            raise KeyError("in __del__")

    before, sys.unraisablehook = sys.unraisablehook, lambda args: raised.append(args.exc_value)
    try:
        ch = Chan(1)
        ch.send(Value())
        ch.recv()
        with pytest.raises(TimeoutError):
            Chan().send(Value(), timeout=0)
        ch.send(Value())
        del ch
        go(lambda value: None, Value()).join()
        assert select(send(Chan(), Value()), default) == (1, None, True)
        until(lambda: gc.collect() >= 0 and len(raised) >= 5)
    finally:
        sys.unraisablehook = before
    assert [type(exc) for exc in raised] == [KeyError] * 5


# Want of memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's RLIMIT_AS")
def test_no_memory_for_parked_goroutines_channels_and_selects(run_program):
    """MemoryError wherever it strikes; what was done stays done, and all goes on once there is room."""
    done = run_program(
        """
        import resource
        from gopy import Chan, go, nilchan, recv, runtime, select

        runtime.GOMAXPROCS(1)  # CPython itself aborts where a thread starts without memory
        go(int).join()
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        chans, goroutines, failed = [], [], 0
        stop = Chan()
        resource.setrlimit(resource.RLIMIT_AS, (size + 64 * 2**20, resource.RLIM_INFINITY))
        # Not append(): without memory, 3.15.0rc2's drops a reference that is not its own.
        for make in (lambda: chans.extend([Chan(100_000)]), lambda: goroutines.extend([go(int)])):
            try:
                while True:
                    make()
            except MemoryError:
                failed += 1
        try:
            Chan(10**8)
        except MemoryError:
            failed += 1
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert failed == 3, failed
        assert len(chans) > 10 and len(goroutines) > 10, (len(chans), len(goroutines))
        for ch in chans:
            ch.send(1)
            assert ch.recv() == 1
        for g in goroutines:
            g.join()
        cases = [recv(nilchan)] * 20 + [recv(stop)]
        sender = go(stop.send, "v")
        assert select(*cases) == (20, "v", True)
        sender.join()
        assert runtime.num_goroutine() == 1
        print("fine")
        """,
        # Else another thread's first malloc takes 64 MiB of addresses, before or after they are counted.
        env={"MIMALLOC_ARENA_RESERVE": "0", "MALLOC_ARENA_MAX": "1"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


@pytest.mark.slow
def test_a_hundred_thousand_parked_then_dropped(run_program):
    """Parked on a channel that is closed, and parked for ever at the exit: no crash, no hang, no word."""
    done = run_program(
        """
        from gopy import Chan, go, runtime
        stop = Chan()
        for _ in range(50_000):
            go(stop.recv)
        while runtime.stats()["parked"] < 50_000:
            for _ in range(1000):
                runtime.gosched()
        stop.close()
        while runtime.num_goroutine() > 1:
            runtime.gosched()
        for _ in range(50_000):
            go(Chan().recv)
        while runtime.stats()["parked"] < 50_000:
            for _ in range(1000):
                runtime.gosched()
        print(runtime.num_goroutine())
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "50001\n", "")


def test_what_the_package_exports_survives_vandalism():
    """Attributes of the types cannot be replaced, so a wait cannot be broken from Python."""
    for cls, name in ((Chan, "send"), (Goroutine, "join"), (RecvCase, "__repr__")):
        with pytest.raises(TypeError):
            setattr(cls, name, None)
    with pytest.raises(AttributeError):
        nilchan.anything = 1
    assert gopy.nilchan is nilchan
