"""gopy.monkey: the standard library, and so what is built on it, parks goroutines instead of their threads.

    from gopy import monkey
    monkey.patch_all()          # before anything else is imported; or run the program by `python -m gopy`

What blocks is patched, what runs is not: a threading.Thread stays a thread. Outside goroutines nothing
changes. docs/monkey.md says what is patched, what is not, and what to do there.
"""

import importlib
import os as _os_module
from typing import Any

from gopy import _preempt
from gopy._arguments import check_bool
from gopy.monkey import _registry

__all__ = ["PatchWarning", "is_patched", "original", "patch_all"]


class PatchWarning(RuntimeWarning):
    """The program was patched late, and this could not be repaired."""


def is_patched(name: str) -> bool:
    """Whether a part of patch_all() ("socket") or an object of the standard library ("threading.Lock") is
    patched.
    """
    if not isinstance(name, str):
        raise TypeError(f"`name` must be a str, got {type(name).__name__}")
    return _registry.is_patched(name)


def original(module: str, name: str) -> object:
    """What module.name was before it was patched; what it is, if it is not patched.

    Of a class that is patched in place, as socket.socket and threading.Thread are, the one of a pristine
    copy of its module. LookupError: there is no such name.
    """
    for argument, value in (("module", module), ("name", name)):
        if not isinstance(value, str):
            raise TypeError(f"`{argument}` must be a str, got {type(value).__name__}")
    return _registry.original(module, name)


_MODULES = {  # of each part: what patches it, imported when it is wanted; in this order
    "time": "_sleep",
    "threading": "_threads",
    "queue": "_queues",
    "socket": "_sockets",
    "dns": "_names",
    "select": "_polling",
    "os": "_descriptors",
    "subprocess": "_children",
    "ssl": "_tls",
    "clients": "_clients",
}
_NEEDS = {"ssl": "socket", "queue": "threading", "subprocess": "threading"}


def _check(flags: dict[str, Any]) -> None:
    for name, value in flags.items():
        check_bool(name, value)
    for name, needed in _NEEDS.items():
        if flags.get(name) and not (flags[needed] or needed in _registry.parts):
            raise ValueError(
                f"`{name}` needs `{needed}`: leave both alone ({name}=False, --no-{name}), or neither"
            )


def patch_all(
    *,
    socket: bool = True,
    ssl: bool = True,
    time: bool = True,
    select: bool = True,
    threading: bool = True,
    queue: bool = True,
    subprocess: bool = True,
    dns: bool = True,
    os: bool = True,
    clients: bool = True,
) -> None:
    """Make the blocking calls of the standard library park the goroutine that makes them.

    To be called on the main thread, before anything else is imported. It starts no thread, and there is no
    way back. A flag that is False leaves that part alone; another call adds parts and takes none away.

    What has been imported before is repaired: references to what was replaced are replaced, unlocked locks
    exchanged. What could not be repaired is named by one PatchWarning. ValueError: a flag without one that
    it needs. RuntimeError: not on the main thread, and there is something left to patch.
    """
    flags = {
        "socket": socket, "ssl": ssl, "time": time, "select": select, "threading": threading, "queue": queue,
        "subprocess": subprocess, "dns": dns, "os": os, "clients": clients,
    }  # fmt: skip
    _check(flags)
    added = [name for name in _MODULES if flags[name] and name not in _registry.parts]
    if added and not _preempt.on_main_thread():
        raise RuntimeError(
            "patch_all() must be called on the main thread, before others are started: python -m gopy"
        )
    for name in added:
        importlib.import_module(f"gopy.monkey.{_MODULES[name]}").patch()
        _registry.parts.add(name)
    if "threading" in added and _os_module.environ.get("GOPY_PREEMPT", "") == "":
        _preempt.preempt(0.01)  # locks belong to goroutines from here on, so a switch may come anywhere
    if added:
        from gopy.monkey import _late

        _late.repair(PatchWarning, added)
