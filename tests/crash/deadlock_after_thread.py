"""A plain thread that lives could send, so it is a deadlock only when the thread has ended.

exit: 0
stdout: deadlock, after the thread
"""

import threading
import time

from gopy import Chan, Deadlock

ended = []


def work():
    time.sleep(0.5)
    ended.append(time.monotonic())


threading.Thread(target=work).start()
try:
    Chan().recv()
except Deadlock:
    print("deadlock,", "after the thread" if ended else "while the thread lived")
