"""The benchmark suite: its arithmetic, its files, its report, and that every workload runs."""

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import psutil
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from benchmarks import __main__ as main  # noqa: E402
from benchmarks import child, cores, results, runner, scaling, soak, table  # noqa: E402
from benchmarks.workload import UVLOOP, Metric, Target, Workload  # noqa: E402

MACHINE = {"python": "CPython 3", "regime": "gil", "system": "Linux", "cpus": 2}
needs_matplotlib = pytest.mark.skipif(
    not importlib.util.find_spec("matplotlib"), reason="NO MATPLOTLIB HERE: the report is not tested"
)
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def record(peer="gopy", median=100.0, **more):
    gomaxprocs = 1 if peer in ("gopy", "go") else None
    made = {"workload": "pingpong", "peer": peer, "gomaxprocs": gomaxprocs, "n": 0, "title": "a round trip"}
    made |= {"metric": "round trip", "unit": "ns", "median": median, "spread": 0.02, "samples": [median]}
    return made | more


def point(n, median, peer="gopy", name="spawn"):
    made = {"workload": name, "operation": name, "peer": peer, "goroutines": n, "unit": "ns", "metric": "x"}
    return made | {"median": median, "spread": 0.0, "samples": [median]}


CONTENT = {
    "machine": MACHINE,
    "quick": True,
    "results": [
        *(record(peer, cost) for peer, cost in (("gopy", 326.0), ("go", 290.0), ("asyncio", 9_000.0))),
        record(workload="memory", unit="bytes", metric="goroutine", median=6_500.0),
        {"workload": "memory", "peer": "gevent", "gomaxprocs": None, "n": 0, "error": "<no> module"},
    ],
    "scaling": [point(n, 100 + n / 5_000, peer) for peer in ("gopy", "go") for n in scaling.COUNTS],
    "speedups": [record(workload="cpu_parallel", gomaxprocs=p, median=800 / p) for p in (1, 2, 4)],
}


def sample(seconds, requests, memory):
    counts = dict.fromkeys(soak.WATCHED, 7)
    return {"seconds": seconds, "requests": requests} | counts | {"memory": memory}


# Arithmetic


def test_calibrated_until_it_takes_long_enough():
    asked = []

    def version(n):
        asked.append(n)
        return n * 1e-6

    totals, n = child.calibrated(version, 8, 0.01)
    assert totals == (n * 1e-6,) and totals[0] >= 0.01
    assert asked[-1] == n and all(each % 8 == 0 for each in asked)
    assert asked == sorted(set(asked))


def test_repeated_adds_up_and_leaves_out_the_first():
    times = iter([100.0, 1.0, 2.0, 3.0])
    assert child.repeated(lambda n: (next(times), n), 5, 6.0) == ((6.0, 15), 15)


def test_cold_is_warmed_up_by_a_tenth():
    asked = []
    assert child.cold(lambda n: asked.append(n) or 1.0, 10, 1) == ((1.0,), 10)
    assert asked == [1, 10]


@pytest.mark.parametrize(("unit", "expected"), [("ns", 5e8), ("bytes", 0.5), ("ratio", 2.0)])
def test_per_operation(unit, expected):
    assert child.per_operation(Metric(unit=unit, what="it"), 2.0, 4) == expected


def case(peer, values, gomaxprocs=None):
    return runner.Case("pingpong", peer, gomaxprocs, 0, [], 1.0, samples=[[value] for value in values])


def test_median_and_spread():
    measured = case("gopy", [100.0, 90.0, 120.0, 110.0, 1_000.0])
    assert measured.median(0) == 110.0
    assert measured.spread(0) == pytest.approx(10 / 110)
    assert case("gopy", [7.0]).spread(0) == 0.0


def test_ratio_compares_like_with_like():
    cases = [
        case("gopy", [100.0], 1),
        case("gopy", [130.0], 2),
        case("go", [50.0], 1),
        case("gevent", [400.0]),
    ]
    target = Target(1.4, peer="go", regimes=("gil", "free-threaded"))
    block = table.Block("pingpong", Metric(unit="ns", what="it", targets=(target,)), 0, cases)
    assert block.ratio(cases[2], 1) == 2.0 and block.ratio(cases[2], 2) is None
    assert block.ratio(cases[3], 1) == 0.25
    assert not next(block.verdicts(cases[2])).met
    text = table.table(cases)
    assert "gopy P=1 / it" in text and "0.250" in text


