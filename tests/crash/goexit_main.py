r"""goexit in the main goroutine lets the others go on; when the last is gone it is a deadlock.

exit: 1
stdout: main's finally
stdout: worker 0
stdout: worker 1
stdout: worker 2
stderr: no goroutines \(main called runtime.goexit\) - deadlock!
"""

from gopy import go, runtime, time

main = runtime.current()


def work():
    while main.state != "goexit":
        time.sleep(0.001)
    for i in range(3):
        time.sleep(0.05)
        print("worker", i)


try:
    go(work)
    runtime.goexit()
finally:
    print("main's finally")
