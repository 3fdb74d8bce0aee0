r"""A panic ends the program also while the main goroutine computes.

exit: 1
stderr: panic in goroutine 2 \[boom\]:
stderr: GoroutinePanic: goroutine 2
"""

import time

from gopy import go

started = []


def boom():
    started.append(None)
    time.sleep(0.2)
    raise ValueError("boom")


go(boom)
while not started:
    time.sleep(0.001)  # blocks this thread, so that boom starts on another one
while True:
    pass
