"""Looking into a running program: profiles, pages, and who hogs a thread.

Go's runtime/pprof, net/http/pprof and its SIGQUIT dump; `python -m gopy ps|stacks|profile|trace PID` ask the
same from outside. docs/debugging.md finds a hang, a leak, a slow server and a hog with them.
"""

from typing import TYPE_CHECKING

from gopy.debug._hogs import hogs
from gopy.debug._profile import cpu_profile, goroutine_profile
from gopy.debug._waits import block_profile, mutex_profile
from gopy.runtime import leaked

if TYPE_CHECKING:
    from gopy.debug._serve import serve as serve

__all__ = ["block_profile", "cpu_profile", "goroutine_profile", "hogs", "leaked", "mutex_profile", "serve"]


def __getattr__(name: str) -> object:
    if name == "serve":  # it needs gopy.http, which is not for every program
        from gopy.debug._serve import serve

        return serve
    raise AttributeError(f"module 'gopy.debug' has no attribute {name!r}")
