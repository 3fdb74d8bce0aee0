"""python -m gopy ps|stacks|profile PID: another process, looked into."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from gopy.debug import _profile, _remote
from gopy.debug._snapshot import from_json, grouped, listed, tree

COMMANDS = ("ps", "stacks", "profile")
MOST_SECONDS = 86400.0
MOST_HZ = 10_000


def _signal(name: str) -> int:
    try:
        return _remote.signal_of(name)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0
    if not 0 < found <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"it must be a positive number up to {MOST_SECONDS:.0f}, got {text}")
    return found


def _hz(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= MOST_HZ:
        raise argparse.ArgumentTypeError(f"it must be a number from 1 to {MOST_HZ}, got {text}")
    return int(text)


def signal_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--signal",
        type=_signal,
        default=0,
        metavar="NAME",
        help="the signal of its runtime.dump_on(); else what its GOPY_DUMP says, else sys.remote_exec",
    )


def tell(text: str) -> None:
    """Print it, what the terminal has no characters for as escapes."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), end="", flush=True)


def ended(program: str, exc: BaseException) -> int:
    """The exit status of a command that has met with that; what is wrong goes to stderr."""
    if isinstance(exc, KeyboardInterrupt):
        return 128 + signal.SIGINT
    if isinstance(
        exc, BrokenPipeError
    ):  # nobody reads on: `| head`. Nor does the interpreter write what is left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    print(f"{program}: {exc}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gopy")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("pid", type=int, metavar="PID")
        signal_option(command)
        return command

    ps = add("ps", "a line for each goroutine of a running process")
    stacks = add("stacks", "what all goroutines of a running process are doing, equal ones together")
    stacks.add_argument("--tree", action="store_true", help="under those that have started them")
    for command in (ps, stacks):
        command.add_argument("--json", action="store_true", help="as JSON")
    profile = add("profile", "where a running process uses the CPU")
    profile.add_argument("--seconds", type=seconds, default=10)
    profile.add_argument("--hz", type=_hz, default=100)
    profile.add_argument("--format", choices=sorted(_profile.FORMATS), default="speedscope")
    profile.add_argument("-o", dest="output", metavar="FILE", help="else it is printed")
    return parser


def _snapshot(options: argparse.Namespace, show: Callable[[Any], str]) -> str:
    found = _remote.ask(options.pid, "snapshot", signum=options.signal)
    return json.dumps(found) + "\n" if options.json else show(from_json(found))


def _profiled(options: argparse.Namespace) -> str:
    found = _remote.ask(options.pid, "profile", signum=options.signal, seconds=options.seconds, hz=options.hz)
    return _profile.FORMATS[options.format](found)


def main(arguments: list[str]) -> int:
    """Its exit status."""
    options = _parser().parse_args(arguments)
    try:
        if getattr(options, "output", None):
            open(options.output, "a").close()  # whether it can be written is to be known now
        if options.command == "ps":
            text = _snapshot(options, listed)
        elif options.command == "stacks":
            text = _snapshot(options, tree if options.tree else grouped)
        else:
            text = _profiled(options)
        if getattr(options, "output", None):
            with open(options.output, "wb") as file:
                file.write(_profile.encoded(text))
        else:
            tell(text)
    except (_remote.RemoteError, OSError, KeyboardInterrupt) as exc:
        return ended(f"python -m gopy {options.command}", exc)
    return 0
