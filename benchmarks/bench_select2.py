"""Select between two receives, one of which has a value waiting. Filling its channel is not timed.

ns per select. "gopy, kept cases" makes the two case objects once and uses them again.
"""

from time import perf_counter

from benchmarks.workload import Metric, Target, Workload

ROOM = 1_000


def with_gopy(n: int) -> float:
    from gopy import Chan, recv, select

    full: Chan[int] = Chan(ROOM)
    empty: Chan[int] = Chan()
    elapsed = 0.0
    for _ in range(n // ROOM):
        for i in range(ROOM):
            full.send(i)
        start = perf_counter()
        for _ in range(ROOM):
            select(recv(full), recv(empty))
        elapsed += perf_counter() - start
    return elapsed


def with_kept_cases(n: int) -> float:
    from gopy import Chan, recv, select

    full: Chan[int] = Chan(ROOM)
    empty: Chan[int] = Chan()
    from_full, from_empty = recv(full), recv(empty)
    elapsed = 0.0
    for _ in range(n // ROOM):
        for i in range(ROOM):
            full.send(i)
        start = perf_counter()
        for _ in range(ROOM):
            select(from_full, from_empty)
        elapsed += perf_counter() - start
    return elapsed


def with_runloom(n: int) -> float:
    import runloom

    from benchmarks.runloom_root import on_hubs

    def main() -> float:
        full, empty = runloom.Chan(ROOM), runloom.Chan()
        elapsed = 0.0
        for _ in range(n // ROOM):
            for i in range(ROOM):
                full.send(i)
            start = perf_counter()
            for _ in range(ROOM):
                runloom.select([("recv", full), ("recv", empty)])
            elapsed += perf_counter() - start
        return elapsed

    return on_hubs(main)


WORKLOAD = Workload(
    title="select of two, one ready",
    metrics=(Metric(unit="ns", what="select", targets=(Target(3.5, peer="go"),)),),
    versions={"gopy": with_gopy, "gopy, kept cases": with_kept_cases, "runloom": with_runloom},
    step=ROOM,
)
