"""One HTML page of what was measured, with everything in it.

    python -m benchmarks report FILE.json -o report.html

Several files may be given: of another Python, and of `python -m benchmarks scaling` and `cores`.
"""

import argparse
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks import cores, results, scaling

PICTURES = Path(__file__).parent / "pictures"
STYLE = """
body { font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; color: var(--ink);
  background: var(--paper); max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
figure { margin: 1rem 0 2rem; } figcaption { margin-bottom: .4rem; } svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; } td, th { padding: .15rem .7rem; text-align: right; font-weight: normal; }
td:first-child, th:first-child { text-align: left; } thead { border-bottom: 1px solid var(--faint); }
.gopy { color: var(--gopy); font-weight: bold; } .scroll { overflow-x: auto; }
"""


def colours() -> str:
    from benchmarks.charts import COLOURS

    def variables(index: int, paper: str) -> str:
        return "".join(f"--{role}: {value[index]};" for role, value in COLOURS.items()) + f"--paper: {paper};"

    return (
        f":root {{ color-scheme: light dark; {variables(1, '#ffffff')} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {variables(2, '#0d1117')} }} }}"
    )


def where(content: dict[str, Any]) -> str:
    said = ", ".join(f"{name} {value}" for name, value in content["machine"].items())
    return f"{said}, {'quick' if content.get('quick') else 'in full'}"


def figures_table(records: Sequence[dict[str, Any]]) -> str:
    from benchmarks.charts import case_label, label

    rows = "".join(
        f"<tr><td>{escape(case_label(each))}</td><td>{label(each['median'], each['unit'])}</td>"
        f"<td>±{each['spread']:.0%}</td></tr>"
        for each in sorted(records, key=lambda each: each["median"])
    )
    head = "<tr><th>who</th><th>median</th><th>spread</th></tr>"
    return f"<details><summary>figures</summary><table><thead>{head}</thead>{rows}</table></details>"


def chart(name: str, title: str, drawing: Any, after: str = "") -> str:
    from benchmarks.charts import inline_svg

    svg = inline_svg(drawing, name, escape(title))
    caption = f"<figcaption>{escape(title)}</figcaption>"
    return f'<figure id="{name}">{caption}<div class="scroll">{svg}</div>{after}</figure>'


def measured(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in records if each.get("median", 0) > 0]


def not_measured(records: Sequence[dict[str, Any]]) -> str:
    from benchmarks.charts import case_label

    said: dict[tuple[str, str], list[str]] = {}
    for each in records:
        if "median" not in each and each.get("error"):
            at = f" with {each['goroutines']:,} goroutines" if "goroutines" in each else ""
            why = each["error"].strip().splitlines()[-1]
            said.setdefault((each["workload"], why), []).append(f"{case_label(each)}{at}")
    items = "".join(
        f"<li>{escape(name)}: {escape('; '.join(who))}: {escape(why)}</li>"
        for (name, why), who in said.items()
    )
    return f"<details><summary>Not measured</summary><ul>{items}</ul></details>" if items else ""


def workloads(content: dict[str, Any], prefix: str) -> str:
    """The overview and a bar chart for each metric of each workload."""
    from benchmarks import charts

    records = measured(content["results"])
    parts = [f"<h2>What an operation costs</h2><p>{escape(where(content))}</p>"]
    if any(each["peer"] == "gopy" and each["unit"] == "ns" for each in records):
        title = "Every timed workload: what one operation costs"
        parts.append(chart(f"{prefix}overview", title, charts.drawn(charts.overview, records)))
    blocks = dict.fromkeys((each["workload"], each["metric"]) for each in records)
    for index, (name, metric) in enumerate(blocks):
        mine = [each for each in records if (each["workload"], each["metric"]) == (name, metric)]
        per = "" if mine[0]["unit"] == "ratio" else "per "
        title = f"{name}: {mine[0].get('title', name)}; {per}{metric}, log scale"
        drawing = charts.drawn(charts.bars, mine)
        parts.append(chart(f"{prefix}bars{index}", title, drawing, figures_table(mine)))
    return "".join([*parts, not_measured(content["results"])])


