"""Ports of Go's tests of package sync/atomic: src/sync/atomic/{value,atomic}_test.go."""

import pytest

from gopy import Panic, atomic, runtime, sync


def test_value():
    """sync/atomic/value_test.go, TestValue"""
    v = atomic.Value()
    assert v.load() is None
    v.store(42)
    assert v.load() == 42
    v.store(84)
    assert v.load() == 84


def test_value_panic():
    """sync/atomic/value_test.go, TestValuePanic"""
    v = atomic.Value()
    nil = "^sync/atomic: store of nil value into Value$"
    inconsistent = "^sync/atomic: store of inconsistently typed value into Value$"
    with pytest.raises(Panic, match=nil):
        v.store(None)
    v.store(42)
    with pytest.raises(Panic, match=inconsistent):
        v.store("foo")
    with pytest.raises(Panic, match=nil):
        v.store(None)
    assert v.load() == 42


def test_value_swap():
    """sync/atomic/value_test.go, TestValue_Swap"""
    v = atomic.Value()
    with pytest.raises(Panic, match="^sync/atomic: swap of nil value into Value$"):
        v.swap(None)
    assert v.swap(True) is None
    with pytest.raises(Panic, match="^sync/atomic: swap of inconsistently typed value into Value$"):
        v.swap(0)
    assert v.swap(False) is True


def test_value_compare_and_swap():
    """sync/atomic/value_test.go, TestValue_CompareAndSwap"""
    v = atomic.Value()
    with pytest.raises(Panic, match="^sync/atomic: compare and swap of nil value into Value$"):
        v.compare_and_swap(None, None)
    with pytest.raises(Panic, match="^sync/atomic: compare and swap of inconsistently typed values$"):
        v.compare_and_swap(True, "")
    assert not v.compare_and_swap(True, False)
    assert v.compare_and_swap(None, True)
    assert not v.compare_and_swap(None, False)
    with pytest.raises(Panic, match="compare and swap of inconsistently typed value into Value$"):
        v.compare_and_swap(None, 1)
    assert v.compare_and_swap(True, False)
    assert v.load() is False


def test_value_swap_concurrent():
    """sync/atomic/value_test.go, TestValueSwapConcurrent"""
    v, wg, count = atomic.Value(), sync.WaitGroup(), 0
    total, each = atomic.Int64(), 100

    def body(i):
        mine = 0
        for new in range(i * each, (i + 1) * each):
            old = v.swap(new)
            mine += old if old is not None else 0
            if new % 7 == 0:
                runtime.gosched()
        total.add(mine)

    for i in range(20):
        wg.go(body, i)
    wg.wait()
    count = total.load() + v.load()
    assert count == sum(range(20 * each))


def test_value_compare_and_swap_concurrent():
    """sync/atomic/value_test.go, TestValueCompareAndSwapConcurrent"""
    small = list(range(1001))
    w, wg = atomic.Value(), sync.WaitGroup()
    w.store(small[0])

    def body(i):
        for j in range(i, 1000, 10):
            while not w.compare_and_swap(small[j], small[j + 1]):
                runtime.gosched()

    for i in range(10):
        wg.go(body, i)
    wg.wait()
    assert w.load() == 1000


BITS = {atomic.Int32: 32, atomic.Uint32: 32, atomic.Int64: 64, atomic.Uint64: 64}


@pytest.mark.parametrize("kind", BITS)
def test_add(kind):
    """sync/atomic/atomic_test.go, TestAddInt32Method and its like"""
    x, j, delta = kind(), 0, 1
    while delta < 1 << (BITS[kind] - 1):
        j += delta
        assert x.add(delta) == x.load() == j
        delta += delta


@pytest.mark.parametrize("kind", BITS)
def test_and_or(kind):
    """sync/atomic/atomic_test.go, TestAndInt32Method, TestOrInt32Method and their like"""
    top = BITS[kind] - (1 if kind in (atomic.Int32, atomic.Int64) else 0)
    full = (1 << top) - 1
    x, j = kind(full), full
    for mask in (1 << i for i in range(top)):
        assert x.and_(full ^ mask) == j
        j &= full ^ mask
        assert x.load() == j
    for mask in (1 << i for i in range(top)):
        assert x.or_(mask) == j
        j |= mask
        assert x.load() == j


@pytest.mark.parametrize("kind", BITS)
def test_compare_and_swap(kind):
    """sync/atomic/atomic_test.go, TestCompareAndSwapInt32Method and its like"""
    x, val = kind(), 1
    while val + val < 1 << (BITS[kind] - 1):
        x.store(val)
        assert x.compare_and_swap(val, val + 1)
        assert x.load() == val + 1
        assert not x.compare_and_swap(val, val + 2)
        assert x.load() == val + 1
        val += val


@pytest.mark.parametrize("kind", BITS)
def test_hammer(kind):
    """sync/atomic/atomic_test.go, TestHammer32 and TestHammer64: nothing is lost, over threads too."""
    n, p = 2000, 4
    added, swapped, wg = kind(), kind(), sync.WaitGroup()

    def hammer():
        for _ in range(n):
            added.add(1)
            while True:
                v = swapped.load()
                if swapped.compare_and_swap(v, v + 1):
                    break

    for _ in range(p):
        wg.go(hammer)
    wg.wait()
    assert added.load() == swapped.load() == n * p