def test_another_form_of_gopy_may_be_a_target():
    cases = [case("gopy", [110.0], 1), case("gopy, plain", [100.0], 1), case("gopy, other", [100.0], 1)]
    target = Target(1.05, peer="gopy, plain", regimes=("gil", "free-threaded"))
    block = table.Block("pingpong", Metric(unit="ns", what="it", targets=(target,)), 0, cases)
    assert [verdict.met for verdict in block.verdicts(cases[1])] == [False]
    assert block.ratio(cases[2], 1) is None


def test_a_case_without_time_says_so():
    late = case("gevent", [])
    late.no_time = True
    assert "no time" in table.table([case("gopy", [1.0], 1), late])


def test_share_of_the_time(monkeypatch):
    monkeypatch.setattr(runner, "perf_counter", lambda: 10.0)
    assert runner.share(runner.Options(quick=True, until=110.0), 4).until == 35.0
    assert runner.share(runner.Options(), 4).until == float("inf")


# Registration


def test_every_workload_is_found():
    assert {f"bench_{name}.py" for name in runner.NAMES} == {
        path.name for path in (REPOSITORY / "benchmarks").glob("bench_*.py")
    }


@pytest.mark.parametrize("name", runner.NAMES)
def test_a_workload_is_whole(name):
    workload = runner.load(name)
    assert workload.peers[0] == "gopy" and workload.metrics and workload.title
    program = REPOSITORY / "benchmarks" / "go" / (workload.go_program or name) / "main.go"
    assert workload.in_go == program.exists()


def test_uvloop_runs_what_asyncio_does():
    def version(n):
        return 1.0

    workload = Workload("", (), {"gopy": version, "asyncio": version, "trio": version})
    assert workload.peers == ["gopy", "go", "asyncio", UVLOOP, "trio"]


def test_a_version_for_go_stands_where_it_is():
    workload = Workload("", (), dict.fromkeys(("gopy", "go", "gevent"), lambda n: 1.0))
    assert workload.peers == ["gopy", "go", "gevent"]
    go_programs = runner.Peers({}, REPOSITORY)
    assert runner.command_of("echo", "go", go_programs)[1:5] == ["-m", "benchmarks.child", "echo", "go"]
    assert runner.command_of("pingpong", "go", go_programs) == [str(REPOSITORY / "pingpong")]


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["gopy", "gopy, async def", "asyncio", UVLOOP, "threads", "gevent", "go"])
def test_an_echo_server_under_load(peer):
    """Each answers, alone on its core."""
    from benchmarks import under_load

    needed = runner.MODULES.get(peer)
    if (needed and not importlib.util.find_spec(needed)) or (peer == "go" and not runner.find_go()):
        pytest.skip(f"NO {peer} HERE")
    before = os.sched_getaffinity(0)
    server = under_load.Server(peer)
    try:
        numbers = under_load.load(server, 5, 5000)
        assert numbers["cpu"] > 0 and 0 < numbers["p99"] <= numbers["seconds"]
        assert os.sched_getaffinity(server.pid) == set(under_load.CORES[:1])
    finally:
        server.kill()
        os.sched_setaffinity(0, before)


def test_a_server_ends_with_whoever_started_it(run_program, until):
    end = run_program(f"""
        import os, sys
        sys.path.insert(0, {str(REPOSITORY)!r})
        from benchmarks.under_load import Server
        print(Server("threads").pid, flush=True)
        os._exit(0)
    """)
    pid = int(end.stdout)

    def ended():
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    until(ended, seconds=30)


@pytest.mark.slow
@pytest.mark.timeout(300)  # however long so many requests take
def test_a_soaked_server_grows_no_more(monkeypatch):
    """From 20,000 requests on, up to 80,000: what leaks some hundred bytes a request shows."""
    monkeypatch.setattr(soak, "SAMPLES", 10_000)
    seen = soak.Soak()
    for each in soak.watch(500):
        seen.samples.append(each)
        if each["requests"] > 80_000:
            break
    warm = next(each for each in seen.samples if each["requests"] > 20_000)
    memory = (1 if runner.regime() == "gil" else 8) << 20  # without a GIL Python fills its heaps for longer
    for name, most in (("memory", memory), ("descriptors", 20), ("goroutines", 40), ("threads", 4)):
        assert min(each[name] for each in seen.samples[-10:]) < warm[name] + most, (name, str(seen))


def test_the_slope_of_a_soak():
    grows = soak.Soak([sample(t, 100 * t, 5000 + (0 if t < 5 else 300 * t)) for t in range(11)])
    assert grows.bytes_per_request == pytest.approx(3.0)
    assert str(grows).startswith("1,000 requests in 10 s, 100 a second. In the second half: memory ")
    assert "+3.0 bytes per request; 7 -> 7 descriptors, 7 -> 7 goroutines" in str(grows)
    assert str(soak.Soak()) == str(soak.Soak(grows.samples[:2])) == "Too short: nothing was seen."


