r"""Of several panics at once, one reaches the main goroutine; every one is printed at most once.

exit: 1
stderr: panic in goroutine \d+ \[boom\]:
stderr: GoroutinePanic: goroutine \d+ \[boom\]: ValueError: boom\n
never: Exception ignored
never: (?s)GoroutinePanic: goroutine.*GoroutinePanic: goroutine
"""

from gopy import Chan, go


def boom():
    raise ValueError("boom")


for _ in range(5):
    go(boom)
Chan().recv()
