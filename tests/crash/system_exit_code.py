"""sys.exit(3) in a goroutine ends the program with that status, through main's finally blocks.

exit: 3
stdout: finally
"""

import sys

from gopy import Chan, go


def leave():
    sys.exit(3)


try:
    go(leave)
    Chan().recv()
finally:
    print("finally")
