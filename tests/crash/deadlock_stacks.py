r"""A deadlock is raised in the main goroutine with Go's text and every goroutine's stack, in Go's format.

exit: 1
stderr: Traceback
stderr: Deadlock: all goroutines are asleep - deadlock!\n\n
stderr: goroutine 1 \[chan receive\]:\n  File ".*", line \d+, in <module>\n
stderr: goroutine 2 \[chan receive\]:\n(.*\n)+?.*in inner\n
stderr: goroutine 3 \[chan send\]:\n
stderr: goroutine 4 \[select\]:\n
stderr: goroutine 5 \[chan receive \(nil chan\)\]:\n
stderr: goroutine 6 \[chan send \(nil chan\)\]:\n
stderr: goroutine 7 \[select \(no cases\)\]:\n
"""

from gopy import Chan, go, nilchan, recv, select, send


def outer(ch):
    inner(ch)


def inner(ch):
    ch.recv()


go(outer, Chan())
go(Chan().send, 1)
go(select, recv(Chan()), send(Chan(), 1))
go(nilchan.recv)
go(nilchan.send, 1)
go(select)
Chan().recv()
