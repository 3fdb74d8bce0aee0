"""gopy: goroutines, channels and select for Python.  `from gopy import go, Chan, select`

The package is a thin layer over one C extension, gopy._core, which holds the scheduler, goroutines, channels
and select. What is composed from those is Python: one module for each of Go's packages (runtime, time, ...).
"""

import importlib
from typing import TYPE_CHECKING, Any

from gopy import _subinterpreters

_subinterpreters.refuse()

from gopy import _core

if _core.lib.gopy_init() != 0:
    raise ImportError("gopy._core could not be initialised")

from gopy import (
    _free_threading,
    _import,
    _panic,
    _preempt,
    atomic,
    context,
    errgroup,
    runtime,
    semaphore,
    signal,
    singleflight,
    sync,
    time,
)
from gopy._core import (
    Chan,
    Default,
    Goroutine,
    RecvCase,
    RecvChan,
    SendCase,
    SendChan,
    ablocking,
    aselect,
    blocking,
    default,
    go,
    nilchan,
    recv,
    select,
    send,
)
from gopy._defer import Defer, deferring, panic
from gopy._panic import ClosedChannelError, Deadlock, GoroutinePanic, Panic

if TYPE_CHECKING:
    from gopy import debug as debug
    from gopy import http as http
    from gopy import net as net
    from gopy import testing as testing
    from gopy import trace as trace

_free_threading.start()
_panic._start(runtime._gomaxprocs_at_start())
_import.start()
_core.limit_blocking(runtime._max_blocking_at_start())
runtime._choose_netpoller()
_preempt.at_start()
runtime._dump_at_start()


def __getattr__(name: str) -> Any:
    if name in ("debug", "http", "net", "testing", "trace"):  # what they import is not for every program
        return importlib.import_module(f"gopy.{name}")
    raise AttributeError(f"module 'gopy' has no attribute {name!r}")


__version__ = "0.1.0"

__all__ = [
    "Chan",
    "ClosedChannelError",
    "Deadlock",
    "Default",
    "Defer",
    "Goroutine",
    "GoroutinePanic",
    "Panic",
    "RecvCase",
    "RecvChan",
    "SendCase",
    "SendChan",
    "ablocking",
    "aselect",
    "atomic",
    "blocking",
    "context",
    "default",
    "deferring",
    "errgroup",
    "go",
    "net",
    "nilchan",
    "panic",
    "recv",
    "runtime",
    "select",
    "semaphore",
    "send",
    "signal",
    "singleflight",
    "sync",
    "time",
]
