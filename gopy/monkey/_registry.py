"""What has been patched, and what stood there before.

Two ways: what is written in C is replaced by name, a Python class gets other methods in place, so that its
subclasses, its instances and earlier references to it are served, too. A name that CPython does not have is
an ImportError: the alarm that a version of it is not known.
"""

import importlib.util
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

parts: set[str] = set()  # the flags of patch_all() whose part is patched
_originals: dict[str, Any] = {}  # by "module.name" or "module.Class.name"
_replaced: dict[int, tuple[Any, Any]] = {}  # by id(original): what late references are to be replaced by
_in_place: set[str] = set()  # "module.Class"
_pristine: dict[str, ModuleType] = {}


def _get(owner: Any, name: str, full: str) -> Any:
    try:
        return vars(owner)[name]
    except KeyError:
        raise ImportError(f"gopy.monkey does not know this version of Python: it has no {full}") from None


def replace(module: Any, name: str, new: Any, *, everywhere: bool = True) -> Any:
    """Let module.name be new; what it was. `everywhere`: other references to it are looked for, too."""
    full = f"{module.__name__}.{name}"
    was = _get(module, name, full)
    if full in _originals:
        return _originals[full]
    _originals[full] = was
    if everywhere:
        _replaced[id(was)] = (was, new)
    setattr(module, name, new)
    return was


def replace_method(cls: Any, name: str, make: Callable[[Any], Any], *, inherited: bool = False) -> Any:
    """Let cls.name be make(what it was); what it was. `inherited`: it may be a base class's, which is left
    alone.
    """
    full = f"{cls.__module__}.{cls.__qualname__}.{name}"
    if full in _originals:
        return _originals[full]
    was = getattr(cls, name) if inherited and name not in vars(cls) else _get(cls, name, full)
    _originals[full] = was
    _in_place.add(f"{cls.__module__}.{cls.__qualname__}")
    new = make(was)
    for attribute in ("__doc__", "__name__", "__qualname__", "__module__"):
        try:
            setattr(new, attribute, getattr(was, attribute))
        except (AttributeError, TypeError):
            pass
    setattr(cls, name, new)
    return was


def given(method: Any, original: Any) -> Any:
    """For replace_method(): one that does not need the original."""
    return method


def replaced() -> list[tuple[Any, Any]]:
    """(original, new) of all that is replaced by name."""
    return list(_replaced.values())


def is_patched(name: str) -> bool:
    """Whether a part ("socket") or one object of the standard library ("threading.Lock") is patched."""
    return name in parts or name in _originals or name in _in_place


def _copy_of(module: str) -> ModuleType:
    """The module as it is in its file, run once more, for itself."""
    if module not in _pristine:
        spec = importlib.util.find_spec(module)
        if spec is None or spec.loader is None:
            raise LookupError(f"there is no module {module!r} to look into")
        copy = importlib.util.module_from_spec(spec)
        register = os.register_at_fork
        os.register_at_fork = lambda **hooks: None  # what it is told of is in the copy only
        try:
            spec.loader.exec_module(copy)
        finally:
            os.register_at_fork = register
        _pristine[module] = copy
    return _pristine[module]


def original(module: str, name: str) -> Any:
    """What module.name was before it was patched, or what it is if it is not.

    Of a class that is patched in place: the same class of a copy of its module, which has nothing to do with
    the real one's instances. LookupError if there is no such name.
    """
    full = f"{module}.{name}"
    if full in _originals:
        return _originals[full]
    owner: Any = _copy_of(module) if full in _in_place else sys.modules.get(module) or _import(module)
    for each in name.split("."):
        try:
            owner = getattr(owner, each)
        except AttributeError:
            raise LookupError(f"module {module!r} has no {name!r}") from None
    return owner


def _import(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise LookupError(f"there is no module {module!r}") from None
