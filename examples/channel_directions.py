"""Directions: a function's signature says whether it sends on a channel or receives from it.

Go's compiler checks it. Here a type checker does, of which `Chan` is both a SendChan and a RecvChan; and the
views that `send_only()` and `recv_only()` return do not even have the other side's methods.
"""

from gopy import Chan, RecvChan, SendChan, go


def speak(sink: SendChan[str], *words: str) -> None:
    for word in words:
        sink.send(word)  # on `words.send_only()`, `sink.recv()` is an AttributeError
    sink.close()


def shout(source: RecvChan[str], sink: SendChan[str]) -> None:
    for word in source:
        sink.send(word.upper() + "!")
    sink.close()


def main() -> None:
    words: Chan[str] = Chan()
    shouts: Chan[str] = Chan()
    go(speak, words.send_only(), "mind", "the", "gap")
    go(shout, words.recv_only(), shouts.send_only())

    ears = shouts.recv_only()  # the same channel, of which one side is seen
    for word in ears:
        print(word)


if __name__ == "__main__":
    main()
