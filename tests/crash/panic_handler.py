r"""A panic handler is called in the goroutine that panicked; True recovers, False ends the program.

exit: 1
stdout: handler: first ValueError same goroutine
stdout: after the first
stdout: handler: second TypeError same goroutine
stderr: panic in goroutine 3 \[second\]:
stderr: TypeError: two
stderr: GoroutinePanic: goroutine 3 \[second\]: TypeError: two\n\Z
"""

from gopy import Chan, go, runtime


def handler(goroutine, exc):
    here = "same goroutine" if runtime.current() is goroutine else "another one"
    print("handler:", goroutine.name, type(exc).__name__, here)
    return isinstance(exc, ValueError)


def first():
    raise ValueError("one")


def second():
    raise TypeError("two")


assert runtime.set_panic_handler(handler) is None
go(first).join()
print("after the first")
go(second)
Chan().recv()
