"""python -m gopy COMMAND: what gopy does from the command line."""

import argparse
import sys


def main(arguments: list[str]) -> int:
    """Run a command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m gopy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    wsgi = commands.add_parser("wsgi", help="serve a WSGI application")
    from gopy.http import _workers  # needs the extra `http`

    _workers.add_arguments(wsgi)
    return _workers.main(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
