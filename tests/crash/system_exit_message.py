r"""sys.exit('so long') in a goroutine ends the program with that status, through main's finally blocks.

exit: 1
stderr: so long\n\Z
stdout: finally
"""

import sys

from gopy import Chan, go


def leave():
    sys.exit("so long")


try:
    go(leave)
    Chan().recv()
finally:
    print("finally")
