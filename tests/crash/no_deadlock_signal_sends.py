"""A program with a Python signal handler is not deadlocked: the handler may send.

exit: 0
stdout: sent by the handler
"""

import signal

from gopy import Chan, go

ch = Chan(1)  # main itself runs the handler, perhaps before it receives
signal.signal(signal.SIGALRM, lambda signum, frame: ch.send("sent by the handler"))
signal.setitimer(signal.ITIMER_REAL, 0.3)
go(Chan().recv)
print(ch.recv())