def growth(content: dict[str, Any], prefix: str) -> str:
    from benchmarks import charts

    records = measured(content["scaling"])
    parts = [f"<h2>How cost grows</h2><p>{escape(where(content))}</p>"]
    if records:
        title = "Cost against the number of goroutines; the band is 1.5 times what gopy costs among 1,000"
        parts.append(chart(f"{prefix}scaling", title, charts.drawn(charts.scaling, records)))
        items = "".join(
            f"<li{'' if each.within else ' class=gopy'}>{escape(str(each))}</li>"
            for each in scaling.growths(records)
        )
        parts.append(f"<p>From a thousand to a million goroutines:</p><ul>{items}</ul>")
    return "".join([*parts, not_measured(content["scaling"])])


def speed_up(content: dict[str, Any], prefix: str) -> str:
    from benchmarks import charts

    found = cores.speed_up(content["speedups"])
    if not found:
        return ""
    drawing = charts.drawn(charts.speedups, found)
    title = "Speed against GOMAXPROCS, in relation to GOMAXPROCS=1"
    place = f"<p>{escape(where(content))}</p>"
    return f"<h2>More CPUs</h2>{place}{chart(f'{prefix}speedups', title, drawing)}"


def missing(parts: dict[str, str]) -> str:
    commands = {
        "results": "What an operation costs was not measured: python -m benchmarks --json FILE.",
        "scaling": "How cost grows was not measured: python -m benchmarks scaling --json FILE.",
        "speedups": "The speed-up against GOMAXPROCS was not measured: "
        "python -m benchmarks cores --json FILE, on a free-threaded Python.",
    }
    items = "".join(f"<li>{text}</li>" for kind, text in commands.items() if not parts[kind])
    return f"<ul>{items}</ul>" if items else ""


def page(contents: Sequence[dict[str, Any]]) -> str:
    """The whole page."""
    sections = {"results": workloads, "scaling": growth, "speedups": speed_up}
    parts = {
        kind: "".join(
            section(content, f"f{index}-") for index, content in enumerate(contents) if content[kind]
        )
        for kind, section in sections.items()
    }
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>gopy, measured</title>\n<style>{colours()}{STYLE}</style>\n</head>\n<body>\n"
        "<h1>gopy, measured</h1>\n<p>Medians over fresh processes. P is GOMAXPROCS.</p>\n"
        f"{missing(parts)}{''.join(parts.values())}\n</body>\n</html>\n"
    )


def content_of(text: str) -> dict[str, Any]:
    try:
        return results.read(Path(text))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parser(command: str, description: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog=f"python -m benchmarks {command}", description=description)
    made.add_argument("files", nargs="+", type=content_of, metavar="FILE.json", help="what --json wrote")
    return made


def has_matplotlib() -> bool:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        print("The pictures need matplotlib: pip install matplotlib, or gopy[bench].", file=sys.stderr)
        return False
    return True


def main(arguments: list[str]) -> int:
    options = parser("report", "Make one HTML page of what was measured.")
    options.add_argument("-o", "--output", type=Path, default=Path("report.html"), help="report.html")
    args = options.parse_args(arguments)
    if not has_matplotlib():
        return 1
    args.output.write_text(page(args.files), encoding="utf-8")
    return 0


def pictures_main(arguments: list[str]) -> int:
    """Write the overview and the scaling curves, in light and in dark, as files for the README."""
    options = parser("pictures", "Make the README's pictures.")
    options.add_argument("-o", "--output", type=Path, default=PICTURES, help="a folder")
    args = options.parse_args(arguments)
    if not has_matplotlib():
        return 1
    from benchmarks import charts

    args.output.mkdir(parents=True, exist_ok=True)
    for name, kind, draw in (
        ("overview", "results", charts.overview),
        ("scaling", "scaling", charts.scaling),
    ):
        for records in [measured(content[kind]) for content in args.files if content[kind]][:1]:
            for scheme in ("light", "dark"):
                svg = charts.standalone_svg(charts.drawn(draw, records), scheme == "dark")
                (args.output / f"{name}-{scheme}.svg").write_text(svg, encoding="utf-8")
    return 0
