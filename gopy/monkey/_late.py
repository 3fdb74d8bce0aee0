"""Patched late: what was imported before refers to the originals, and has made locks. All that can be
reached is replaced.

Locks and functions of C are known to the collector, and so is who refers to them: dicts (of modules,
classes, instances), lists, instances, cells of closures, default arguments. A lock is exchanged only while
nobody has it.
"""

import gc
import importlib
import sys
import threading
import types
import warnings
from typing import Any

from gopy import _core
from gopy.monkey import _registry

_CURE = (
    "patch earlier: call gopy.monkey.patch_all() before other imports, or run the program by `python -m gopy`"
)


def _class_of(namespace: dict[Any, Any]) -> type | None:
    """The class whose namespace it is, if any: that remembers what it has found there."""
    if "__module__" not in namespace or "__doc__" not in namespace:
        return None
    return next((each for each in gc.get_referrers(namespace) if isinstance(each, type)), None)


def _set(owner: type | None, namespace: dict[Any, Any], key: Any, value: Any, new: Any) -> None:
    if owner is None:
        namespace[key] = new
    elif hasattr(value, "__get__") or not hasattr(new, "__get__"):
        setattr(owner, key, new)
    else:  # C's function is no method of the class's instances, a Python function would be
        setattr(owner, key, staticmethod(new))


def _exchange_in(holder: Any, new_of: dict[int, Any]) -> bool:
    """Replace in holder what new_of has, by id. Whether holder is of a kind that can be written to."""
    if isinstance(holder, dict):
        owner = _class_of(holder)
        for key, value in list(holder.items()):
            if id(value) in new_of:
                _set(owner, holder, key, value, new_of[id(value)])
    elif isinstance(holder, list):
        holder[:] = [new_of.get(id(value), value) for value in holder]
    elif isinstance(holder, types.CellType):
        if id(holder.cell_contents) in new_of:
            holder.cell_contents = new_of[id(holder.cell_contents)]
    else:
        return _exchange_attributes(holder, new_of)
    return True


def _exchange_attributes(holder: Any, new_of: dict[int, Any]) -> bool:
    if isinstance(
        holder, (types.FrameType, types.ModuleType, tuple, types.BuiltinMethodType, types.MethodType)
    ):
        return False
    slots = [
        slot for cls in type(holder).__mro__ for slot in vars(cls) if slot in vars(cls).get("__slots__", ())
    ]
    done = False
    for name in [*getattr(holder, "__dict__", ()), *slots]:
        try:
            value = object.__getattribute__(holder, name)
            if id(value) in new_of:
                object.__setattr__(holder, name, new_of[id(value)])
                done = True
        except (AttributeError, TypeError):
            continue
    return done


def _exchange_defaults(tuples: list[tuple[Any, ...]], new_of: dict[int, Any]) -> None:
    """Those of functions, which are tuples."""
    for function in gc.get_referrers(*tuples):
        if type(function) is types.FunctionType and function.__defaults__:
            function.__defaults__ = tuple(new_of.get(id(value), value) for value in function.__defaults__)


def _exchange(pairs: list[tuple[Any, Any]], ours: set[int]) -> None:
    """Replace each first by its second wherever it is referred to."""
    new_of = {id(old): new for old, new in pairs}
    tuples = []
    mine = {id(pairs), id(new_of), *ours, *(id(pair) for pair in pairs)}
    for holder in gc.get_referrers(*(old for old, _ in pairs)):
        if id(holder) in mine:
            continue
        if type(holder) is tuple:
            tuples.append(holder)
        else:
            _exchange_in(holder, new_of)
    if tuples:
        _exchange_defaults(tuples, new_of)


def _references() -> None:
    pairs = _registry.replaced()
    keep = {id(_registry._originals), id(_registry._replaced)}
    keep.update(id(pair) for pair in _registry._replaced.values())
    for _, new in pairs:  # a patched function knows what it stands for
        keep.update(id(cell) for cell in getattr(new, "__closure__", None) or ())
        keep.add(id(getattr(new, "__dict__", None)))
    keep.update(
        id(vars(module)) for name, module in list(sys.modules.items()) if f"{name}.".startswith("gopy.")
    )
    _exchange(pairs, keep)


