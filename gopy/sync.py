"""Go's package sync: what goroutines and threads wait with for each other. A wait blocks the goroutine
that calls, or the thread if it is one that gopy does not run."""

from gopy._core import Mutex, Once, WaitGroup

__all__ = ["Mutex", "Once", "WaitGroup"]
