"""Range: receive until the channel is closed and empty."""

from gopy import Chan, Defer, RecvChan, deferring, go


def fibonacci(limit: int) -> RecvChan[int]:
    """Send the numbers below limit, then close the channel."""
    out: Chan[int] = Chan()

    @go
    @deferring
    def _(defer: Defer) -> None:
        defer(out.close)
        a, b = 0, 1
        while a < limit:
            out.send(a)
            a, b = b, a + b

    return out


def main() -> None:
    total = 0
    for number in fibonacci(100):
        print(number)
        total += number
    print("their sum is", total)

    # A channel that is closed already: what is left in it is received first.
    queue: Chan[str] = Chan(2)
    queue.send("first")
    queue.send("second")
    queue.close()
    for item in queue:
        print(item)


if __name__ == "__main__":
    main()
