"""The JSON file of a run, and what got slower since another one."""

import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.runner import Case, load, machine
from benchmarks.table import number
from benchmarks.workload import is_gopy

# A change counts when it exceeds this and the spreads of both runs together.
NOISE = 0.05


def records(cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
    """One record for each metric of each case that was measured, one for each that was not."""
    for case in cases:
        who = {"workload": case.workload, "peer": case.peer, "gomaxprocs": case.gomaxprocs, "n": case.n}
        who["title"] = load(case.workload).title.format(n=case.n)
        if case.error or case.no_time:
            yield who | {"error": case.error or "no time left"}
        if not case.samples:
            continue
        for index, metric in enumerate(load(case.workload).metrics):
            yield who | {
                "metric": metric.what,
                "unit": metric.unit,
                "median": case.median(index),
                "spread": case.spread(index),
                "samples": case.values(index),
            }


def write(path: Path, **content: Any) -> None:
    """A file of what was measured: `results`, `scaling`, `speedups`, and where."""
    path.write_text(json.dumps({"machine": machine(), **content}, indent=1) + "\n")


def read(path: Path) -> dict[str, Any]:
    """What write() wrote; of the results, those that were measured. ValueError if it is no such file."""
    try:
        content = json.loads(path.read_text())
        for kind in ("results", "scaling", "speedups"):
            content[kind] = [
                each for each in content.get(kind, []) if each.get("error") or each["median"] > 0
            ]
        if not isinstance(content["machine"], dict):
            raise TypeError
    except (AttributeError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a file that --json wrote") from error
    return content


def key(record: dict[str, Any]) -> tuple[Any, ...]:
    """What must agree for two records to be comparable."""
    return tuple(record[name] for name in ("workload", "metric", "peer", "gomaxprocs", "n"))


def is_figure(record: dict[str, Any]) -> bool:
    return "median" in record and record["median"] > 0


def comparison(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> str:
    """Where gopy changed by more than noise, the slower ones first, and what the peers did meanwhile."""
    before = {key(record): record for record in old if is_figure(record)}
    pairs = [(before[key(record)], record) for record in new if is_figure(record) and key(record) in before]
    changes = []
    for other, record in pairs:
        change = record["median"] / other["median"] - 1
        noise = max(NOISE, record["spread"] + other["spread"])
        if is_gopy(record["peer"]) and abs(change) > noise:
            changes.append((change, noise, other, record))
    compared = sum(is_gopy(record["peer"]) for _, record in pairs)
    lines = [f"{len(changes)} of {compared} figures of gopy changed by more than noise."]
    for change, noise, other, record in sorted(changes, key=lambda item: -item[0]):
        who = f"{record['workload']}, {record['metric']}, {record['peer']}, GOMAXPROCS={record['gomaxprocs']}"
        medians = " -> ".join(number(each["median"], each["unit"]) for each in (other, record))
        beyond = f"{abs(change) - noise:.0%} beyond the noise of ±{noise:.0%}"
        lines.append(f"  {change:+.0%} {who}: {medians} {record['unit']} ({beyond})")
    others = [
        record["median"] / other["median"] - 1 for other, record in pairs if not is_gopy(record["peer"])
    ]
    if others:
        lines.append(
            f"The peers' {len(others)} figures changed by {statistics.median(others):+.0%} in the median."
        )
    return "\n".join(lines)


def differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """What makes two runs hard to compare: another Python, another machine."""
    names = ("python", "regime", "system", "cpus")
    found = [f"{name} {old.get(name)} -> {new.get(name)}" for name in names if old.get(name) != new.get(name)]
    return f"Not measured alike: {', '.join(found)}" if found else ""
