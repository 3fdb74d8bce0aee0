"""The program ends with main although other threads are stuck in C calls for long.

exit: 6
stdout: main ends
within: 5
"""

import sys
import time

from gopy import Chan, go, runtime
from gopy import time as gotime

started = Chan()


def stuck():
    started.send(None)
    time.sleep(30)


runtime.lock_os_thread()  # none of them is to block this thread
for _ in range(3):
    go(stuck)
    gotime.sleep(0.001)
for _ in range(3):
    started.recv()
print("main ends")
sys.exit(6)
