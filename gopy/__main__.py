"""python -m gopy: what gopy does from the command line.

    python -m gopy [--no-NAME ...] (script.py | -m module | -c code) [args]
        run a program, patched (see gopy.monkey)
    python -m gopy wsgi ...
        serve a WSGI application
    python -m gopy (ps | stacks | profile) PID ...
        look into a running process
    python -m gopy trace (FILE | PID) ...
        show a trace

NAME is a flag of gopy.monkey.patch_all(), as in --no-subprocess. What follows the program is its own.
"""

import builtins
import io
import os
import pkgutil
import runpy
import sys
from inspect import signature
from types import ModuleType
from typing import Any

PROGRAM = "python -m gopy"


def _usage(problem: str = "") -> int:
    text = (__doc__ or "").partition("\n\n")[2]
    print(
        f"{PROGRAM}: {problem}\n\n{text}" if problem else text,
        end="",
        file=sys.stderr if problem else sys.stdout,
    )
    return 2 if problem else 0


def _wsgi(arguments: list[str]) -> int:
    import argparse

    parser = argparse.ArgumentParser(prog=PROGRAM)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    wsgi = commands.add_parser("wsgi", help="serve a WSGI application")
    from gopy.http import _workers  # needs the extra `http`

    _workers.add_arguments(wsgi)
    return _workers.main(parser.parse_args(arguments))


def _fresh_main() -> dict[str, Any]:
    """The namespace of a new module __main__."""
    sys.modules["__main__"] = main = ModuleType("__main__")
    return main.__dict__


def _run_script(path: str) -> None:
    if pkgutil.get_importer(path) is not None:  # a folder or an archive, with a __main__.py in it
        runpy.run_path(path, run_name="__main__")
        return
    if not sys.flags.safe_path:  # in place of the current folder, which `-m gopy` has put there
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    with io.open_code(os.path.abspath(path)) as file:
        code = pkgutil.read_code(file)
        if code is None:  # it has not been compiled yet
            file.seek(0)
            code = compile(file.read(), path, "exec")
    namespace = _fresh_main()
    namespace.update(__file__=path, __builtins__=builtins, __cached__=None)
    exec(code, namespace)


def _run(arguments: list[str]) -> int:
    """Run what the arguments name, as python would."""
    first, *rest = arguments
    if first in ("-c", "-m"):
        if not rest:
            return _usage(f"argument expected for the {first} option")
        sys.argv = [first, *rest[1:]]
        namespace = _fresh_main()
        if first == "-c":
            exec(compile(rest[0], "<string>", "exec"), namespace)
        else:
            run_module: Any = runpy
            run_module._run_module_as_main(rest[0])
    elif first.startswith("-"):
        return _usage(f"unknown option {first}")
    elif not os.path.exists(first):
        print(f"{PROGRAM}: there is no file {first!r}", file=sys.stderr)
        return 2
    else:
        sys.argv = [first, *rest]
        _run_script(first)
    return 0


def main(arguments: list[str]) -> int:
    """Run a command or a program; its exit status."""
    if arguments[:1] == ["wsgi"]:
        return _wsgi(arguments)
    if arguments[:1] and arguments[0] in ("ps", "stacks", "profile"):
        from gopy.debug import _command

        return _command.main(arguments)
    if arguments[:1] == ["trace"]:
        from gopy.trace import _command as trace_command

        return trace_command.main(arguments[1:])
    from gopy.monkey import patch_all

    flags = {}
    while arguments and arguments[0].startswith("--"):
        option, *arguments = arguments
        name = option.removeprefix("--no-")
        if option in ("--help", "-h"):
            return _usage()
        if name not in signature(patch_all).parameters:
            return _usage(f"unknown option {option}")
        flags[name] = False
    if not arguments:
        return _usage("there is no program to run")
    if arguments[0] == "-h":
        return _usage()
    try:
        patch_all(**flags)
    except ValueError as exc:
        return _usage(str(exc))
    return _run(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
