"""What a signal handler raises while main is parked is raised in main, out of its wait.

exit: 0
stdout: main: Alarm
stdout: the channel still works: 1
"""

import signal

from gopy import Chan, go


class Alarm(Exception):
    pass


def handler(signum, frame):
    raise Alarm


signal.signal(signal.SIGALRM, handler)
ch = Chan()
try:
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    go(Chan().recv)
    ch.recv()
except Alarm as alarm:
    print("main:", type(alarm).__name__)
go(ch.send, 1)
print("the channel still works:", ch.recv())
