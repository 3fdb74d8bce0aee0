"""A timer will fire: nothing is deadlocked while a goroutine sleeps or waits with a timeout.

exit: 0
stdout: timed out
stdout: slept
"""

from gopy import Chan, go, time

ch, told = Chan(), Chan()


def patient():
    try:
        Chan().recv(timeout=0.2)
    except TimeoutError:
        told.send("timed out")


def sleeper():
    time.sleep(0.4)
    told.send("slept")


go(patient)
print(told.recv())
go(sleeper)
print(told.recv())
