"""The two ways to have a function run beside the test: as a goroutine, and on a thread that gopy does not run."""

import threading

import pytest

from gopy import go


def in_thread(fn, *args):
    """Start fn(*args) on a plain thread."""
    thread = threading.Thread(target=fn, args=args)
    thread.start()
    return thread


STARTERS = pytest.mark.parametrize("start", [go, in_thread])
