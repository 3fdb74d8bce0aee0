"""A program whose library is patched, by gopy.monkey or gevent: how it starts what runs at once."""

from collections.abc import Callable
from typing import Any

Run = Callable[[Callable[[int], Any], int], None]  # fn(0) ... fn(n - 1), all at once; back when all are over


def _gopy() -> Run:
    from gopy import monkey

    monkey.patch_all()
    from gopy.sync import WaitGroup

    def run(fn: Callable[[int], Any], n: int) -> None:
        wg = WaitGroup()
        for i in range(n):
            wg.go(fn, i)
        wg.wait()

    return run


def _gevent() -> Run:
    from gevent import monkey

    monkey.patch_all()
    import gevent

    def run(fn: Callable[[int], Any], n: int) -> None:
        gevent.joinall([gevent.spawn(fn, i) for i in range(n)])

    return run


def _threads() -> Run:
    import threading

    def run(fn: Callable[[int], Any], n: int) -> None:
        threads = [threading.Thread(target=fn, args=(i,)) for i in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return run


_PROGRAMS = {"gopy": _gopy, "gevent": _gevent, "threads": _threads}


def patched(peer: str) -> Run:
    """Patch this program, unless it is to use plain threads."""
    return _PROGRAMS[peer]()
