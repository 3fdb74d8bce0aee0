"""Non-blocking operations: a select with a default never waits."""

from gopy import Chan, RecvChan, SendChan, default, recv, select, send


def look(mailbox: RecvChan[str]) -> None:
    """Say what is in the mailbox, without waiting for it."""
    match select(recv(mailbox), default):
        case (0, letter, _):
            print("a letter:", letter)
        case (1, _, _):
            print("no letter")


def post(mailbox: SendChan[str], letter: str) -> None:
    """Leave a letter, if there is room for it."""
    match select(send(mailbox, letter), default):
        case (0, _, _):
            print("posted:", letter)
        case (1, _, _):
            print("no room for:", letter)


def main() -> None:
    mailbox: Chan[str] = Chan(1)
    look(mailbox)
    post(mailbox, "come soon")
    post(mailbox, "come at once")
    look(mailbox)

    # Without room, a send needs a receiver that is waiting already, and here is none.
    window: Chan[str] = Chan()
    post(window, "hello?")

    alarm: Chan[str] = Chan()
    match select(recv(mailbox), recv(alarm), default):
        case (0, letter, _):
            print("a letter:", letter)
        case (1, sound, _):
            print("an alarm:", sound)
        case (2, _, _):
            print("all quiet")


if __name__ == "__main__":
    main()
