"""A handler may park whenever it comes: also when its thread is about to start a worker for a goroutine.

exit: 0
stdout: True
"""

import signal

from gopy import Chan, go, time

enough = Chan(1)
handled = 0


def handler(signum, frame):
    global handled
    mine = handled = handled + 1
    go(int)
    time.sleep(0.002)
    if mine == 300:
        signal.setitimer(signal.ITIMER_REAL, 0)
        enough.send(True)


signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0011)
print(enough.recv())
