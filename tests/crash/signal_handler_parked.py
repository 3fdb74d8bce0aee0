"""A signal handler runs while main is parked, may use channels, and main goes on waiting.

exit: 0
stdout: handler in goroutine 1, on the main thread: True
stdout: main got 1
stdout: main got 2
"""

import os
import signal
import threading
import time

from gopy import Chan, go, runtime

ch = Chan(4)
main = runtime.current()


def handler(signum, frame):
    here = threading.current_thread() is threading.main_thread()
    print(f"handler in goroutine {runtime.current().id}, on the main thread: {here}")
    ch.send(1)


def kill():
    while main.state != "chan receive":
        time.sleep(0.001)
    time.sleep(0.05)  # nothing runs: the signal itself must wake the main thread
    os.kill(os.getpid(), signal.SIGUSR1)


signal.signal(signal.SIGUSR1, handler)
threading.Thread(target=kill).start()
print("main got", ch.recv())
go(ch.send, 2)
print("main got", ch.recv())
