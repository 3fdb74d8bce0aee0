"""Timeouts: wait for an answer, but not for ever."""

from gopy import Chan, RecvChan, go, recv, select, time


def ask(question: str, takes: float) -> RecvChan[str]:
    """Return a channel on which the answer comes after so long."""
    answer: Chan[str] = Chan(1)  # with room, so that an answer nobody waits for holds nobody up

    @go
    def _() -> None:
        time.sleep(takes)
        answer.send("the answer to " + question)

    return answer


def main() -> None:
    match select(recv(ask("the quick question", time.Millisecond)), recv(time.after(10 * time.Second))):
        case (0, answer, _):
            print(answer)
        case (1, _, _):
            print("no answer in 10 seconds")

    # Every wait of gopy also takes a timeout, which costs no channel.
    try:
        print(ask("the slow question", 10 * time.Second).recv(timeout=20 * time.Millisecond))
    except TimeoutError:
        print("no answer in 20 milliseconds")


if __name__ == "__main__":
    main()
