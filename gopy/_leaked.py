"""runtime.leaked(): goroutines that nothing reachable can wake, as of Go 1.26's profile of goroutine leaks.

As the collector does, this counts for every object that it knows of how many of its references come from
other such objects. One with more references than that is held from somewhere else (a running frame, a thread,
a C library), so it is alive, and so is all that it refers to. Parked goroutines that are looked at do not
count as somewhere else, but what such a goroutine refers to is alive as soon as one of the things that it
waits for is. What is left in the end is leaked. A reference that is not accounted for makes an object alive:
so goroutines may be missed, and none is accused wrongly.

Looked at are stackless goroutines, between two steps and without a timeout, in a channel, select, Mutex,
RWMutex, WaitGroup, Cond or Once. A stackful one has references on its C stack, which nobody can count.
Without a GIL other threads change what is counted meanwhile, so nothing is looked at there.
"""

import gc
import sys
from typing import Any

from gopy import _core
from gopy._core import Goroutine


class _Heap:
    """All that the collector knows of, and what else is waited for."""

    def __init__(self, waited_for: list[Any]) -> None:
        self.nodes: list[Any] = gc.get_objects()
        self.index = {id(node): i for i, node in enumerate(self.nodes)}
        for each in waited_for:
            if id(each) not in self.index:
                self.index[id(each)] = len(self.nodes)
                self.nodes.append(each)
        # Only the list of nodes is to refer to them: a reference too many hides one of others.
        waited_for.clear()
        self.nodes.append([])  # which nothing else refers to
        self.referents: list[list[int]] = []
        index = self.index
        for node in self.nodes:
            found = [index[id(each)] for each in gc.get_referents(node) if id(each) in index]
            self.referents.append(found)

    def count(self) -> list[int]:
        """How many references to each node come from nodes."""
        counts = [0] * len(self.nodes)
        for found in self.referents:
            for i in found:
                counts[i] += 1
        return counts


def _reach(referents: list[list[int]], alive: bytearray, found: list[int]) -> None:
    while found:
        i = found.pop()
        if not alive[i]:
            alive[i] = 1
            found += referents[i]


def _look() -> list[Goroutine]:
    parked: list[tuple[Goroutine, list[int], list[int]]] = []
    waited_for: list[Any] = []
    for goroutine in _core.goroutines():
        known = _core.parked_on(goroutine)
        if known is not None:
            parked.append((goroutine, known[0], [id(each) for each in known[1]]))
            waited_for += known[1]
        del known
    if not parked:
        return []
    heap = _Heap(waited_for)
    counts = heap.count()
    index, nodes, referents = heap.index, heap.nodes, heap.referents
    for _, held, _ in parked:
        for address in held:
            if address in index:
                counts[index[address]] += 1
    base = sys.getrefcount(nodes[-1])
    alive = bytearray(len(nodes))
    roots = [i for i in range(len(nodes)) if sys.getrefcount(nodes[i]) - base > counts[i]]
    _reach(referents, alive, roots)
    left = parked
    while True:
        still = []
        for entry in left:
            _, held, waits = entry
            if any(alive[index[address]] for address in waits):
                _reach(referents, alive, [index[address] for address in held if address in index])
            else:
                still.append(entry)
        if len(still) == len(left):
            return [goroutine for goroutine, _, _ in still]
        left = still


def leaked() -> list[Goroutine]:
    """The goroutines that are parked for ever: nothing that is reachable can wake them.

    Those that wait for a timer, a descriptor or a thread are none. It sees only stackless goroutines (`async
    def` and generator functions) that wait for channels, select and what gopy.sync has, and with a GIL only:
    a goroutine may be missed, but none is accused wrongly. Looks at every object that the collector knows: a
    second for a million of them.
    """
    _core.preempt_point()
    interval, enabled = sys.getswitchinterval(), gc.isenabled()
    gc.collect()
    gc.disable()
    sys.setswitchinterval(1000)  # other threads stay where they are meanwhile
    try:
        return _look()
    finally:
        sys.setswitchinterval(interval)
        if enabled:
            gc.enable()
