"""python -m gopy trace (FILE | PID): what is in a trace, or in one of a running process."""

import argparse
import os

from gopy.debug import _remote
from gopy.debug._command import ended, seconds, signal_option, tell
from gopy.trace._file import Trace, TraceError, decode
from gopy.trace._page import page
from gopy.trace._summary import summary

PROGRAM = "python -m gopy trace"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Show a trace that gopy.trace has made, or make one of a running process."
    )
    parser.add_argument("what", metavar="FILE | PID")
    parser.add_argument(
        "-o", dest="output", metavar="PAGE", help="write a page of HTML that needs nothing else"
    )
    parser.add_argument("--summary", action="store_true", help="print a summary; so without -o")
    parser.add_argument("--seconds", type=seconds, default=5, help="for how long to record a process")
    parser.add_argument("--keep", metavar="FILE", help="keep the trace of a process, for ui.perfetto.dev")
    signal_option(parser)
    return parser


def _record(pid: int, options: argparse.Namespace) -> bytes:
    path = _remote.ask(pid, "trace", signum=options.signal, seconds=options.seconds)
    try:
        with open(path, "rb") as file:
            data = file.read()
    finally:
        os.unlink(path)
    if options.keep:
        with open(options.keep, "wb") as file:
            file.write(data)
    return data


def _trace(options: argparse.Namespace) -> Trace:
    if options.what.isdigit() and not os.path.exists(options.what):
        return decode(_record(int(options.what), options))
    with open(options.what, "rb") as file:
        return decode(file.read())


def main(arguments: list[str]) -> int:
    """Its exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.output:
            open(options.output, "a").close()  # whether it can be written is to be known now
        trace = _trace(options)
        if options.output:
            with open(options.output, "w", encoding="utf-8") as file:
                file.write(page(trace))
        if options.summary or not options.output:
            tell(summary(trace))
    except TraceError as exc:
        return ended(f"{PROGRAM}: {options.what}", exc)
    except (_remote.RemoteError, OSError, KeyboardInterrupt) as exc:
        return ended(PROGRAM, exc)
    return 0
