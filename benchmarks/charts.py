"""The pictures, drawn with matplotlib as SVG whose colours follow the page that shows them.

matplotlib is given one marker colour for each role; each marker becomes the CSS variable of its role, so that
one drawing is read in light and in dark. Text stays text.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from benchmarks.scaling import FEW, GROWS_TO, MANY
from benchmarks.workload import is_gopy

# role: (marker, in light, in dark)
COLOURS = {
    "ink": ("#010203", "#1f2328", "#e6edf3"),
    "faint": ("#010204", "#d0d7de", "#3d444d"),
    "bar": ("#010205", "#9aa7b4", "#6b7682"),
    "gopy": ("#010206", "#c2410c", "#ff9248"),
    "go": ("#010207", "#0e7490", "#3cc8e0"),
    "gevent": ("#010208", "#15803d", "#56d364"),
    "asyncio": ("#010209", "#6d28d9", "#b392f0"),
    "trio": ("#01020a", "#a16207", "#e3b341"),
    "threads": ("#01020b", "#57606a", "#9da7b1"),
    "other": ("#01020c", "#be185d", "#f778ba"),
}
MARKERS = {"go": "s", "gevent": "^", "asyncio": "D", "trio": "v", "threads": "X", "gopy": "o"}
INK, FAINT = COLOURS["ink"][0], COLOURS["faint"][0]
FONTS = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "gopy",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def role_of(peer: str) -> str:
    first = "gopy" if is_gopy(peer) else re.split(r"[,+]", peer)[0]
    return first if first in COLOURS else "other"


def colour(peer: str) -> str:
    return COLOURS[role_of(peer)][0]


def label(value: float, unit: str) -> str:
    """Three digits and a unit that a human would choose."""
    if unit == "ratio":
        return f"{value:.3g}"
    steps = [("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1)]
    if unit == "bytes":
        steps = [("GB", 1e9), ("MB", 1e6), ("KB", 1e3), ("B", 1)]
    name, size = next((step for step in steps if value >= 0.9995 * step[1]), steps[-1])
    return f"{value / size:.3g} {name}" if value / size < 999.5 else f"{value / size:.0f} {name}"


def case_label(record: Mapping[str, Any]) -> str:
    return record["peer"] + (f", P={record['gomaxprocs']}" if record.get("gomaxprocs") else "")


def log_axis(axis: Any, unit: str) -> None:
    """Of an axis whose limits are known: a short one has few powers of ten to be numbered, or none."""
    low, high = axis.get_view_interval()
    if high < 10 * low:
        axis.set_major_locator(MaxNLocator(5))
    elif high < 1000 * low:
        axis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: label(value, unit)))
    axis.set_minor_formatter(NullFormatter())


def bars(records: Sequence[Mapping[str, Any]]) -> Figure:
    """One metric of one workload: a bar a case, the cheapest on top."""
    records = sorted(records, key=lambda record: -record["median"])
    unit = records[0]["unit"]
    values = [record["median"] for record in records]
    figure = Figure(figsize=(7.6, 0.55 + 0.27 * len(records)), layout="constrained")
    axes = figure.subplots()
    low = min(values) / 3
    axes.barh(
        [case_label(record) for record in records],
        [value - low for value in values],
        left=low,
        height=0.68,
        color=[COLOURS["gopy" if is_gopy(record["peer"]) else "bar"][0] for record in records],
    )
    axes.set_xscale("log")
    axes.set_xlim(low, low * (max(values) / low) ** 1.18)
    log_axis(axes.xaxis, unit)
    axes.tick_params(axis="y", length=0)
    for row, record in enumerate(records):
        axes.annotate(
            label(record["median"], unit),
            (record["median"], row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontweight="bold" if is_gopy(record["peer"]) else "normal",
        )
    for tick, record in zip(axes.get_yticklabels(), records, strict=True):
        if is_gopy(record["peer"]):
            tick.set_fontweight("bold")
    return figure


def overview(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Every workload that is timed, a dot a peer; gopy with GOMAXPROCS=1."""
    chosen = [each for each in records if each["unit"] == "ns" and each.get("gomaxprocs") in (None, 1)]
    chosen = [
        each for each in chosen if each["peer"] in ("gopy", "go", "gevent", "asyncio", "trio", "threads")
    ]
    cost = {each["workload"]: each["median"] for each in chosen if each["peer"] == "gopy"}
    names = sorted(cost, key=lambda name: -cost[name])
    figure = Figure(figsize=(7.6, 1.2 + 0.3 * len(names)), layout="constrained")
    axes = figure.subplots()
    for peer in ("threads", "trio", "asyncio", "gevent", "go", "gopy"):
        mine = [each for each in chosen if each["peer"] == peer and each["workload"] in cost]
        if mine:
            x, y = [each["median"] for each in mine], [names.index(each["workload"]) for each in mine]
            size = 70 if peer == "gopy" else 32
            axes.scatter(x, y, s=size, color=colour(peer), marker=MARKERS[peer], label=peer, zorder=3)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xscale("log")
    log_axis(axes.xaxis, "ns")
    axes.grid(axis="both", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("per operation, log scale")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside upper center", ncols=6)
    return figure


def scaling(records: Sequence[Mapping[str, Any]]) -> Figure:
    """The cost of each operation against the number of goroutines, a panel each."""
    names = list(dict.fromkeys(each["workload"] for each in records))
    rows = (len(names) + 1) // 2
    figure = Figure(figsize=(7.6, 0.6 + 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False).flat
    handles: dict[str, Any] = {}
    for name, axes in zip(names, panels, strict=False):
        mine = [each for each in records if each["workload"] == name]
        for peer in dict.fromkeys(each["peer"] for each in mine):
            at = sorted((each["goroutines"], each["median"]) for each in mine if each["peer"] == peer)
            thick = 2.4 if is_gopy(peer) else 1.2
            (line,) = axes.plot(
                *zip(*at, strict=True),
                color=colour(peer),
                marker=MARKERS.get(role_of(peer), "P"),
                markersize=5 if is_gopy(peer) else 4,
                linewidth=thick,
                zorder=3 if is_gopy(peer) else 2,
            )
            handles.setdefault(peer, line)
            few = dict(at).get(FEW)
            if peer == "gopy" and few:
                axes.fill_between(
                    [FEW, MANY], few, GROWS_TO * few, color=colour(peer), alpha=0.2, linewidth=0
                )
        axes.set_xscale("log")
        axes.set_yscale("log")
        log_axis(axes.yaxis, mine[0]["unit"])
        axes.set_xticks([10, 1_000, 100_000], ["10", "1,000", "100,000"])
        axes.set_xlim(6, 2_000_000)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_title(mine[0]["operation"], fontsize=10)
        axes.grid(color=FAINT, linewidth=0.6)
    for axes in panels:
        axes.set_axis_off()
    figure.supxlabel("goroutines", fontsize=10)
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=len(handles))
    return figure


def speedups(found: Mapping[tuple[str, str], Mapping[int, float]]) -> Figure:
    """How much faster each parallel workload is with more CPUs, beside the ideal."""
    names = list(dict.fromkeys(name for name, _ in found))
    figure = Figure(figsize=(7.6, 3.2 * ((len(names) + 1) // 2)), layout="constrained")
    panels = figure.subplots((len(names) + 1) // 2, 2, squeeze=False).flat
    handles: dict[str, Any] = {}
    for name, axes in zip(names, panels, strict=False):
        most = max(max(at) for (each, _), at in found.items() if each == name)
        (handles["ideal"],) = axes.plot([1, most], [1, most], color=FAINT, linestyle="--")
        for (each, peer), at in found.items():
            if each == name:
                (handles[peer],) = axes.plot(
                    list(at),
                    list(at.values()),
                    color=colour(peer),
                    marker=MARKERS.get(role_of(peer), "P"),
                    linewidth=2.4 if is_gopy(peer) else 1.2,
                    zorder=3 if is_gopy(peer) else 2,
                )
        axes.set_title(name, fontsize=10)
        axes.set_ylim(bottom=0)
        axes.set_xticks(sorted({p for (each, _), at in found.items() if each == name for p in at}))
    for axes in panels:
        axes.set_axis_off()
    figure.supxlabel("GOMAXPROCS", fontsize=10)
    figure.supylabel("times as fast as with 1", fontsize=10)
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=6)
    return figure


def soak(panels: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> Figure:
    """What a server holds over time, a panel each: (name, seconds, values)."""
    figure = Figure(figsize=(7.6, 0.6 + 1.6 * len(panels)), layout="constrained")
    for axes, (name, seconds, values) in zip(figure.subplots(len(panels), sharex=True), panels, strict=True):
        axes.plot(seconds, values, color=colour("gopy"), linewidth=1.6)
        axes.set_ylim(0, 1.15 * max(values))
        axes.set_title("memory, MB" if name == "memory" else name, fontsize=10, loc="left")
        axes.grid(color=FAINT, linewidth=0.6)
    figure.supxlabel("seconds", fontsize=10)
    return figure


def raw_svg(figure: Figure) -> str:
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with io.StringIO() as out:
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
        text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return re.sub(r"font: ([^;\"]*?)('DejaVu Sans'[^;\"]*)", rf"font: \1{FONTS}", text)


def drawn(chart: Any, *args: Any) -> Figure:
    """chart(*args), in our colours."""
    with matplotlib.rc_context(SETTINGS):
        return chart(*args)


def inline_svg(figure: Figure, name: str, title: str) -> str:
    """For a page: colours are CSS variables, ids begin with the chart's name, and it needs no namespace."""
    with matplotlib.rc_context(SETTINGS):
        text = raw_svg(figure)
    for role, (marker, _, _) in COLOURS.items():
        text = text.replace(marker, f"var(--{role})")
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)


def standalone_svg(figure: Figure, dark: bool) -> str:
    """For a file of its own, in light or in dark."""
    with matplotlib.rc_context(SETTINGS):
        text = raw_svg(figure)
    for marker, light, in_dark in COLOURS.values():
        text = text.replace(marker, in_dark if dark else light)
    return text
