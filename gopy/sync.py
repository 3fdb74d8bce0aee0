"""Go's package sync: what goroutines, and threads, wait with for each other. Nothing here blocks more than the
goroutine that calls it."""

from gopy._core import Mutex, Once, WaitGroup

__all__ = ["Mutex", "Once", "WaitGroup"]
