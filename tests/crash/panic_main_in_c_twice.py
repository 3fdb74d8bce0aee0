r"""A panic ends the program also while the main goroutine goes from one call of C to the next, with no bytecode between.

exit: 1
stderr: panic in goroutine 2 \[boom\]:
stderr: GoroutinePanic: goroutine 2
"""

import hashlib
import operator
import time
from collections import deque
from functools import partial

from gopy import go


def boom():
    raise ValueError("boom")


go(boom)
# The first of them computes, and so takes no notice of the signal that is to end the second.
calls = partial(hashlib.pbkdf2_hmac, "sha256", b"", b"", 1_000_000), partial(time.sleep, 1000)
deque(map(operator.call, calls))
