"""Watch a small server that is asked without a pause: its memory, descriptors, goroutines and threads.

    python -m benchmarks soak                                   # a minute; draws soak.svg
    python -m benchmarks soak --seconds 600 --json soak.json    # before a release, on each Python
    GOMAXPROCS=1 python -m benchmarks soak -o one.svg

The last line says how much the memory grew with each request in the second half, when all that is made once
has been made: the slope of the straight line that fits the samples best. A leak is a slope that stays when
the run is longer.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
SAMPLES = 120
WATCHED = ("memory", "descriptors", "goroutines", "threads")

Sample = dict[str, float]


@dataclass
class Soak:
    """What was seen so far."""

    samples: list[Sample] = field(default_factory=list)

    @property
    def second_half(self) -> list[Sample]:
        return [each for each in self.samples if each["seconds"] > self.samples[-1]["seconds"] / 2]

    @property
    def bytes_per_request(self) -> float:
        """The slope of the memory in the second half."""
        half = self.second_half
        x, y = [each["requests"] for each in half], [each["memory"] for each in half]
        middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
        spread = sum((at - middle_x) ** 2 for at in x)
        rise = sum((at - middle_x) * (value - middle_y) for at, value in zip(x, y, strict=True))
        return rise / spread if spread else 0.0

    def __str__(self) -> str:
        if len(self.second_half) < 2:
            return "Too short: nothing was seen."
        last, half = self.samples[-1], self.second_half[0]
        requests, seconds = last["requests"], last["seconds"]
        counts = ", ".join(f"{half[name]:.0f} -> {last[name]:.0f} {name}" for name in WATCHED[1:])
        return (
            f"{requests:,.0f} requests in {seconds:.0f} s, {requests / seconds:,.0f} a second. "
            f"In the second half: memory {half['memory'] / 1e6:.1f} -> {last['memory'] / 1e6:.1f} MB, "
            f"{self.bytes_per_request:+.1f} bytes per request; {counts}."
        )

    def record(self) -> dict[str, Any]:
        return {"samples": self.samples, "bytes_per_request": self.bytes_per_request}


class ServerEndedError(Exception):
    """With the exit status."""


@contextmanager
def running(role: str, value: object, **how: Any) -> Iterator[subprocess.Popen[str]]:
    """The server or its clients, until the block ends. Ctrl-C is for us alone."""
    command = [sys.executable, "-m", "benchmarks.soak_server", role, str(value)]
    process = subprocess.Popen(command, cwd=REPOSITORY, text=True, start_new_session=True, **how)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def watch(seconds: float) -> Iterator[Sample]:
    """SAMPLES samples, spread over so many seconds."""
    with running("serve", seconds / SAMPLES, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        with server.stdout:
            first = server.stdout.readline()
            if first:
                with running("drive", json.loads(first)["port"]):
                    for _ in range(SAMPLES):
                        line = server.stdout.readline()
                        if not line:
                            break
                        yield json.loads(line)
                    else:
                        return
            raise ServerEndedError(f"the server ended with exit status {server.wait()}")


def panels(samples: Sequence[Sample]) -> list[tuple[str, list[float], list[float]]]:
    """(name, seconds, values), memory in MB."""
    seconds = [each["seconds"] for each in samples]
    scale = {"memory": 1e6}
    return [(name, seconds, [each[name] / scale.get(name, 1) for each in samples]) for name in WATCHED]


def draw(samples: Sequence[Sample], path: Path) -> None:
    """Each of WATCHED against time."""
    from benchmarks import charts

    path.write_text(charts.standalone_svg(charts.drawn(charts.soak, panels(samples)), dark=False))