def test_a_soaked_server_that_dies_is_told(capfd):
    with pytest.raises(soak.ServerEndedError, match="exit status 1"):
        list(soak.watch(-1))  # there is no such ticker
    assert "ValueError" in capfd.readouterr().err


@pytest.mark.slow
def test_every_workload_runs(run_programs):
    programs = {}
    for name in runner.NAMES:
        workload = runner.load(name)
        n = 1 if workload.n == 1 else -(-10 // workload.step) * workload.step
        programs[name] = f"""
            import sys
            sys.path.insert(0, {str(REPOSITORY)!r})
            sys.argv = ["child", {name!r}, "gopy", "-n", "{n}", "-cold"]
            from benchmarks.child import main
            main()
        """
    finished = run_programs((program, {}) for program in programs.values())
    for name, end in zip(programs, finished, strict=True):
        assert end.returncode == 0, f"{name}: {end.stderr}"
        assert '"values"' in end.stdout


# Files and comparisons


def test_json_round_trip(tmp_path):
    cases = [case("gopy", [100.0, 110.0], 1), case("gevent", [])]
    cases[1].error = "broken"
    written = list(results.records(cases))
    results.write(tmp_path / "r.json", quick=True, results=written)
    content = results.read(tmp_path / "r.json")
    assert content["results"] == written and content["quick"] and content["scaling"] == []
    assert written[0]["samples"] == [100.0, 110.0] and written[1]["error"] == "broken"
    nothing = written[0] | {"median": 0.0}  # ten goroutines in pages that were there already
    results.write(tmp_path / "r.json", quick=True, scaling=[nothing, written[0]])
    assert results.read(tmp_path / "r.json")["scaling"] == [written[0]]


@pytest.mark.parametrize("text", ["", "[]", '{"results": []}', '{"machine": {}, "results": [{}]}', "\x00"])
def test_a_file_that_json_did_not_write(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ValueError, match="is not a file that --json wrote"):
        results.read(tmp_path / "r.json")


def test_comparison():
    old = [record(), record("gevent", 1_000.0), record(workload="ring"), record(workload="sieve")]
    new = [
        record(median=130.0),
        record("gevent", 1_100.0),
        record(workload="ring", median=80.0),
        record(workload="sieve", median=104.0),
        record(workload="fib"),
    ]
    lines = results.comparison(old, new).splitlines()
    assert lines[0] == "2 of 3 figures of gopy changed by more than noise."
    assert "+30% pingpong" in lines[1] and "25% beyond the noise of ±5%" in lines[1]
    assert "-20% ring" in lines[2]
    assert lines[3].endswith("+10% in the median.") and len(lines) == 4


def test_noise_is_what_both_runs_spread():
    noisy = [record(spread=0.2)], [record(median=130.0, spread=0.15)]
    assert results.comparison(*noisy).startswith("0 of 1")


def test_differences():
    assert results.differences(MACHINE, MACHINE) == ""
    assert "cpus 2 -> 8" in results.differences(MACHINE, MACHINE | {"cpus": 8})


# How cost grows


def test_growth_names_the_cause():
    grown = [point(1_000, 100.0), point(1_000_000, 151.0)]
    (growth,) = scaling.growths(grown)
    assert not growth.within and growth.ratio == 1.51
    assert scaling.CAUSES["spawn"] in str(growth)
    assert "the cause is not known" in str(scaling.growths([each | {"workload": "x"} for each in grown])[0])
    assert scaling.growths([point(1_000, 100.0), point(1_000_000, 150.0)])[0].within
    assert "not measured" in str(scaling.growths([point(1_000, 1.0)])[0])


def test_causes_are_of_workloads_that_scale():
    assert set(scaling.CAUSES) <= set(scaling.names_of())


def test_speed_up():
    assert cores.speed_up(CONTENT["speedups"]) == {("cpu_parallel", "gopy"): {1: 1.0, 2: 2.0, 4: 4.0}}
    assert cores.speed_up([record(gomaxprocs=1)]) == {}
    assert cores.summary(CONTENT["speedups"]).split() == [
        "cpu_parallel",
        "gopy",
        "800",
        "ns",
        "P=2",
        "2.00",
        "P=4",
        "4.00",
    ]
    failed = [{"workload": "spawn", "peer": "go", "gomaxprocs": 2, "error": "exit status 1"}]
    assert cores.summary(failed) == "spawn, go: exit status 1"
    assert cores.summary([]) == "Nothing was measured."


def test_cores_counts_begin_with_one():
    assert main.counts("8,2") == (1, 2, 8)
    for bad in ("0", "-1,2"):
        with pytest.raises(argparse.ArgumentTypeError, match="positive"):
            main.counts(bad)


def test_a_curve_stops_before_it_takes_too_long():
    options = scaling.Options(quick=True)
    assert "took 2.0 s" in scaling.reason_to_stop("gevent", 10_000, 2.0, options, float("inf"))
    assert scaling.reason_to_stop("gopy", 10_000, 2.0, options, float("inf")) == ""
    assert scaling.reason_to_stop("threads", 10_000, 0.0, options, float("inf"))
    assert scaling.reason_to_stop("gopy", 10, 0.1, options, 0.0) == "no time left"
    assert scaling.reason_to_stop("gopy", 10, 0.1, options, float("inf")) == ""


# The report


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.figures, self.links = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]
        if tag == "figure":
            self.figures.append(attributes["id"])
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.slow
@needs_matplotlib
def test_report():
    from benchmarks import report

    text = report.page([CONTENT])
    page = Page(text)
    assert page.open == []
    assert page.figures == ["f0-overview", "f0-bars0", "f0-bars1", "f0-scaling", "f0-speedups"]
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert not re.search(r"https?:|@import|<script", text)
    assert not re.search(r"#0102\w\w", text)
    assert "gopy, P=1" in text and "326 ns" in text and "6.5 KB" in text
    assert "&lt;no&gt; module" in text
    assert scaling.CAUSES["spawn"].split(";")[0] in text.replace("&#x27;", "'")


