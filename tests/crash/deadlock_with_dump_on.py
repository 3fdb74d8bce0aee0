"""dump_on wakes nobody: a deadlock stays one.

exit: 1
stderr: Deadlock: all goroutines are asleep
"""

import signal

from gopy import Chan, runtime

runtime.dump_on(signal.SIGQUIT)
Chan().recv()
