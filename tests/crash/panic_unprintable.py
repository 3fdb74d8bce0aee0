r"""A panic whose str() raises ends the program like any other.

exit: 1
stderr: panic in goroutine 2 \[boom\]:
stderr: Unprintable
stderr: GoroutinePanic: goroutine 2 \[boom\]
"""

from gopy import Chan, go


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def boom():
    raise Unprintable


go(boom)
Chan().recv()
