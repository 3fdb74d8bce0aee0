"""Execution tracing: Go's runtime/trace.

A trace says when each goroutine ran, on which P, what it waited for and who readied it. The file opens at
https://ui.perfetto.dev, and `python -m gopy trace FILE -o page.html` makes a page of it that needs nothing
else. While nothing is traced each scheduling event costs one branch.
"""

from gopy.trace._record import FlightRecorder, log, recorder, region, start, stop, task

__all__ = ["FlightRecorder", "log", "recorder", "region", "start", "stop", "task"]
