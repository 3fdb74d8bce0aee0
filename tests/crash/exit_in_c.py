"""The program ends with main although other threads are stuck in C calls for long.

exit: 6
stdout: main ends
"""

import sys
import time

from gopy import go, runtime

started = []


def stuck():
    started.append(None)
    time.sleep(1000)


runtime.lock_os_thread()  # none of them is to block this thread
for _ in range(3):
    go(stuck)
while len(started) < 3:
    time.sleep(0.001)  # not gopy's: each of them keeps its thread to itself
print("main ends")
sys.exit(6)
