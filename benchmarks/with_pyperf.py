"""Let pyperf time the workloads that it can time, for its own statistics: `python -m pyperf compare_to` ...

    python -m benchmarks pyperf --only pingpong,buffered -o pingpong.json

It fits where a version is a loop of as many operations as one likes, in Python, that is timed in ns: pyperf
then calibrates, warms up and starts fresh processes by itself. The table does not use it, because there the
peers take turns, a program in Go is timed like one in Python, and bytes, single cold runs and GOMAXPROCS are
measured too.
"""

import argparse
import sys
from typing import Any

from benchmarks.child import version_of
from benchmarks.runner import MODULES, NAMES, import_error, load
from benchmarks.workload import Version, Workload, is_gopy


def fits(workload: Workload) -> bool:
    return not workload.cold and not workload.n and [metric.unit for metric in workload.metrics] == ["ns"]


def is_there(peer: str) -> bool:
    module = "gopy" if is_gopy(peer) else MODULES.get(peer)
    return peer not in ("go", "greenlet in C") and not (module and import_error(module))


def seconds_for(version: Version, step: int) -> Any:
    """pyperf's loops are steps of the workload; it is told that each is so many operations."""
    return lambda loops: version(loops * step)


def main(arguments: list[str]) -> int:
    import pyperf

    names = [name for name in NAMES if fits(load(name))]
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--only", default=",".join(names), help=f"comma-separated, of {', '.join(names)}")
    parser.add_argument("--peers", default="gopy", help="comma-separated; only gopy if not given")
    # pyperf starts this again in fresh processes, with options of its own added.
    sys.argv = ["benchmarks", *arguments]

    def for_workers(command: list[str], args: Any) -> None:
        command += ["--only", args.only, "--peers", args.peers]

    runner = pyperf.Runner(
        program_args=("-m", "benchmarks", "pyperf"), add_cmdline_args=for_workers, _argparser=parser
    )
    args = runner.parse_args()
    for name in filter(args.only.split(",").__contains__, names):
        workload = load(name)
        for peer in filter(args.peers.split(",").__contains__, workload.peers):
            if is_there(peer):
                call = seconds_for(version_of(workload, peer), workload.step)
                runner.bench_time_func(f"{name}, {peer}", call, inner_loops=workload.step)
    return 0
