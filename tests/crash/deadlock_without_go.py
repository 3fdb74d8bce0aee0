r"""A program that only ever had a main goroutine deadlocks too.

exit: 1
stderr: Deadlock: all goroutines are asleep - deadlock!
stderr: goroutine 1 \[select \(no cases\)\]:
"""

from gopy import select

select()
