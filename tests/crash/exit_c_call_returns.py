"""A C call that returns while the interpreter is being finalized neither crashes nor says a word.

exit: 7
within: 10
"""

import atexit
import sys
import time

atexit.register(time.sleep, 0.1)  # registered before gopy's own: runs after it

from gopy import Chan, go  # noqa: E402

started = Chan(20)


class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(0.1)


def stuck(seconds):
    started.send(None)
    time.sleep(seconds)
    started.send(None, timeout=1)
    raise ValueError("too late to matter")


slow = Slow()  # module globals go last of all
go(stuck, 0.35)
time.sleep(0.05)
go(stuck, 0.35)
time.sleep(0.05)
go(stuck, 0.40)
for _ in range(3):
    started.recv()
time.sleep(0.05)
sys.exit(7)
