"""Closing: the sender tells all receivers that no more will come."""

from collections.abc import Callable

from gopy import Chan, Defer, deferring, go


def main() -> None:
    orders: Chan[int] = Chan(5, zero=0)
    served: Chan[list[int]] = Chan()

    @go
    def _() -> None:
        seen = []
        while True:
            order, more = orders.recv_ok()
            if not more:
                served.send(seen)
                return
            seen.append(order)

    for order in range(1, 4):
        orders.send(order)
    orders.close()  # what is in the buffer is still received
    for order in served.recv():
        print("served order", order)

    # A closed and empty channel gives its zero value, at once and to everyone.
    order, more = orders.recv_ok()
    print("received", order, "from a channel that is open:", yes(more))

    # Two mistakes, both of which panic.
    report("send", lambda: orders.send(4))
    report("close", orders.close)


@deferring
def report(defer: Defer, what: str, mistake: Callable[[], None]) -> None:
    defer(lambda: print(f"{what}: {defer.recover()}"))
    mistake()


def yes(b: bool) -> str:
    return "yes" if b else "no"


if __name__ == "__main__":
    main()
