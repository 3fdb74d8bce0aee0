r"""Goroutines that wait are not disturbed by another one's panic that main recovers from.

exit: 0
stdout: 100 of 100
stderr: panic in goroutine 102 \[boom\]:
stderr: ValueError: boom\ncreated by <module> in goroutine 1:\n.*\n.*\n\Z
"""

from gopy import Chan, GoroutinePanic, go


def waiter(requests, replies):
    replies.send(requests.recv())


def boom():
    raise ValueError("boom")


requests, replies = Chan(), Chan()
for _ in range(100):
    go(waiter, requests, replies)
try:
    go(boom)
    Chan().recv()
except GoroutinePanic:
    pass
for i in range(100):
    requests.send(i)
print(len({replies.recv() for _ in range(100)}), "of 100")
