"""Synchronisation: a channel on which only the moment of sending matters."""

from gopy import Chan, SendChan, go, time


def bake(loaf: str, done: SendChan[None]) -> None:
    print(loaf, "goes into the oven")
    time.sleep(20 * time.Millisecond)
    print(loaf, "is ready")
    done.send(None)


def main() -> None:
    done: Chan[None] = Chan()

    go(bake, "rye", done)
    done.recv()  # without this line the program would end before the bread is baked

    # One after the other, by the same means: each waits for its own bread.
    for loaf in ["wheat", "spelt"]:
        go(bake, loaf, done)
        done.recv()
    print("the shop opens")


if __name__ == "__main__":
    main()
