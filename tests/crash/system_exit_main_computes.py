"""sys.exit in a goroutine ends the program also while the main goroutine computes.

exit: 4
"""

import sys
import time

from gopy import go

started = []


def leave():
    started.append(None)
    time.sleep(0.2)
    sys.exit(4)


go(leave)
while not started:
    time.sleep(0.001)  # blocks this thread, so that leave starts on another one
while True:
    pass
