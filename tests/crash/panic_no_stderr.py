"""A panic ends the program also where sys.stderr is None or cannot be written to.

exit: 3
stdout: GoroutinePanic 'boom'
stdout: GoroutinePanic 'boom'
"""

import sys

from gopy import Chan, GoroutinePanic, go


class Broken:
    def write(self, text):
        raise OSError("broken")

    def flush(self):
        raise OSError("broken")


def boom():
    raise ValueError("boom")


real = sys.stderr
for stderr in (None, Broken()):
    sys.stderr = stderr
    try:
        go(boom)
        Chan().recv()
    except GoroutinePanic as panic:
        print("GoroutinePanic", repr(panic.__cause__.args[0]))
    finally:
        sys.stderr = real
sys.exit(3)
