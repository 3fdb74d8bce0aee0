"""What every goroutine is doing at one moment, as plain data, and that as text: equal ones together, or as
a tree of who has started whom.

A snapshot is a list of dicts and goes through JSON unchanged, so that another process can show it.
"""

import sys
from collections import Counter, defaultdict
from typing import Any, NamedTuple, TypedDict

from gopy import _core
from gopy._stacks import Frame


class Created(NamedTuple):
    """Where a goroutine was started, and the id of who did so: 0 is a plain thread."""

    function: str
    file: str
    line: int
    creator: int


class One(TypedDict):
    """A goroutine. Its frames are (file, line, function), the oldest first."""

    id: int
    name: str
    state: str
    waited: float
    locked: bool
    frames: list[tuple[str, int, str]]
    created: Created | None


def creation(goroutine: _core.Goroutine) -> Created | None:
    found = _core.created_by(goroutine)
    if found is None:
        return None
    code, line, creator = found
    return Created(code.co_qualname, code.co_filename, line, creator)


def plain(frames: list[Frame]) -> list[tuple[str, int, str]]:
    return [(code.co_filename, line, code.co_qualname) for code, line, _, _ in frames]


def snapshot(wanted: list[_core.Goroutine] | None = None) -> list[One]:
    """Of all goroutines, or of those."""
    goroutines = _core.goroutines() if wanted is None else wanted
    here = sys._getframe(1)
    stacks = _core.stacks(goroutines, _core.running_here(), here)
    return [
        One(
            id=goroutine.id,
            name=goroutine.name,
            state=state,
            waited=waited,
            locked=locked,
            frames=plain(frames),
            created=creation(goroutine),
        )
        for goroutine, (state, waited, locked, frames) in zip(goroutines, stacks, strict=True)
        if state != "dead"
    ]


def from_json(value: Any) -> list[One]:
    for one in value:
        one["frames"] = [tuple(frame) for frame in one["frames"]]
        one["created"] = Created(*one["created"]) if one["created"] else None
    found: list[One] = value
    return found


def duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"


def place(one: One) -> str:
    """Its newest frame."""
    if not one["frames"]:
        return "not started" if one["state"] == "runnable" else "in C"
    file, line, function = one["frames"][-1]
    return f"{file}:{line} in {function}"


def _ids(ids: list[int]) -> str:
    shown = ", ".join(map(str, ids[:5]))
    return f"{shown}, ..." if len(ids) > 5 else shown


def _longest(group: list[One]) -> str:
    waited = max(one["waited"] for one in group)
    return f", for {'up to ' if len(group) > 1 else ''}{duration(waited)}" if waited else ""


def grouped(found: list[One]) -> str:
    """Equal stacks together, the most frequent first, as Go's goroutine?debug=1."""
    groups = defaultdict(list)
    for one in found:
        groups[one["state"], tuple(one["frames"]), one["created"] and one["created"][:3]].append(one)
    texts = [f"{len(found)} goroutines in {len(groups)} places\n"]
    for (state, frames, created), group in sorted(groups.items(), key=lambda item: -len(item[1])):
        names = sorted({one["name"] for one in group})
        name = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more names"
        head = f"{len(group)} @ {state}{_longest(group)}: {name} ({_ids([one['id'] for one in group])})"
        lines = [head, *(f"    {file}:{line} in {function}" for file, line, function in reversed(frames))]
        if created:
            lines.append(f"    created by {created[0]} at {created[1]}:{created[2]}")
        texts.append("\n".join(lines) + "\n")
    return "\n".join(texts)


def listed(found: list[One]) -> str:
    """A line for each goroutine."""
    head = ("ID", "STATE", "WAITED", "BY", "NAME", "WHERE")
    rows = [head]
    for one in found:
        waited = duration(one["waited"]) if one["waited"] else ""
        by = str(one["created"].creator or "thread") if one["created"] else ""
        rows.append((str(one["id"]), one["state"], waited, by, one["name"], place(one)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)] + [0]
    return "".join("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)


class _Tree:
    """Goroutines under those that have started them; equal ones, with equal ones below them, are one node."""

    def __init__(self, found: list[One]) -> None:
        alive = {one["id"] for one in found}
        self.kind: dict[int, int] = {}  # by id; what is of one kind is equal, and has equal ones below it
        self.below: dict[int, list[One]] = defaultdict(list)  # by the id of the creator; 0: the roots
        numbers: dict[Any, int] = {}
        # Whoever starts a goroutine is older, so its id is lower: what is below one is known before it is.
        for one in sorted(found, key=lambda one: -one["id"]):
            created = one["created"]
            parent = created.creator if created and created.creator in alive else 0
            orphan = created.creator if created and not parent else 0
            children = Counter(self.kind[child["id"]] for child in self.below[one["id"]])
            look = (one["state"], one["name"], tuple(one["frames"]), created and created[:3], orphan)
            key = (look, frozenset(children.items()))
            self.kind[one["id"]] = numbers.setdefault(key, len(numbers))
            self.below[parent].append(one)

    def _groups(self, parents: list[int]) -> list[list[One]]:
        """The equal ones below them, those that come first in the end."""
        groups = defaultdict(list)
        for parent in parents:
            for one in reversed(self.below[parent]):
                groups[self.kind[one["id"]]].append(one)
        return sorted(groups.values(), key=lambda group: -group[0]["id"])

    def lines(self) -> list[str]:
        found = []
        todo = [(group, "", "") for group in self._groups([0])]
        while todo:
            group, first, rest = todo.pop()
            found.append(first + _label(group, rest == ""))
            for i, children in enumerate(self._groups([one["id"] for one in group])):
                last = i == 0
                todo.append((children, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  ")))
        return found


def _label(group: list[One], root: bool) -> str:
    one, created = group[0], group[0]["created"]
    count = f"{len(group)} x " if len(group) > 1 else ""
    ids = _ids([each["id"] for each in group])
    text = f"{count}{one['name']} ({ids}) [{one['state']}{_longest(group)}] {place(one)}"
    if created:
        text += f"; created at {created.file}:{created.line}"
        if root:
            text += f" by goroutine {created.creator}, which has ended" if created.creator else " by a thread"
    return text


def tree(found: list[One]) -> str:
    return "\n".join(_Tree(found).lines()) + "\n"
