"""A profile as a flame graph: SVG that needs nothing else."""

from collections.abc import Sequence
from html import escape

from gopy.debug._profile import Sample

WIDTH, ROW = 1180, 17
NARROWEST = 0.4  # pixels
NO_CPU = "No goroutine has used the CPU meanwhile."


class _Node:
    __slots__ = ("below", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.below: dict[str, _Node] = {}


def _tree(samples: Sequence[Sample], prefix: str) -> _Node:
    root = _Node()
    for one in samples:
        node = root
        node.seconds += one["seconds"]
        labels = [prefix + one["name"]]
        labels += [f"{function} ({file}:{line})" for file, line, function in one["frames"]]
        for label in labels:
            node = node.below.setdefault(label, _Node())
            node.seconds += one["seconds"]
    return root


def flame(samples: Sequence[Sample], prefix: str = "goroutine ", nothing: str = NO_CPU) -> str:
    """Each row is called by the one above; how wide a box is says how much time it and what it calls have
    taken."""
    root = _tree(samples, prefix)
    if not root.seconds:
        return f"<p>{nothing}</p>"
    boxes, deepest = [], 0
    todo = [("all", root, 0.0, 0)]
    while todo:
        label, node, left, depth = todo.pop()
        width = node.seconds / root.seconds * WIDTH
        if width < NARROWEST:
            continue
        deepest = max(deepest, depth)
        percent = 100 * node.seconds / root.seconds
        name = label.partition(" (")[0]
        shown = name if len(name) * 6.6 < width else name[: max(int(width / 6.6) - 1, 0)]
        hue = sum(map(ord, name)) % 55
        y, wide = depth * ROW, f"{max(width - 0.5, 0.3):.1f}"
        boxes.append(
            f"<g><title>{escape(label)}: {node.seconds:.3f} s, {percent:.1f}%</title>"
            f'<rect x="{left:.1f}" y="{y}" width="{wide}" height="{ROW - 1}" fill="hsl({hue} 75% 62%)"/>'
            f'<text x="{left + 3:.1f}" y="{y + 12}">{escape(shown)}</text></g>'
        )
        for below, child in sorted(node.below.items()):
            todo.append((below, child, left, depth + 1))
            left += child.seconds / root.seconds * WIDTH
    height = (deepest + 1) * ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="100%" '
        f'style="font: 11px monospace">{"".join(boxes)}</svg>'
    )
