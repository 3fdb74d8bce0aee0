"""Print the MD5 digest of every regular file below a directory, as `md5sum` would.

    python examples/md5all.py ~/Documents > digests.md5
    md5sum -c digests.md5

The pipeline of https://go.dev/blog/pipelines, in the form that bounds its parallelism:

    walker --jobs--> N digesters --results--> collector (the main goroutine)

The walker closes `jobs` when it has seen every directory; `results` is closed when the walker and all
digesters have finished. When the collector wants no more (Ctrl-C, --limit, --fail-fast) it closes `done`, and
whoever is about to send gives up. If stderr is a terminal, a progress bar is shown meanwhile.

Exit status: 0, or 1 if something could not be read, 130 after Ctrl-C.
"""

import argparse
import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from gopy import Chan, RecvChan, SendChan, go, nilchan, recv, runtime, select, send


class Result(NamedTuple):
    path: bytes  # as the kernel knows it: file names are bytes, and not always text
    digest: str = ""
    error: OSError | None = None


def regular_files(root: bytes) -> Iterator[Result]:
    """Every regular file below root, without its digest, and every directory that could not be read.

    Symbolic links are not followed (but root may be one); FIFOs, sockets and devices are left out.
    """
    pending = [root]
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(directory) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        yield Result(entry.path)
        except OSError as error:
            yield Result(directory, error=error)


def walker(
    root: bytes,
    jobs: SendChan[bytes],
    results: SendChan[Result],
    done: RecvChan[None],
    finished: SendChan[None],
) -> None:
    """Send the path of every regular file to the digesters."""
    for found in regular_files(root):
        case = send(results, found) if found.error else send(jobs, found.path)
        if select(case, recv(done))[0] == 1:
            break
    jobs.close()
    finished.send(None)


def digester(
    jobs: RecvChan[bytes], results: SendChan[Result], done: RecvChan[None], finished: SendChan[None]
) -> None:
    """Digest one file after the other.

    Reading and hashing happen in C without the GIL, so digesters on several OS threads overlap. A goroutine
    stays on the thread on which it started; while one there is in C, the others on that thread wait.
    """
    for path in jobs:
        try:
            with open(path, "rb", buffering=0) as file:
                result = Result(path, hashlib.file_digest(file, md5).hexdigest())
        except OSError as error:
            result = Result(path, error=error)
        if select(send(results, result), recv(done))[0] == 1:
            break
    finished.send(None)


def md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def closer(goroutines: int, finished: RecvChan[None], results: SendChan[Result]) -> None:
    """Close results when the last goroutine that may send on it has finished."""
    for _ in range(goroutines):
        finished.recv()
    results.close()


def counter(root: bytes, total: SendChan[int]) -> None:
    """Walk ahead of the others, to tell the progress bar how many results will come."""
    total.send(sum(1 for _ in regular_files(root)))


def md5all(root: bytes, digesters: int, limit: int | None, fail_fast: bool) -> tuple[list[Result], int]:
    """Digest the tree below root. Returns what was digested and how much could not be read."""
    runtime.lock_os_thread()  # no digester runs on this thread, so none keeps the collector waiting
    bar = progress_bar()
    jobs: Chan[bytes] = Chan(1000)  # so many paths that a digester seldom waits for the walker
    results: Chan[Result] = Chan(digesters)
    finished: Chan[None] = Chan(digesters + 1)
    done: Chan[None] = Chan()  # nothing is ever sent: it is closed, which everyone who waits on it sees

    go(walker, root, jobs, results, done, finished)
    for _ in range(digesters):
        go(digester, jobs, results, done, finished)
    go(closer, digesters + 1, finished, results)

    total, tick = nilchan, None
    if bar is not None:
        total, tick = Chan(1), 0.25
        go(counter, root, total)

    digested: list[Result] = []
    failed = 0
    try:
        while True:
            try:
                event = select(recv(results), recv(total), timeout=tick)
            except TimeoutError:  # all digesters are busy with big files: let the bar's clock go on
                bar.refresh()
                continue
            match event:
                case (0, result, True):
                    if result.error:
                        complain(result.path, result.error, bar)
                        failed += 1
                    else:
                        digested.append(result)
                    if bar is not None:
                        bar.update()
                    if len(digested) == limit or (fail_fast and failed):
                        break
                case (0, _, False):
                    break
                case (1, count, _):
                    bar.total = count
                    total = nilchan  # which is never ready: its case is out of the select from here on
                    bar.refresh()
    finally:
        done.close()
        if bar is not None:
            bar.close()
    return digested, failed


def progress_bar() -> Any:
    """A progress bar on the terminal; None if stderr is none, or there is nothing to draw the bar with."""
    if not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        print("md5all.py: for a progress bar: pip install tqdm", file=sys.stderr)
        return None
    tqdm.monitor_interval = 0  # the collector sees to it that the bar is redrawn: it needs no thread for that
    return tqdm(desc="digesting", unit=" files", leave=False, dynamic_ncols=True)


def complain(path: bytes, error: OSError, bar: Any = None) -> None:
    message = f"md5all.py: {os.fsdecode(path)!r}: {error.strerror}"
    if bar is not None:
        bar.write(message, file=sys.stderr)
    else:
        print(message, file=sys.stderr)


def checksum_line(path: bytes, digest: str) -> bytes:
    """A line for `md5sum -c`. A leading backslash says that the name on the line is escaped."""
    escaped = path.replace(b"\\", rb"\\").replace(b"\n", rb"\n").replace(b"\r", rb"\r")
    return (b"\\" if escaped != path else b"") + digest.encode() + b"  " + escaped + b"\n"


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Print the MD5 digest of every regular file below DIR, sorted by path, for `md5sum -c`.",
        epilog="Symbolic links, FIFOs, sockets and devices are skipped. "
        "What cannot be read is reported, makes the exit status 1, and does not stop the others.",
    )
    parser.add_argument("dir", metavar="DIR", help="the directory to walk")
    parser.add_argument(
        "-n", type=positive, default=20, metavar="N", help="how many digesters (default: %(default)s)"
    )
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="stop when N files, any N, have been digested"
    )
    parser.add_argument(
        "--fail-fast", action="store_true", help="stop at the first thing that cannot be read"
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        digested, failed = md5all(os.fsencode(args.dir), args.n, args.limit, args.fail_fast)
        with open(1, "wb", closefd=False) as stdout:
            stdout.writelines(checksum_line(path, digest) for path, digest, _ in sorted(digested))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `| head` has seen enough
        return 128 + signal.SIGPIPE
    except OSError as error:
        complain(b"stdout", error)
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
