"""The program ends with main although goroutines compute on other threads.

exit: 8
"""

import sys
import time

from gopy import go

started = []


def compute():
    started.append(None)
    while len(started) < 2:
        time.sleep(0.001)  # blocks this thread, so that the other one starts elsewhere
    n = 0
    while True:
        n += 1


go(compute)
go(compute)
while len(started) < 2:
    time.sleep(0.001)  # blocks this thread, so that the two start on others
time.sleep(0.1)
sys.exit(8)
