"""Functions registered with atexit run, and may use channels that need no wait.

exit: 0
stdout: atexit 1
"""

import atexit

from gopy import Chan, go

ch = Chan(1)
atexit.register(lambda: print("atexit", ch.recv()))  # registered after gopy's own: runs before it
go(Chan().recv)
ch.send(1)
