"""A KeyboardInterrupt that leaves a goroutine is the main goroutine's.

exit: -2
stdout: main got it
stderr: KeyboardInterrupt
"""

from gopy import Chan, go


def boom():
    raise KeyboardInterrupt


try:
    go(boom)
    Chan().recv()
except KeyboardInterrupt:
    print("main got it")
    raise
