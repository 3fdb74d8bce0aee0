"""Go's package time, the part that schedules. Durations are seconds."""

from gopy._core import Ticker, Timer, after, after_func, asleep, now, sleep, tick

__all__ = [
    "Hour",
    "Microsecond",
    "Millisecond",
    "Minute",
    "Nanosecond",
    "Second",
    "Ticker",
    "Timer",
    "after",
    "after_func",
    "asleep",
    "now",
    "sleep",
    "tick",
]

Nanosecond: float = 1e-9
Microsecond: float = 1e-6
Millisecond: float = 1e-3
Second: float = 1.0
Minute: float = 60.0
Hour: float = 3600.0
