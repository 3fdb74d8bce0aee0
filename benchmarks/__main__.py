"""Measure every workload with gopy and with every peer installed, and print one table.

    python -m benchmarks                                    # some minutes
    python -m benchmarks --quick --only pingpong,spawn

Each figure is the median over fresh child processes, which take turns: one of each peer, then the next of
each. A child warms up, then times the loop alone, without its own start-up. A ratio below 1 means that gopy
takes less. Where a peer knows GOMAXPROCS, gopy is compared with it at the same one.
"""

import argparse
import sys
from pathlib import Path

from benchmarks import results
from benchmarks.runner import NAMES, Case, Options, children, find_peers, machine, measure, names_to_run
from benchmarks.table import failures, summary, table


class Progress:
    """A bar on a terminal, and a line a workload elsewhere; both on stderr."""

    def __init__(self, total: int) -> None:
        self.bar = None
        if sys.stderr.isatty():
            try:
                from tqdm import tqdm
            except ImportError:
                print("For a progress bar: pip install tqdm, or gopy[bench].", file=sys.stderr)
            else:
                self.bar = tqdm(total=total, unit="run", leave=False, dynamic_ncols=True)

    def begin(self, name: str) -> None:
        if self.bar is not None:
            self.bar.set_description(name)
        else:
            print(f"{name} ...", file=sys.stderr, flush=True)

    def advance(self) -> None:
        if self.bar is not None:
            self.bar.update()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def workload_names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"no workload {', '.join(unknown)!r}; there are {', '.join(NAMES)}")
    return names


def old_results(text: str) -> list[dict[str, object]]:
    try:
        return results.read(Path(text))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def json_file(text: str) -> Path:
    """A path that can be written: found out before minutes of measuring, not after."""
    path = Path(text)
    try:
        path.touch()
    except OSError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", type=workload_names, metavar="NAMES", help=f"comma-separated, of {', '.join(NAMES)}"
    )
    parser.add_argument("--quick", action="store_true", help="fewer and smaller runs: under two minutes")
    parser.add_argument("--json", type=json_file, metavar="FILE", help="write every sample to FILE")
    parser.add_argument(
        "--compare",
        type=old_results,
        metavar="OLD.json",
        help="say where gopy changed since OLD.json, beyond noise",
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    options = Options(quick=args.quick)
    print(", ".join(f"{name} {value}" for name, value in machine().items()), flush=True)
    peers = find_peers()
    for peer, reason in peers.missing.items():
        print(f"not measured: {peer}: {reason}", flush=True)

    names = names_to_run(args.only, options)
    progress = Progress(children(names, peers, options))
    cases: list[Case] = []
    try:
        for name in names:
            progress.begin(name)
            cases += measure(name, peers, options, progress.advance)
    except KeyboardInterrupt:
        progress.close()
        print("interrupted: what was measured until then follows", file=sys.stderr)
        interrupted = True
    else:
        progress.close()
        interrupted = False

    if cases:
        print(f"\n{table(cases)}\n\n{summary(cases)}")
    if args.json:
        results.write(args.json, cases, options)
    if args.compare:
        print(f"\n{results.comparison(args.compare, list(results.records(cases)))}")
    if failed := failures(cases):
        print(f"\nFailed:\n{failed}")
    if interrupted:
        return 130
    return 1 if any(case.error and case.peer.startswith("gopy") for case in cases) else 0


if __name__ == "__main__":
    sys.exit(main())
