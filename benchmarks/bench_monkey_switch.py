"""Two goroutines that let each other run, in a patched program and in one that is not patched.

ns per switch.
"""

from time import perf_counter

from benchmarks.workload import Metric, Target, Workload


def switches(n: int) -> float:
    from gopy.runtime import gosched
    from gopy.sync import WaitGroup

    def turns() -> None:
        for _ in range(n // 2):
            gosched()

    wg = WaitGroup()
    start = perf_counter()
    wg.go(turns)
    wg.go(turns)
    wg.wait()
    return perf_counter() - start


def patched_switches(n: int) -> float:
    from gopy import monkey

    monkey.patch_all()
    return switches(n)


WORKLOAD = Workload(
    title="gosched of two goroutines, patched",
    metrics=(Metric(unit="ns", what="switch", targets=(Target(1.03, peer="gopy, not patched"),)),),
    versions={"gopy": patched_switches, "gopy, not patched": switches},
    step=2,
    in_go=False,
)
