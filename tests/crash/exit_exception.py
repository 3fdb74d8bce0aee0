r"""An exception in main ends the program as it always does; what is parked adds nothing to it.

exit: 1
stdout: main's finally
stderr: Traceback \(most recent call last\):\n  File .*\n.*\n(.*\n)?ValueError: main's own\n\Z
"""

from gopy import Chan, go, runtime


class Noisy:
    def __del__(self):
        pass


def parked(ch):
    noisy = Noisy()
    try:
        ch.recv()
    finally:
        del noisy


for _ in range(100):
    go(parked, Chan())
runtime.gosched()
try:
    raise ValueError("main's own")
finally:
    print("main's finally")
