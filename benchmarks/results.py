"""The JSON file of a run, and what got slower since another one."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.runner import Case, Options, load, machine
from benchmarks.table import number

# A change counts when it exceeds this and the spreads of both runs together.
NOISE = 0.05


def records(cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
    """One record for each metric of each case that was measured, one for each that was not."""
    for case in cases:
        who = {"workload": case.workload, "peer": case.peer, "gomaxprocs": case.gomaxprocs, "n": case.n}
        if case.error:
            yield who | {"error": case.error}
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


def write(path: Path, cases: Sequence[Case], options: Options) -> None:
    content = {"machine": machine(), "quick": options.quick, "results": list(records(cases))}
    path.write_text(json.dumps(content, indent=1) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """The results in the file, ValueError if it holds none."""
    try:
        results = json.loads(path.read_text())["results"]
        return [record for record in results if "median" in record and record["median"] > 0]
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a file that --json wrote") from error


def key(record: dict[str, Any]) -> tuple[Any, ...]:
    """What must agree for two records to be comparable."""
    return tuple(record[name] for name in ("workload", "metric", "peer", "gomaxprocs", "n"))


def comparison(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> str:
    """Where gopy changed by more than noise, the slower ones first."""
    before = {key(record): record for record in old}
    changes = []
    compared = 0
    for record in new:
        if "median" not in record or not record["peer"].startswith("gopy") or key(record) not in before:
            continue
        compared += 1
        other = before[key(record)]
        change = record["median"] / other["median"] - 1
        noise = max(NOISE, record["spread"] + other["spread"])
        if abs(change) > noise:
            changes.append((change, noise, other, record))
    lines = [f"{len(changes)} of {compared} figures of gopy changed by more than noise."]
    for change, noise, other, record in sorted(changes, key=lambda item: -item[0]):
        who = f"{record['workload']}, {record['metric']}, {record['peer']}, GOMAXPROCS={record['gomaxprocs']}"
        medians = " -> ".join(number(each["median"], each["unit"]) for each in (other, record))
        lines.append(f"  {change:+.0%} {who}: {medians} {record['unit']} (noise ±{noise:.0%})")
    return "\n".join(lines)
