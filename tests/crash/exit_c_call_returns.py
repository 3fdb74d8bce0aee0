"""A C call that returns while the interpreter is being finalized neither crashes nor says a word.

exit: 7
"""

import atexit
import sys
import time

atexit.register(time.sleep, 0.1)  # registered before gopy's own: runs after it

from gopy import go  # noqa: E402

started = []


class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(0.1)


def stuck(phase):
    started.append(phase)
    time.sleep(0.001 * phase)
    while True:
        time.sleep(0.02)


slow = Slow()  # module globals go late
for i in range(5):
    go(stuck, i)
    while len(started) <= i:
        time.sleep(0.001)  # blocks this thread, so that it starts on another
time.sleep(0.05)
sys.exit(7)
