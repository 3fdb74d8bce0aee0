r"""A panic ends the program also while the main goroutine is in the standard library's time.sleep.

exit: 1
stderr: panic in goroutine 2 \[boom\]:
stderr: GoroutinePanic: goroutine 2
"""

import time

from gopy import go


def boom():
    raise ValueError("boom")


go(boom)
time.sleep(1000)
