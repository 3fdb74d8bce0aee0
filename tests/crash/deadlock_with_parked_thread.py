"""A plain thread that is itself parked on a channel cannot wake anyone: that is a deadlock.

exit: 0
stdout: deadlock
"""

import threading

from gopy import Chan, Deadlock

never = Chan()
threading.Thread(target=never.recv, daemon=True).start()
try:
    Chan().recv()
except Deadlock:
    print("deadlock")