def _locks(objects: "_Objects") -> list[str]:
    """Exchange the locks that nobody has. -> what could not be exchanged"""
    pairs, left = [], []
    for kind, new in ((objects.lock, _core.Lock), (objects.rlock, _core.RLock)):
        for lock in objects.of(kind):
            if _is_free(lock):
                pairs.append((lock, new()))
            else:
                left.append(lock)
    if pairs:
        _exchange(pairs, {id(left), *(id(found) for found in objects.found.values())})
        _renew_conditions(objects, {id(new) for _, new in pairs})
    return [f"a lock that is held ({lock!r})" for lock in left if not _is_a_thread_s(lock)]


def _simple_queues(objects: "_Objects") -> list[str]:
    """Exchange queues, with what is in them, unless a thread may be waiting there. -> what could not be
    exchanged
    """
    pairs: list[tuple[Any, Any]] = []
    left = []
    for queue in objects.of(objects.simple_queue):
        if type(queue) is not objects.simple_queue or _other_threads():
            left.append(queue)
            continue
        new: _core.SimpleQueue[Any] = _core.SimpleQueue()
        while not queue.empty():
            new.put(queue.get_nowait())
        pairs.append((queue, new))
    if pairs:
        _exchange(pairs, {id(left), *(id(found) for found in objects.found.values())})
    return [f"a queue ({queue!r})" for queue in left]


def _other_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each is not threading.main_thread()]


def _is_free(lock: Any) -> bool:
    if not lock.acquire(False):
        return False
    try:
        return "count=" not in repr(lock) or "count=1 " in repr(lock)  # else it was this thread's already
    finally:
        lock.release()


def _is_a_thread_s(lock: Any) -> bool:
    """The lock that a thread has until it ends (up to 3.12), which stays as it is."""
    return any(getattr(thread, "_tstate_lock", None) is lock for thread in threading.enumerate())


def _renew_conditions(objects: "_Objects", new: set[int]) -> None:
    """A Condition holds methods of its lock."""
    for condition in objects.of(threading.Condition):
        if id(getattr(condition, "_lock", None)) in new and not condition._waiters:
            threading.Condition.__init__(condition, condition._lock)


class _Objects:
    """What there is of what may need repair, found in one walk over all objects that the collector knows."""

    def __init__(self) -> None:
        self.lock: type = type(_registry.original("_thread", "allocate_lock")())
        self.rlock: type = _registry.original("_thread", "RLock")
        self.simple_queue: Any = _registry.original("queue", "SimpleQueue")
        kinds = [self.lock, self.rlock, threading.Condition, self.simple_queue]
        if "socket" in sys.modules:
            kinds.append(sys.modules["socket"].socket)
        self.found: dict[type, list[Any]] = {kind: [] for kind in kinds}
        lists: dict[type, list[Any] | None] = {}
        for each in gc.get_objects():
            cls = type(each)
            try:
                found = lists[cls]
            except KeyError:
                found = lists[cls] = next((self.found[kind] for kind in kinds if kind in cls.__mro__), None)
            if found is not None:
                found.append(each)

    def of(self, kind: type) -> list[Any]:
        return self.found[kind]


def repair(category: type[Warning], added: list[str]) -> None:
    """Replace what can be, and warn of the rest, once."""
    left = []
    _references()
    objects = _Objects()
    for part, module in (("socket", "_sockets"), ("ssl", "_tls")):
        if part in _registry.parts:
            for sock in objects.of(sys.modules["socket"].socket):
                importlib.import_module(f"gopy.monkey.{module}").adopt(sock)
    if "threading" in _registry.parts:
        left += _locks(objects)
    if "queue" in added:
        left += _simple_queues(objects)
    if others := _other_threads():
        left.append(f"threads that run already ({', '.join(sorted(thread.name for thread in others))})")
    if _core.num_goroutine() > 1:
        left.append(f"{_core.num_goroutine() - 1} goroutines that run already")
    if left:
        warnings.warn(f"patched late, and not repaired: {'; '.join(left)}. {_CURE}", category, stacklevel=3)
