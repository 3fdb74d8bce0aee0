"""Main parked while a plain thread lives is no deadlock: the thread sends.

exit: 0
stdout: sent by the thread
"""

import threading
import time

from gopy import Chan

ch = Chan()


def work():
    time.sleep(0.3)
    ch.send("sent by the thread")


threading.Thread(target=work).start()
print(ch.recv())
