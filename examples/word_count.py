"""Count the words of a text, on all cores of a free-threaded build.

    python examples/word_count.py [-n TIMES] [-t] examples/text/opticks.txt

Readers are goroutines, one for each core. Each counts the parts that it gets in a table of its own, so that
they never wait for each other, and main adds up the tables. -n counts a longer text, the same one several
times; -t tells on stderr how long it took.
"""

import argparse
import re
import sys

from gopy import Chan, RecvChan, SendChan, go, runtime, time

PIECES = 64
WORD = re.compile(r"[^\W\d_]+")


def split(text: str) -> list[str]:
    """Cut the text into parts of about the same size, at the ends of lines."""
    items = []
    size = len(text) // PIECES + 1
    start = 0
    while len(text) - start > size:
        end = text.find("\n", start + size) + 1
        if end == 0:  # there is no further line
            break
        items.append(text[start:end])
        start = end
    return [*items, text[start:]]


def count(text: str, table: dict[str, int]) -> None:
    for word in WORD.findall(text.lower()):
        table[word] = table.get(word, 0) + 1


def reader(texts: RecvChan[str], tables: SendChan[dict[str, int]]) -> None:
    table: dict[str, int] = {}
    for text in texts:
        count(text, table)
    tables.send(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Count the words of a text, on all cores.")
    parser.add_argument("-n", type=int, default=1, metavar="TIMES", help="count the text so many times")
    parser.add_argument("-t", action="store_true", help="tell how long it took")
    parser.add_argument("file", metavar="FILE")
    args = parser.parse_args()
    with open(args.file, encoding="utf-8", newline="") as file:
        data = file.read()

    start = time.now()
    parts = split(data)
    texts: Chan[str] = Chan(args.n * len(parts))
    for _ in range(args.n):
        for text in parts:
            texts.send(text)
    texts.close()

    # All parts are there before the first reader starts. So no reader waits, and those that a busy thread has
    # not started yet go to the next idle one; a goroutine that has started and waits stays on its thread.
    tables: Chan[dict[str, int]] = Chan()
    readers = runtime.GOMAXPROCS()
    for _ in range(readers):
        go(reader, texts, tables)
    total: dict[str, int] = {}
    for _ in range(readers):
        for word, n in tables.recv().items():
            total[word] = total.get(word, 0) + n
    if args.t:
        print(f"{readers} readers: {time.now() - start:.3f} s", file=sys.stderr)

    words = sorted(
        total, key=lambda word: (-total[word], word)
    )  # the most frequent first, then by the alphabet
    print(sum(total.values()), "words,", len(words), "different ones")
    for word in words[:20]:
        print(total[word], word)


if __name__ == "__main__":
    main()
