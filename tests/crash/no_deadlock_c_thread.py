"""A thread of a C library's that calls Python may send, though threading knows nothing of it.

exit: 0
stdout: sent by a callback
"""

import ctypes
import time

from gopy import Chan, go

ch = Chan()


@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
def body(arg):
    time.sleep(0.3)
    ch.send("sent by a callback")


thread = ctypes.c_ulong()
go(Chan().recv)
assert ctypes.CDLL(None).pthread_create(ctypes.byref(thread), None, body, None) == 0
print(ch.recv())
