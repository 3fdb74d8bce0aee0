"""The program ends with main although goroutines keep sending, sleeping, spawning and selecting.

exit: 9
"""

import sys

from gopy import Chan, default, go, recv, runtime, select, time


def ping(a, b):
    while True:
        a.send(b.recv())


def tick():
    while True:
        time.sleep(0.0001)


def spawn():
    while True:
        go(int)
        runtime.gosched()


def poll(ch):
    while True:
        select(recv(ch), default)
        runtime.gosched()


a, b = Chan(), Chan()
go(ping, a, b)
go(ping, b, a)
a2 = Chan(1)
go(tick)
go(spawn)
go(poll, a2)
b.send(1)
time.sleep(0.2)
sys.exit(9)
