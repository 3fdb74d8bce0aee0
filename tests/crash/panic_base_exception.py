r"""Any exception type is a panic, BaseException too.

exit: 1
stderr: panic in goroutine 2 \[boom\]:
stderr: GoroutinePanic: goroutine 2 \[boom\]: Odd: strange
"""

from gopy import Chan, go


class Odd(BaseException):
    pass


def boom():
    raise Odd("strange")


go(boom)
Chan().recv()
