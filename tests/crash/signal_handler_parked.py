"""A signal handler runs while main is parked, may use channels, and main goes on waiting.

exit: 0
stdout: handler on main: True
stdout: main got 1
stdout: main got 2
"""

import os
import signal

from gopy import Chan, go, runtime

ch = Chan(4)
main = runtime.current()


def handler(signum, frame):
    print("handler on main:", runtime.current() is main)
    ch.send(1)


def work():
    while main.state != "chan receive":
        runtime.gosched()
    os.kill(os.getpid(), signal.SIGUSR1)


signal.signal(signal.SIGUSR1, handler)
go(work)
print("main got", ch.recv())
go(ch.send, 2)
print("main got", ch.recv())
