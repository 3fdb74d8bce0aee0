"""Measure every workload with gopy and with every peer installed, and print one table.

    python -m benchmarks                                    # half an hour
    python -m benchmarks --quick --only pingpong,spawn
    python -m benchmarks scaling --json scaling.json        # cost against the number of goroutines
    python -m benchmarks cores --json cores.json            # speed against GOMAXPROCS
    python -m benchmarks report FILE.json -o report.html    # a page of what --json wrote, one file or several
    python -m benchmarks pictures FILE.json ...             # two of its pictures, for the README
    python -m benchmarks soak --seconds 600                 # what a busy server holds, over time
    python -m benchmarks pyperf --only pingpong -o p.json   # the same loops, timed by pyperf

Each figure is the median over fresh child processes, which take turns: one of each peer, then the next of
each. A child warms up, then times the loop alone, without its own start-up. A ratio below 1 means that gopy
takes less. Where a peer knows GOMAXPROCS, gopy is compared with it at the same one.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks import cores, results, scaling, soak
from benchmarks.progress import Progress
from benchmarks.runner import (
    NAMES,
    Case,
    Options,
    Peers,
    children,
    find_peers,
    machine,
    measure,
    names_to_run,
    share,
)
from benchmarks.table import failures, summary, table

QUICK_SECONDS = 100  # for --quick as a whole, its compiling included; the child that runs then may finish


def workload_names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"no workload {', '.join(unknown)!r}; there are {', '.join(NAMES)}")
    return names


def old_results(text: str) -> dict[str, Any]:
    try:
        return results.read(Path(text))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def writable(text: str) -> Path:
    """A path that can be written: found out before minutes of measuring, not after."""
    path = Path(text)
    try:
        path.touch()
    except OSError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path


def duration(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError("must be a second at least")
    return seconds


def parse_args(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", type=workload_names, metavar="NAMES", help=f"comma-separated, of {', '.join(NAMES)}"
    )
    parser.add_argument("--quick", action="store_true", help="fewer and smaller runs: under two minutes")
    parser.add_argument("--json", type=writable, metavar="FILE", help="write every sample to FILE")
    parser.add_argument(
        "--compare",
        type=old_results,
        metavar="OLD.json",
        help="say where gopy changed since OLD.json, beyond noise",
    )
    return parser.parse_args(arguments)


def announced_peers() -> Peers:
    print(", ".join(f"{name} {value}" for name, value in machine().items()), flush=True)
    peers = find_peers()
    for peer, reason in peers.missing.items():
        print(f"not measured: {peer}: {reason}", flush=True)
    return peers


def run(arguments: list[str]) -> int:
    args = parse_args(arguments)
    until = perf_counter() + QUICK_SECONDS if args.quick else float("inf")
    options = Options(quick=args.quick, until=until)
    peers = announced_peers()
    names = names_to_run(args.only, options)
    progress = Progress(children(names, peers, options))
    cases: list[Case] = []
    interrupted = False
    try:
        for done, name in enumerate(names):
            progress.begin(name)
            cases += measure(name, peers, share(options, len(names) - done), progress.advance)
    except KeyboardInterrupt:
        interrupted = True
    progress.close()
    if interrupted:
        print("interrupted: what was measured until then follows", file=sys.stderr)

    if cases:
        print(f"\n{table(cases)}\n\n{summary(cases)}")
    if left_out := sum(case.no_time for case in cases):
        print(f"There was no time left for {left_out} of {len(cases)} cases.")
    if args.json:
        results.write(args.json, quick=options.quick, results=list(results.records(cases)))
    if args.compare:
        if differences := results.differences(args.compare["machine"], machine()):
            print(f"\n{differences}")
        print(f"\n{results.comparison(args.compare['results'], list(results.records(cases)))}")
    if failed := failures(cases):
        print(f"\nFailed:\n{failed}")
    if interrupted:
        return 130
    return 1 if any(case.error and case.peer.startswith("gopy") for case in cases) else 0


def gathered(records: Iterator[dict[str, Any]], progress: Progress) -> tuple[list[dict[str, Any]], bool]:
    """(all of the records, or those until Ctrl-C; whether it was pressed)"""
    found: list[dict[str, Any]] = []
    interrupted = False
    try:
        for record in records:
            found.append(record)
    except KeyboardInterrupt:
        interrupted = True
    progress.close()
    return found, interrupted


def run_scaling(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks scaling", description=scaling.__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", type=workload_names, metavar="NAMES", help=", ".join(scaling.names_of()))
    parser.add_argument("--quick", action="store_true", help="one run a point: a few minutes")
    parser.add_argument("--json", type=writable, metavar="FILE", required=True, help="where to write it")
    args = parser.parse_args(arguments)
    options = scaling.Options(quick=args.quick)
    peers = announced_peers()
    progress = Progress(scaling.steps(peers, args.only), unit="point")
    found, interrupted = gathered(
        scaling.curves(peers, options, progress.advance, progress.begin, args.only), progress
    )
    results.write(args.json, quick=options.quick, scaling=found)
    print(scaling.summary(found))
    return 130 if interrupted else 0


def counts(text: str) -> tuple[int, ...]:
    found = tuple(sorted({1, *map(int, text.split(","))}))
    if found[0] < 1:
        raise argparse.ArgumentTypeError("must be positive numbers")
    return found


def run_cores(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks cores", description=cores.__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", type=workload_names, metavar="NAMES", help=", ".join(cores.names_of()))
    parser.add_argument(
        "--procs", type=counts, default=cores.default_procs(), help="1,2,4 ... up to the CPUs"
    )
    parser.add_argument("--runs", type=int, default=3, help="children for each figure: 3")
    parser.add_argument("--quick", action="store_true", help="smaller workloads")
    parser.add_argument("--json", type=writable, metavar="FILE", help="write every sample to FILE")
    parser.add_argument("-o", "--output", type=writable, metavar="FILE.svg", help="draw the speed-ups")
    args = parser.parse_args(arguments)
    from benchmarks.report import has_matplotlib

    draws = args.output and has_matplotlib()
    options = cores.Options(args.procs, args.runs, args.quick)
    peers = announced_peers()
    progress = Progress(cores.steps(peers, options, args.only), unit="child")
    found, interrupted = gathered(
        cores.records(peers, options, progress.advance, progress.begin, args.only), progress
    )
    if args.json:
        results.write(args.json, quick=options.quick, speedups=found)
    if draws and cores.speed_up(found):
        cores.draw(found, args.output)
    print(cores.summary(found))
    return 130 if interrupted else 0


def run_soak(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=soak.__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seconds", type=duration, default=60, help="60; 600 tells more")
    parser.add_argument("--json", type=writable, metavar="FILE", help="write every sample to FILE")
    parser.add_argument("-o", "--output", type=Path, default=Path("soak.svg"), help="soak.svg")
    args = parser.parse_args(arguments)
    print(", ".join(f"{name} {value}" for name, value in machine().items()), flush=True)
    from benchmarks.report import has_matplotlib

    if draws := has_matplotlib():
        args.output.touch()
    seen, status = soak.Soak(), 0
    progress = Progress(soak.SAMPLES, unit="sample")
    progress.begin("soak")
    try:
        for sample in soak.watch(args.seconds):
            seen.samples.append(sample)
            progress.advance()
    except KeyboardInterrupt:
        status = 130
    except soak.ServerEndedError as error:
        print(error, file=sys.stderr)
        status = 1
    progress.close()
    if draws and seen.samples:
        soak.draw(seen.samples, args.output)
    if args.json:
        results.write(args.json, soak=seen.record())
    print(seen)
    return status


def run_report(arguments: list[str]) -> int:
    from benchmarks import report

    return report.main(arguments)


def run_pictures(arguments: list[str]) -> int:
    from benchmarks import report

    return report.pictures_main(arguments)


def run_pyperf(arguments: list[str]) -> int:
    from benchmarks import with_pyperf

    return with_pyperf.main(arguments)


COMMANDS = {
    "scaling": run_scaling,
    "cores": run_cores,
    "soak": run_soak,
    "report": run_report,
    "pictures": run_pictures,
    "pyperf": run_pyperf,
}


def main() -> int:
    arguments = sys.argv[1:]
    command = COMMANDS.get(arguments[0]) if arguments else None
    return command(arguments[1:]) if command else run(arguments)


if __name__ == "__main__":
    sys.exit(main())
