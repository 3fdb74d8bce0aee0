"""sys.exit() in a goroutine ends the program with that status, through main's finally blocks.

exit: 0
stdout: finally
"""

import sys

from gopy import Chan, go


def leave():
    sys.exit()


try:
    go(leave)
    Chan().recv()
finally:
    print("finally")
