"""Package sync: Once, once_func, once_value."""

import pytest
from starters import STARTERS

from gopy import Chan, go, sync


@STARTERS
def test_once_waits_for_the_first_call(start, until):
    once, gate, order = sync.Once(), Chan(), []

    def fn():
        order.append("begin")
        gate.recv()
        order.append("end")

    def second():
        once.do(fn)
        order.append("second")

    first = go(once.do, fn)
    until(lambda: order == ["begin"])
    others = [start(second) for _ in range(3)]
    if start is go:
        until(lambda: all(g.state == "sync.Mutex.Lock" for g in others))
    assert order == ["begin"]
    gate.close()
    for g in [first, *others]:
        g.join()
    assert order == ["begin", "end"] + ["second"] * 3


def test_once_exception_is_the_first_callers(in_goroutine):
    once = sync.Once()

    def fail():
        raise KeyError("x")

    with pytest.raises(KeyError):
        once.do(fail)
    assert once.do(fail) is None
    assert in_goroutine(once.do, fail) is None
    with pytest.raises(TypeError, match="`fn` must be callable, got int"):
        once.do(3)


@pytest.mark.parametrize("maker", [sync.once_func, sync.once_value])
def test_once_makers_keep_the_name(maker):
    def named():
        """Its docstring."""

    wrapped = maker(named)
    assert wrapped.__name__ == "named"
    assert wrapped.__doc__ == "Its docstring."
    with pytest.raises(TypeError, match="`fn` must be callable, got int"):
        maker(3)


def test_once_value_of_many(until):
    gate, calls = Chan(), []

    @sync.once_value
    def value():
        calls.append(1)
        gate.recv()
        return object()

    results = Chan(10)
    gs = [go(lambda: results.send(value())) for _ in range(10)]
    until(lambda: sum(g.state == "sync.Mutex.Lock" for g in gs) == 9)
    gate.close()
    assert len({id(results.recv()) for _ in range(10)}) == 1
    assert calls == [1]
