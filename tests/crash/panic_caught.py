r"""The main goroutine may catch GoroutinePanic, which tells the cause and the goroutine, and go on.

exit: 0
stdout: GoroutinePanic KeyError('k') renamed dead
stdout: the program goes on: 42
stderr: panic in goroutine 2 \[renamed\]:
stderr: KeyError: 'k'\ncreated by <module> in goroutine 1:\n  File ".*", line \d+, in <module>\n.*\n\Z
"""

from gopy import Chan, GoroutinePanic, go, runtime, time

main = runtime.current()


def boom():
    while main.state != "chan receive":
        time.sleep(0.001)
    runtime.current().name = "renamed"
    raise KeyError("k")


try:
    boomer = go(boom)
    Chan().recv()
except GoroutinePanic as panic:
    assert panic.goroutine is boomer
    boomer.join()
    print(type(panic).__name__, repr(panic.__cause__), boomer.name, boomer.state)
values = Chan()
go(values.send, 42)
print("the program goes on:", values.recv())