@needs_matplotlib
def test_report_says_what_was_not_measured():
    from benchmarks import report

    text = report.page([CONTENT | {"scaling": [], "speedups": []}])
    assert Page(text).figures == ["f0-overview", "f0-bars0", "f0-bars1"]
    assert "speed-up against GOMAXPROCS was not measured" in text and "How cost grows was not" in text


@needs_matplotlib
def test_a_picture_of_a_soak(tmp_path):
    soak.draw([sample(t, 100 * t, 5e6 + t) for t in range(4)], tmp_path / "s.svg")
    text = (tmp_path / "s.svg").read_text()
    assert all(name in text for name in soak.WATCHED) and not re.search(r"#0102\w\w|var\(", text)


@pytest.mark.slow
@needs_matplotlib
def test_pictures(tmp_path):
    from benchmarks import report

    results.write(tmp_path / "r.json", **CONTENT)
    assert report.pictures_main([str(tmp_path / "r.json"), "-o", str(tmp_path / "pictures")]) == 0
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["overview-dark.svg", "overview-light.svg", "scaling-dark.svg", "scaling-light.svg"]
    for path in (tmp_path / "pictures").iterdir():
        assert not re.search(r"#0102\w\w|var\(", path.read_text())


@needs_matplotlib
@pytest.mark.skipif(not CHROMIUM, reason="NO CHROMIUM HERE: the report is not looked at in a browser")
def test_report_in_a_browser(tmp_path):
    """Rendered in light and in dark, the page is of its paper's colour, and ink and gopy's colour stand out."""
    from PIL import Image

    from benchmarks import report

    (tmp_path / "r.html").write_text(report.page([CONTENT]))
    for scheme, flag, paper, gopy in (
        ("light", "1", (255, 255, 255), (0xC2, 0x41, 0x0C)),
        ("dark", "0", (0x0D, 0x11, 0x17), (0xFF, 0x92, 0x48)),
    ):
        picture = tmp_path / f"{scheme}.png"
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--blink-settings=preferredColorScheme={flag}",
        ]
        command += ["--window-size=960,2200", f"--screenshot={picture}", (tmp_path / "r.html").as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=50)
        with Image.open(picture) as image:
            colours = {colour: n for n, colour in image.convert("RGB").getcolors(1 << 24)}
        assert max(colours, key=colours.get) == paper
        assert colours.get(gopy, 0) > 2_000, scheme  # the bars of gopy


@needs_matplotlib
@pytest.mark.parametrize(("low", "high"), [(310, 480), (210, 890), (500, 50_000), (1e3, 1e8), (4e6, 4e6)])
def test_every_axis_of_the_scaling_picture_has_numbers(low, high):
    from benchmarks import charts

    points = [(10, low), (1_000, (low + high) / 2), (100_000, high)]
    figure = charts.scaling(
        [
            {"workload": "w", "peer": "gopy", "operation": "hop", "unit": "ns", "goroutines": n, "median": m}
            for n, m in points
        ]
    )
    figure.canvas.draw()
    axes = figure.axes[0]
    bottom, top = axes.get_ylim()
    shown = [
        text.get_text()
        for text, at in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)
        if bottom <= at <= top
    ]
    assert len([text for text in shown if text]) >= 2
