"""WaitGroups: wait until a number of goroutines, however many, have ended."""

from gopy import Defer, deferring, go, sync


@deferring
def reverse(defer: Defer, lines: list[str], i: int, wg: sync.WaitGroup) -> None:
    """Turn the words of a line around, in place."""
    defer(wg.done)
    words = lines[i].split()
    words.reverse()
    lines[i] = " ".join(words)


def main() -> None:
    lines = ["dog lazy the over", "jumps fox brown quick the", "again and again"]

    wg = sync.WaitGroup()
    for i in range(len(lines)):
        wg.add(1)  # before the goroutine starts, not in it
        go(reverse, lines, i, wg)
    wg.wait()
    print("\n".join(lines))

    # go() does the counting, too. Unlike Go's, a Python closure would see the loop's last i and line only:
    # what shall stay as it is in this round is passed as an argument.
    lengths = [0] * len(lines)

    def measure(i: int, line: str) -> None:
        lengths[i] = len(line)

    for i, line in enumerate(lines):
        wg.go(measure, i, line)
    wg.wait()
    print("lengths:", *lengths)


if __name__ == "__main__":
    main()
