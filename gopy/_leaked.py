"""runtime.leaked(): goroutines that nothing reachable can wake, as of Go 1.26's profile of goroutine leaks.

As the collector does, this counts for every object that it knows of how many of its references come from
other such objects. One with more references than that is held from somewhere else (a running frame, a thread,
a C library), so it is alive, and so is all that it refers to. Parked goroutines that are looked at do not
count as somewhere else, but what such a goroutine refers to is alive as soon as one of the things that it
waits for is. What is left in the end is leaked. A reference that is not accounted for makes an object alive,
and so does a weak one that is reachable: so goroutines may be missed, and none is accused wrongly.

Looked at are goroutines without a timeout in a channel, select, Mutex, RWMutex, WaitGroup, Cond, Once or
join. A stackful one's Python frames are accounted for (pyparked.c); what only its C stack has is not.
"""

import gc
import sys
from array import array
from types import CodeType

from gopy import _core
from gopy._core import Goroutine

if sys.version_info < (3, 14):
    from gopy._depths import enters, owned
else:

    def owned(code: CodeType, offset: int, newest: bool) -> int:
        raise AssertionError("frames say how deep their stacks are")

    enters = owned


class _Parked:
    """A goroutine that waits; addresses of what it refers to, counted or not, and of what it waits for."""

    def __init__(self, goroutine: Goroutine, held: list[int], loose: list[int], waits: list[int]) -> None:
        self.goroutine = goroutine
        self.held, self.loose, self.waits = held, loose, waits
        self.enters = False  # it waits in the beginning of a `with`, whose methods only C has


def _words(data: bytes) -> list[int]:
    return array("Q", data).tolist()


def _add_stacks(parked: _Parked, calls: list[int], codes: list[CodeType]) -> None:
    """What the stacks refer to whose depth is not known, as far as it is certain."""
    at = 0
    while at < len(calls):
        newest, offset, size = calls[at + 1 : at + 4]
        code = codes.pop(0)
        count = min(owned(code, offset, bool(newest)), size)
        parked.held += [slot for slot in calls[at + 4 : at + 4 + count] if slot]
        parked.enters |= bool(newest) and enters(code, offset)
        at += 4 + size


class _Heap:
    """What refers to what, as it was at one moment. Nodes are known by their index."""

    def __init__(self, goroutines: list[Goroutine]) -> None:
        nodes, edges, excess, parked, held, loose, calls, waits, bound, codes, own = _core.heap(goroutines)
        flat = _words(nodes)
        self.references = [count - own for count in flat[1::3]]
        self.index = {address: i for i, address in enumerate(flat[::3])}
        waited = _words(waits)
        for address, references in zip(waited[::2], waited[1::2], strict=True):
            if address not in self.index:  # the collector does not know it
                self.index[address] = len(self.references)
                self.references.append(references)
        self.parked = self._parked(goroutines, _words(parked), held, loose, calls, waited[::2], codes)
        self._connect(flat[2::3], _words(edges))
        for i in self.of(_words(excess)):
            self.counts[i] -= 1
        for each in self.parked:
            for i in self.of(each.held):
                self.counts[i] += 1
        if any(each.enters for each in self.parked):
            self._add_methods(_words(bound))

    def _parked(
        self,
        goroutines: list[Goroutine],
        parked: list[int],
        held: bytes,
        loose: bytes,
        calls: bytes,
        waits: list[int],
        codes: list[CodeType],
    ) -> list[_Parked]:
        all_held, all_loose, all_calls = _words(held), _words(loose), _words(calls)
        found = []
        h = s = c = w = 0
        for at in range(0, len(parked), 5):
            i, held_end, loose_end, calls_end, waits_end = parked[at : at + 5]
            each = _Parked(
                goroutines[i], all_held[h:held_end], all_loose[s:loose_end], waits[w : waits_end // 2]
            )
            _add_stacks(each, all_calls[c:calls_end], codes)
            found.append(each)
            h, s, c, w = held_end, loose_end, calls_end, waits_end // 2
        return found

    def _connect(self, ends: list[int], edges: list[int]) -> None:
        """How many references to each node come from nodes, and what each refers to."""
        self.counts = [0] * len(self.references)
        self.referents: list[list[int]] = []
        start = 0
        for end in ends:
            found = self.of(edges[start:end])
            start = end
            for i in found:
                self.counts[i] += 1
            self.referents.append(found)
        self.referents += [[] for _ in range(len(self.references) - len(ends))]

    def _add_methods(self, bound: list[int]) -> None:
        """Each `with` that waits for a lock has an __enter__ and an __exit__ of the lock's, to which nobody
        else refers. Which are whose does not matter: if there are more, the others make the lock alive.
        """
        free: dict[tuple[int, int], list[int]] = {}
        for address, lock, exits in zip(bound[::3], bound[1::3], bound[2::3], strict=True):
            i = self.index[address]
            if self.references[i] == 1 and self.counts[i] == 0:
                free.setdefault((lock, exits), []).append(address)
        for each in self.parked:
            for exits in (0, 1) if each.enters else ():
                methods = free.get((each.waits[0], exits))
                if methods:
                    each.held.append(methods.pop())
                    self.counts[self.index[each.held[-1]]] += 1

    def of(self, addresses: list[int]) -> list[int]:
        index = self.index
        return [index[address] for address in addresses if address in index]

    def reach(self, alive: bytearray, found: list[int]) -> None:
        while found:
            i = found.pop()
            if not alive[i]:
                alive[i] = 1
                found += self.referents[i]


def _look(goroutines: list[Goroutine]) -> list[Goroutine]:
    heap = _Heap(goroutines)
    alive = bytearray(len(heap.references))
    # More references than there are, too, say that something is not accounted for.
    roots = [i for i, count in enumerate(heap.counts) if heap.references[i] != count]
    heap.reach(alive, roots)
    others = {id(goroutine) for goroutine in goroutines}
    left = heap.parked
    while True:
        lost = {id(each.goroutine) for each in left}

        def wakes(address: int, lost: set[int] = lost) -> bool:
            if address in others:  # a join
                return address not in lost
            return bool(alive[heap.index[address]])

        still = []
        for each in left:
            if any(wakes(address) for address in each.waits):
                heap.reach(alive, heap.of(each.held + each.loose))
            else:
                still.append(each)
        if len(still) == len(left):
            return [each.goroutine for each in still]
        left = still


def leaked() -> list[Goroutine]:
    """The goroutines that are parked for ever: nothing that is reachable can wake them.

    Those that wait for a timer, a descriptor or a thread are none. A goroutine may be missed, but none is
    accused wrongly: what a C function that is under way refers to counts as reachable, for example. Looks at
    every object that the collector knows: a second for a million of them. Never parks.
    """
    _core.preempt_point()
    gc.collect()  # what is garbage may know how to wake somebody
    return _look(_core.goroutines())
