"""os._exit in a goroutine ends the process at once, with its status.

exit: 11
"""

import os

from gopy import Chan, go

go(os._exit, 11)
Chan().recv()
