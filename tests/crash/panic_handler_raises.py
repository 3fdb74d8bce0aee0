r"""An exception in the panic handler is a panic too, and what it handled is shown as its context.

exit: 1
stderr: ValueError: first
stderr: During handling
stderr: ZeroDivisionError
stderr: GoroutinePanic: goroutine 2 \[boom\]: ZeroDivisionError
"""

from gopy import Chan, go, runtime


def boom():
    raise ValueError("first")


runtime.set_panic_handler(lambda goroutine, exc: 1 / 0)
go(boom)
Chan().recv()
