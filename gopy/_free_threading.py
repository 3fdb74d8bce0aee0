"""What free-threaded Python needs at the start. The rest of it is C: see csrc/python/pyframes.c."""

import sys

import greenlet  # type: ignore[import-untyped,unused-ignore]

from gopy._core import FREE_THREADED

CHECKED = ((3, 13), (3, 14), (3, 15))


def start() -> None:
    """Called once, on import. With a GIL there is nothing to do."""
    if not FREE_THREADED:
        return
    # When a thread has ended, greenlet guesses from reference counts whether a reference to the thread's root
    # greenlet has been lost, and drops it then. Without a GIL counts lag behind: it drops one that is still
    # to be dropped, and the process crashes.
    greenlet.enable_optional_cleanup(False)
    version = "{}.{}".format(*sys.version_info)
    if sys.version_info[:2] not in CHECKED:  # a warning and no refusal: what is unknown may well be right
        import warnings

        warnings.warn(
            f"gopy has not been checked on free-threaded Python {version}: whether its garbage collector "
            "sees all that parked goroutines refer to is unknown; if it does not, a program may call the "
            "wrong function or crash. Python with a GIL, of any version, has no such risk.",
            RuntimeWarning,
            stacklevel=3,
        )
