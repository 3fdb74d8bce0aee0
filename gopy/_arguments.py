"""What arguments must be: each check returns the argument as what it stands for, or raises what is wrong.

They take what the core's own checks take (pyargs.c): for an int what has __index__, for a number of seconds
what has __float__ or __index__. A bool is an int, as everywhere in Python.
"""

import math
import operator
import signal
from collections.abc import Callable
from typing import Any, SupportsFloat, SupportsIndex, TypeVar

T = TypeVar("T")


def wrong_type(name: str, wanted: str, value: object) -> TypeError:
    return TypeError(f"`{name}` must be {wanted}, got {type(value).__name__}")


def check_instance(name: str, value: object, cls: type[T], wanted: str) -> T:
    if not isinstance(value, cls):
        raise wrong_type(name, wanted, value)
    return value


def check_str(name: str, value: object) -> str:
    return check_instance(name, value, str, "a str")


def check_bool(name: str, value: object) -> bool:
    return check_instance(name, value, bool, "a bool")


def check_callable(name: str, value: object, wanted: str = "callable") -> Callable[..., Any]:
    if not callable(value):
        raise wrong_type(name, wanted, value)
    return value


def check_int(name: str, value: SupportsIndex, least: int | None = None, wanted: str = "an int") -> int:
    if not hasattr(type(value), "__index__"):
        raise wrong_type(name, wanted, value)
    number = operator.index(value)
    if least is not None and number < least:
        raise ValueError(f"`{name}` must be {least} or more, got {number}")
    return number


def check_signum(value: object) -> int:
    """The number of a signal. It counts nothing, so a bool is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type("signum", "an int", value)
    if value not in signal.valid_signals():
        raise ValueError(f"`signum` must be a signal's number, got {value}")
    return value


def check_seconds(
    name: str, value: SupportsFloat | SupportsIndex, wanted: str = "a number of seconds"
) -> float:
    if not hasattr(type(value), "__float__") and not hasattr(type(value), "__index__"):
        raise wrong_type(name, wanted, value)
    try:
        number = float(value)
    except OverflowError:  # an int beyond any float
        number = math.inf if operator.index(value) > 0 else -math.inf  # type: ignore[arg-type]
    if math.isnan(number):
        raise ValueError(f"`{name}` must be a number of seconds, got nan")
    return number


def check_buffer(name: str, value: Any, writable: bool = False) -> memoryview:
    """The buffer, byte by byte."""
    try:
        view = memoryview(value)
    except TypeError:
        view = None
    if view is None or (writable and view.readonly):
        raise wrong_type(name, "a writable buffer" if writable else "bytes-like", value)
    return view.cast("B")
