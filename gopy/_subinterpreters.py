"""gopy runs in a process's main interpreter: the runtime and its types exist once."""

import _thread


def _is_main() -> bool:
    is_main = getattr(_thread, "_is_main_interpreter", None)
    if is_main is not None:
        return bool(is_main())
    try:
        import _xxsubinterpreters  # type: ignore[import-not-found]
    except ImportError:  # it has no others
        return True
    return bool(_xxsubinterpreters.get_current() == _xxsubinterpreters.get_main())


def refuse() -> None:
    """Called before the extension is loaded, which an interpreter before 3.12 would share with others."""
    if not _is_main():
        raise ImportError(
            "gopy does not run in a subinterpreter: import it in the main one and start goroutines there"
        )
