"""The directive `picture`: an SVG that is drawn here, in the colours of the page's theme (_static/gopy.css).

Each picture is a function that returns its width, its height and what is in it. To look at one alone:
`python docs/extensions/pictures.py gmp > gmp.html`.
"""

import sys
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive, directives

Picture = tuple[int, int, list[str]]

HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto-start-reverse"><path class="head" d="M0 0L8 4L0 8z"/></marker>'
)


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, title: str = "", under: str = "") -> str:
    middle = x + width / 2
    lines = [text(middle, y + 20, title)] if title else []
    if under:
        lines.append(text(middle, y + 37, under, "small"))
    return f'<rect class="box" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>' + "".join(lines)


def goroutine(x: float, y: float, name: str = "G") -> str:
    return f'<circle class="goroutine" cx="{x}" cy="{y}" r="11"/>' + text(x, y + 4.5, name, "in")


def arrow(*points: tuple[float, float], both: bool = False) -> str:
    path = "M" + "L".join(f"{x} {y}" for x, y in points)
    start = ' marker-start="url(#head)"' if both else ""
    return f'<path class="arrow" d="{path}" marker-end="url(#head)"{start}/>'


def queue(x: float, y: float, full: int, places: int = 4) -> str:
    """Places in a row, the first ones taken."""
    cells = [f'<rect class="box" x="{x + 28 * i}" y="{y}" width="28" height="28"/>' for i in range(places)]
    return "".join(cells + [goroutine(x + 28 * i + 14, y + 14) for i in range(full)])


def span(x: float, width: float, name: str) -> str:
    """A goroutine that runs for so long."""
    bar = f'<rect class="goroutine" x="{x}" y="64" width="{width}" height="30" rx="4"/>'
    return bar + text(x + width / 2, 84, name, "in")


def gmp() -> Picture:
    """Ps and their queues, and the threads that have them."""
    parts = []
    for n, (left, waiting) in enumerate(((20, 3), (250, 1))):
        parts += [
            box(left, 20, 150, 50, f"M{n}", "an OS thread"),
            goroutine(left + 75, 95),
            text(left + 92, 99, "runs", "small", "start"),
            box(left, 120, 150, 92, f"P{n}", "its queue"),
            queue(left + 19, 170, waiting),
            arrow((left + 75, 120), (left + 75, 108)),
        ]
    parts += [
        box(480, 20, 150, 50, "M2", "blocks in C: no P"),
        goroutine(555, 95),
        text(572, 99, "is in C code", "small", "start"),
        arrow((250, 184), (172, 184)),
        text(211, 176, "steals half", "small"),
        box(20, 256, 260, 60, "", ""),
        text(150, 276, "global queue"),
        text(150, 293, "from threads outside, and overflow", "small"),
        arrow((95, 256), (95, 214)),
        box(330, 256, 300, 60, "", ""),
        text(480, 276, "poller and timers"),
        text(480, 293, "goroutines whose data or time has come", "small"),
        arrow((360, 256), (360, 214)),
    ]
    return 650, 330, parts


def states() -> Picture:
    """What a goroutine may be, one after another."""
    parts = [
        text(40, 62, "go(f)"),
        arrow((64, 58), (98, 58)),
        box(100, 30, 120, 54, "runnable", "in a queue"),
        arrow((220, 46), (358, 46)),
        text(289, 38, "a thread takes it", "small"),
        arrow((360, 70), (222, 70)),
        text(289, 86, "its time slice is over", "small"),
        box(360, 30, 120, 54, "running", "on one M"),
        arrow((480, 57), (558, 57)),
        text(519, 49, "f returns", "small"),
        box(560, 30, 80, 54, "dead", ""),
        arrow((420, 84), (420, 138)),
        text(430, 115, "recv, lock, sleep, read ...", "small", "start"),
        box(340, 140, 160, 54, "waiting", "in somebody's queue"),
        arrow((340, 167), (160, 167), (160, 86)),
        text(250, 185, "send, unlock, data ...", "small"),
    ]
    return 660, 210, parts


def moves() -> Picture:
    """Which goroutines other threads may take."""
    parts = [box(20, 20, 270, 190, "", ""), box(360, 20, 270, 190, "", "")]
    parts += [text(155, 42, "thread 1"), text(495, 42, "thread 2")]
    rows = (
        (70, "not started", True),
        (110, "no stack, between steps", True),
        (150, "with a stack, started", False),
    )
    for y, name, moves_on in rows:
        parts += [goroutine(45, y), text(64, y + 4, name, "", "start")]
        if moves_on:
            parts.append(arrow((240, y), (410, y), both=True))
    parts += [
        text(325, 62, "may move", "small"),
        text(64, 172, "its stack is this thread's C stack", "small", "start"),
        text(64, 190, "it stays", "small", "start"),
    ]
    return 650, 230, parts


def slices() -> Picture:
    """One thread over time."""
    parts = [
        text(20, 84, "M0", "", "start"),
        span(60, 250, "G1 computes"),
        span(314, 60, "G2"),
        span(378, 60, "G3"),
        span(442, 170, "G1 goes on"),
        text(20, 34, "sysmon", "", "start"),
        arrow((250, 38), (250, 62)),
        text(250, 30, "10 ms: raises the flag", "small"),
        arrow((312, 128), (312, 98)),
        text(312, 144, "the next call into gopy: it yields", "small"),
        text(60, 120, "G2 and G3 wait", "small", "start"),
    ]
    return 640, 160, parts


PICTURES: dict[str, Callable[[], Picture]] = {f.__name__: f for f in (gmp, states, moves, slices)}


def drawn(name: str, alt: str) -> str:
    width, height, parts = PICTURES[name]()
    head = HEAD.replace('id="head"', f'id="head-{name}"')
    body = "".join(parts).replace("url(#head)", f"url(#head-{name})")
    return (
        f'<div class="picture"><svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(alt)}">'
        f"<defs>{head}</defs>{body}</svg></div>"
    )


class PictureDirective(Directive):
    required_arguments = 1
    option_spec = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        self.state.document.settings.env.note_dependency(__file__)
        return [nodes.raw("", drawn(self.arguments[0], self.options["alt"]), format="html")]


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("picture", PictureDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    style = (Path(__file__).parent.parent / "_static" / "gopy.css").read_text()
    print(f"<style>{style}</style>{drawn(sys.argv[1], sys.argv[1])}")
