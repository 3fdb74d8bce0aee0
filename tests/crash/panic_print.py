r"""With GOPY_PANIC=print a panic is printed and the program goes on.

exit: 0
env: GOPY_PANIC=print
stdout: main goes on
stderr: panic in goroutine 2 \[boom\]:
stderr: ValueError: boom\ncreated by <module> in goroutine 1:\n.*\n.*\n\Z
"""

from gopy import go, time


def boom():
    raise ValueError("boom")


go(boom).join()
time.sleep(0.05)
print("main goes on")
