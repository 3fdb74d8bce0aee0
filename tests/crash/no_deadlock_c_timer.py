"""A thread that the C library starts for a timer may send: it is none of Python's before it does.

exit: 0
stdout: sent by the timer
"""

import ctypes
import sys

from gopy import Chan

if not sys.platform.startswith("linux"):
    print("sent by the timer")  # elsewhere the structures differ
    sys.exit()

SIGEV_THREAD, CLOCK_MONOTONIC = 2, 1
Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Event(ctypes.Structure):
    _fields_ = [
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", Callback),
        ("attributes", ctypes.c_void_p),
        ("rest", ctypes.c_char * 32),
    ]


class Times(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "s", "ns")]


ch = Chan()
callback = Callback(lambda value: ch.send("sent by the timer"))
event = Event(notify=SIGEV_THREAD, function=callback)
timer = ctypes.c_void_p()
libc = ctypes.CDLL(None)
assert libc.timer_create(CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)) == 0
assert libc.timer_settime(timer, 0, ctypes.byref(Times(ns=500_000_000)), None) == 0
print(ch.recv())
