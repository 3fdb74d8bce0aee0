"""A handler may park while its thread makes a dump, and so may one that makes a dump of its own.

exit: 0
stdout: True
"""

import signal

from gopy import Chan, go, runtime, time

stuck = Chan()
handled = 0


def handler(signum, frame):
    global handled
    handled += 1
    if handled == 200:
        signal.setitimer(signal.ITIMER_REAL, 0)
    time.sleep(0.001)
    if handled % 10 == 0:
        runtime.stack(all=True)


async def waits():
    await stuck.arecv()


for _ in range(50):
    go(stuck.recv)
    go(waits)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0023)
while handled < 200:
    runtime.stack(all=True)
print(True)
