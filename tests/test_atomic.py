"""Package atomic."""

import gc
import threading
import weakref

import pytest

from gopy import Panic, atomic, sync

LIMITS = {
    atomic.Int32: (-(2**31), 2**31 - 1),
    atomic.Int64: (-(2**63), 2**63 - 1),
    atomic.Uint32: (0, 2**32 - 1),
    atomic.Uint64: (0, 2**64 - 1),
}
INTS = pytest.mark.parametrize("kind", LIMITS)


@INTS
def test_limits(kind):
    low, high = LIMITS[kind]
    assert kind().load() == 0
    for value in (low, high, 0, 1, high // 2):
        x = kind(value)
        assert x.load() == value
        x.store(0)
        x.store(value)
        assert x.swap(1) == value
        assert x.swap(value) == 1
        assert x.compare_and_swap(value, 0)
        assert x.load() == 0


@INTS
def test_add_wraps_around(kind):
    low, high = LIMITS[kind]
    x = kind(high)
    assert x.add(1) == low
    assert x.load() == low
    assert x.add(high) == (low + high if low else high)
    x.store(high)
    assert x.add(high) == ((2 * high - low) % (high - low + 1)) + low
    if low:
        x.store(low)
        assert x.add(-1) == high
        assert x.add(low) == -1


@INTS
def test_what_does_not_fit(kind):
    low, high = LIMITS[kind]
    x = kind(5)
    calls = {
        "value": [kind, x.store],
        "delta": [x.add],
        "mask": [x.and_, x.or_],
        "new": [x.swap, lambda v: x.compare_and_swap(5, v)],
        "old": [lambda v: x.compare_and_swap(v, 6)],
    }
    for name, each in calls.items():
        for call in each:
            for value in (low - 1, high + 1, 2**70, -(2**70)):
                with pytest.raises(
                    ValueError, match=f"^`{name}` does not fit into (unsigned )?(32|64) bits$"
                ):
                    call(value)
            for value in ("x", 1.0, None):
                with pytest.raises(TypeError, match=f"^`{name}` must be an int, got {type(value).__name__}$"):
                    call(value)
    assert x.load() == 5


@INTS
def test_and_or_return_the_old_value(kind):
    x = kind(0b1100)
    assert x.and_(0b0110) == 0b1100
    assert x.load() == 0b0100
    assert x.or_(0b0011) == 0b0100
    assert x.load() == 0b0111
    if LIMITS[kind][0]:
        x.store(-1)
        assert x.and_(-2) == -1
        assert x.or_(-(2**31)) == -2
        assert x.load() == -2


class Index:
    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


def test_anything_with_an_index():
    x = atomic.Int64(Index(3))
    assert x.add(Index(-4)) == -1
    assert x.add(True) == 0
    with pytest.raises(ValueError):
        x.store(Index(2**63))


@pytest.mark.parametrize("kind", [*LIMITS, atomic.Pointer])
def test_many_at_once(kind):
    """From goroutines and threads: no change is lost."""
    x, times = kind(), 300

    def body():
        for _ in range(times):
            if kind is not atomic.Pointer:
                x.add(1)
                continue
            while True:
                was = x.load()
                if x.compare_and_swap(was, [was[0] + 1 if was else 1]):
                    break

    wg = sync.WaitGroup()
    for _ in range(5):
        wg.go(body)
    threads = [threading.Thread(target=body) for _ in range(3)]
    for thread in threads:
        thread.start()
    wg.wait()
    for thread in threads:
        thread.join()
    assert x.load() == ([8 * times] if kind is atomic.Pointer else 8 * times)


def test_bool():
    x = atomic.Bool()
    assert x.load() is False
    assert x.swap(True) is False
    assert x.compare_and_swap(True, False) is True
    assert x.compare_and_swap(True, False) is False
    x.store(True)
    assert x.load() is True
    assert atomic.Bool(True).load() is True
    for call, name in (
        (x.store, "value"),
        (x.swap, "new"),
        (atomic.Bool, "value"),
        (lambda v: x.compare_and_swap(v, True), "old"),
        (lambda v: x.compare_and_swap(True, v), "new"),
    ):
        with pytest.raises(TypeError, match=f"^`{name}` must be a bool, got int$"):
            call(1)
    assert x.load() is True


def test_pointer_compares_by_identity():
    a, b = [], []
    x = atomic.Pointer(a)
    assert not x.compare_and_swap(b, b)
    assert x.compare_and_swap(a, b)
    assert x.load() is b
    assert x.swap(None) is b
    assert x.load() is None
    assert x.compare_and_swap(None, a)
    x.store(None)
    assert x.load() is None
    assert atomic.Pointer[int](3).load() == 3
    assert atomic.Pointer().load() is None


def test_value_keeps_its_type():
    x = atomic.Value()
    assert x.load() is None
    x.store(1)
    with pytest.raises(Panic, match="^sync/atomic: store of inconsistently typed value into Value$"):
        x.store(True)  # a bool is no int here
    assert x.load() == 1
    big = 10**10
    x.store(big)
    assert not x.compare_and_swap(10**10 + 1, 5)
    assert x.compare_and_swap(big, 5)
    with pytest.raises(TypeError, match="takes no arguments"):
        atomic.Value(1)


@pytest.mark.parametrize("kind", [atomic.Pointer, atomic.Value])
def test_references_are_kept_and_dropped(kind):
    class Thing:
        pass

    x, refs = kind(), []
    for _ in range(3):
        thing = Thing()
        refs.append(weakref.ref(thing))
        x.store(thing)
    del thing
    gc.collect()
    assert [ref() is not None for ref in refs] == [False, False, True]
    x.load().self = x  # a cycle
    del x
    gc.collect()
    assert refs[2]() is None


def test_a_long_list_of_pointers_is_freed():
    x = None
    for _ in range(200_000):
        x = atomic.Pointer(x)
    del x


def test_reprs():
    assert repr(atomic.Int32(-3)) == "gopy.atomic.Int32(-3)"
    assert repr(atomic.Uint64(2**64 - 1)) == f"gopy.atomic.Uint64({2**64 - 1})"
    assert repr(atomic.Bool(True)) == "gopy.atomic.Bool(True)"
    x = atomic.Pointer()
    x.store(x)
    assert repr(x) == "gopy.atomic.Pointer(gopy.atomic.Pointer(...))"
    x.store(None)


def test_subclasses():
    class Counter(atomic.Uint32):
        pass

    x = Counter(2**32 - 1)
    assert x.add(1) == 0
    with pytest.raises(ValueError):
        Counter(-1)


def test_wrong_numbers_of_arguments():
    for x in (atomic.Int32(), atomic.Bool(), atomic.Pointer(), atomic.Value()):
        with pytest.raises(TypeError, match="takes 2 positional arguments but 1 was given"):
            x.compare_and_swap(1)
        with pytest.raises(TypeError):
            x.load(1)
