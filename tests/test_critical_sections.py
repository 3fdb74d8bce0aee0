"""A goroutine that parks inside a callback of CPython's own C code, which holds locks without a GIL."""

import threading

import pytest

from gopy import Chan, go, sync


class Parks:
    """A key whose comparison parks."""

    def __init__(self, gate):
        self.gate = gate

    def __hash__(self):
        return 1

    def __eq__(self, other):
        self.gate.recv()
        return True


def sort_key(gate, target):
    target.sort(key=lambda x: gate.recv() or 0)


def dict_key(gate, target):
    target[Parks(gate)] = 2


def dict_of(gate):
    key = Parks(gate)
    return {key: 1}


@pytest.mark.parametrize(("park", "make"), [(sort_key, lambda gate: [2, 1]), (dict_key, dict_of)])
def test_others_may_use_the_object_meanwhile(until, park, make):
    """From goroutines, on whatever thread, and from plain threads: nobody waits for the one that is parked."""
    gate = Chan()
    target = make(gate)
    parked = go(park, gate, target)
    until(lambda: parked.state == "chan receive")
    use = target.copy
    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    wg = sync.WaitGroup()
    for _ in range(8):
        wg.go(use)
    wg.wait(timeout=30)
    gate.close()
    parked.join()
