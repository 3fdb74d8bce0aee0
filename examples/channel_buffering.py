"""Buffering: a channel with room lets senders run ahead of receivers."""

from gopy import Chan


def main() -> None:
    letters: Chan[str] = Chan(3)

    # There is no other goroutine here: each of these sends would wait for ever on a channel without room.
    letters.send("alpha")
    letters.send("beta")
    print(len(letters), "of", letters.cap, "places taken")
    letters.send("gamma")
    print(len(letters), "of", letters.cap, "places taken")

    print(letters.recv())
    print(letters.recv())

    # A place that has become free may be taken again.
    letters.send("delta")
    print(letters.recv())
    print(letters.recv())
    print(len(letters), "of", letters.cap, "places taken")


if __name__ == "__main__":
    main()
