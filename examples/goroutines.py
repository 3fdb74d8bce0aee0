"""A goroutine: a call that runs on its own, beside whoever made it."""

from gopy import Chan, SendChan, go


def squares(table: list[int], start: int, stop: int, done: SendChan[bool]) -> None:
    """Fill a part of the table, then say that it is done."""
    for i in range(start, stop):
        table[i] = i * i
    done.send(True)


def main() -> None:
    table = [0] * 9
    done: Chan[bool] = Chan()

    go(squares, table, 0, 3, done)
    go(squares, table, 3, 6, done)

    @go  # a function for this one call, which sees main's variables
    def _() -> None:
        for i in range(6, 9):
            table[i] = i * i
        done.send(True)

    for _ in range(3):  # nobody knows in which order they end, only that all three do
        done.recv()
    for i, square in enumerate(table):
        print(i, "squared is", square)


if __name__ == "__main__":
    main()
