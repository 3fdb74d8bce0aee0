r"""An exception that leaves a goroutine's function ends the program, with its traceback, id and name.

exit: 1
stderr: panic in goroutine 2 \[frobnicate\]:
stderr: in frobnicate
stderr: ValueError: the cause\ncreated by <module> in goroutine 1:\n  File ".*", line \d+, in <module>\n    go\(frobnicate\)\n
stderr: in <module>\n    Chan\(\).recv\(\)\n
stderr: GoroutinePanic: goroutine 2 \[frobnicate\]: ValueError: the cause\n\Z
never: (?s)in frobnicate.*in frobnicate
"""

from gopy import Chan, go, runtime, time


def frobnicate():
    while runtime.stats()["parked"] < 1:  # with several Ps main may get there later
        time.sleep(0.001)
    raise ValueError("the cause")


go(frobnicate)
Chan().recv()
