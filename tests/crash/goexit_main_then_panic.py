r"""After goexit in the main goroutine a panic still ends the program with status 1.

exit: 1
stderr: panic in goroutine 2 \[boom\]:
stderr: GoroutinePanic: goroutine 2 \[boom\]: ValueError: late
"""

from gopy import go, runtime, time


def boom():
    time.sleep(0.1)
    raise ValueError("late")


go(boom)
runtime.goexit()
