"""A thread that is in C from its first instruction, as one that Thread.start() has just made is, may send.

exit: 0
stdout: None
"""

import _thread
import time
from collections import deque

from gopy import Chan

ch = Chan()
_thread.start_new_thread(deque, (map(ch.send, map(time.sleep, [0.3])),))
print(ch.recv())
