"""After goexit in the main goroutine another one may still choose the exit status.

exit: 5
stdout: bye
"""

import sys

from gopy import go, runtime, time


def work():
    time.sleep(0.1)
    print("bye")
    sys.exit(5)


go(work)
runtime.goexit()
