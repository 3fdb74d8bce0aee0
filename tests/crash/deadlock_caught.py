"""A program may catch Deadlock and go on; a later deadlock is told again.

exit: 0
stdout: join: all goroutines are asleep - deadlock!
stdout: send: all goroutines are asleep - deadlock!
stdout: select: all goroutines are asleep - deadlock!
stdout: [1, 1]
"""

from gopy import Chan, Deadlock, go, recv, select

block = Chan()
sleeper = go(block.recv)
never = Chan()
for name, wait in [
    ("join", sleeper.join),
    ("send", lambda: Chan().send(1)),
    ("select", lambda: select(recv(never), recv(never))),
]:
    try:
        wait()
    except Deadlock as deadlock:
        print(f"{name}:", str(deadlock).splitlines()[0])
block.send(1)
sleeper.join()
answers = Chan(2)
for _ in range(2):
    go(answers.send, 1)
print([answers.recv() for _ in range(2)])
