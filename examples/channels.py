"""Channels: values pass from one goroutine to another, and both wait for the hand-over."""

from gopy import Chan, go


def add(word: str, source: Chan[str], sink: Chan[str]) -> None:
    """Pass on what is heard, with a word at the end."""
    heard = source.recv()  # waits for a sender
    sink.send(f"{heard} {word}")


def main() -> None:
    a: Chan[str] = Chan()
    b: Chan[str] = Chan()
    c: Chan[str] = Chan()

    go(add, "and", a, b)
    go(add, "over", b, c)

    a.send("over")  # waits for a receiver
    print(c.recv())  # has passed both goroutines

    # What one goroutine sends arrives in the order in which it was sent.
    numbers: Chan[int] = Chan()

    @go
    def _() -> None:
        for i in range(5):
            numbers.send(i)

    for _ in range(5):
        print("received", numbers.recv())


if __name__ == "__main__":
    main()
