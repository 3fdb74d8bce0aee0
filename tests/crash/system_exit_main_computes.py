"""sys.exit in a goroutine ends the program also while the main goroutine computes.

exit: 4
within: 10
"""

import sys
import time

from gopy import go


def leave():
    time.sleep(0.2)
    sys.exit(4)


go(leave)
time.sleep(0.1)  # a blocked thread: leave starts on another one
while True:
    pass
