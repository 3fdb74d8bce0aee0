"""Stateful goroutines: one goroutine owns the state, the others ask it by messages."""

from collections import defaultdict
from typing import NamedTuple

from gopy import Chan, RecvChan, go, recv, select


class Read(NamedTuple):
    key: str
    reply: Chan[int]


class Write(NamedTuple):
    key: str
    add: int
    reply: Chan[bool]


def keeper(reads: RecvChan[Read], writes: RecvChan[Write], stop: RecvChan[bool]) -> None:
    """The only one that ever touches the dict, so the dict needs no lock."""
    stock: defaultdict[str, int] = defaultdict(int)
    while True:
        match select(recv(reads), recv(writes), recv(stop)):
            case (0, r, _):
                r.reply.send(stock[r.key])
            case (1, w, _):
                stock[w.key] += w.add
                w.reply.send(True)
            case (2, _, _):
                return


def main() -> None:
    reads: Chan[Read] = Chan()
    writes: Chan[Write] = Chan()
    stop: Chan[bool] = Chan()
    done: Chan[int] = Chan()
    go(keeper, reads, writes, stop)

    fruits = ["apple", "pear", "plum"]

    def writer(i: int) -> None:
        """Put fruit on the shelf."""
        for _ in range(50):
            w = Write(fruits[i % 3], i + 1, Chan())
            writes.send(w)
            w.reply.recv()
        done.send(0)

    def reader(i: int) -> None:
        """Look at the shelf, which never gets emptier."""
        backwards = 0
        last = 0
        for _ in range(50):
            r = Read(fruits[i % 3], Chan())
            reads.send(r)
            now = r.reply.recv()
            if now < last:
                backwards += 1
            last = now
        done.send(backwards)

    for i in range(6):
        go(writer, i)
        go(reader, i)
    backwards = 0
    for _ in range(12):
        backwards += done.recv()

    for fruit in fruits:
        r = Read(fruit, Chan())
        reads.send(r)
        print(fruit, r.reply.recv())
    stop.send(True)
    print("reads that saw less than one before:", backwards)


if __name__ == "__main__":
    main()
