"""A goroutine that blocks outside gopy will come back: main's wait for it is no deadlock.

exit: 0
stdout: back
"""

import time

from gopy import Chan, go

ch = Chan()


def work():
    time.sleep(0.3)
    ch.send("back")


go(work)
print(ch.recv())
