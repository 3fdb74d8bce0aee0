"""Package sync: Map."""

import gc

import pytest

from gopy import atomic, runtime, sync


def test_map_of_any_hashable_key():
    m = sync.Map()
    m.store(None, None)
    assert m.load(None) == (None, True)
    assert m.load(1) == (None, False)
    for call in (m.load, m.delete, m.load_and_delete):
        with pytest.raises(TypeError, match="unhashable"):
            call([])
    with pytest.raises(TypeError, match="unhashable"):
        m.store([], 1)
    assert m.swap(1, "a") == (None, False)
    assert m.swap(1, "b") == ("a", True)
    m.delete("nothing")
    assert sorted(m.items(), key=str) == [(1, "b"), (None, None)]


def test_map_range_stops_and_raises():
    m, seen = sync.Map(), []
    for i in range(10):
        m.store(i, i)
    m.range(lambda k, v: seen.append(k) or k < 4)
    assert seen == [0, 1, 2, 3, 4]
    with pytest.raises(ZeroDivisionError):
        m.range(lambda k, v: 1 / 0)
    with pytest.raises(TypeError, match="`fn` must be callable"):
        m.range(None)
    items = m.items()
    assert next(items) == (0, 0)
    m.delete(1)
    assert next(items) == (2, 2)


class Key:
    """Its comparison yields, and uses the map it is in."""

    def __init__(self, m):
        self.m = m

    def __hash__(self):
        return 1

    def __eq__(self, other):
        runtime.gosched()
        self.m.load("x")
        self.m.store("x", 1)
        return isinstance(other, Key)


def test_map_is_atomic_whatever_the_keys_do():
    """One load_or_store wins, and compare_and_swap loses nothing, while comparisons switch goroutines."""
    m, won, wg = sync.Map(), atomic.Int32(), sync.WaitGroup()

    def body(i):
        if not m.load_or_store(Key(m), 0)[1]:
            won.add(1)
        for _ in range(20):
            while True:
                value, _ = m.load(Key(m))
                if m.compare_and_swap(Key(m), value, value + 1):
                    break

    for i in range(5):
        wg.go(body, i)
    wg.wait()
    assert won.load() == 1
    assert m.load(Key(m)) == (100, True)


def test_map_values_may_use_it_as_they_die():
    m, seen = sync.Map(), []

    class Value:
        def __del__(self):
            seen.append(m.load("other"))
            m.store("dead", True)

    m.store("other", 1)
    for drop in (
        lambda: m.store("k", 2),
        lambda: m.swap("k", 2),
        lambda: m.delete("k"),
        lambda: m.load_and_delete("k"),
        m.clear,
    ):
        m.store("k", Value())
        drop()
        gc.collect()
    assert len(seen) == 5
