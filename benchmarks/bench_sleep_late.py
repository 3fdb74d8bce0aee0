"""100,000 goroutines sleep at once, until random times within two seconds after all have started.

How late they are woken, in ns, at the 99th percentile. A machine that is busy with something else adds its
own. None may be woken early.
"""

from time import monotonic

from benchmarks.workload import Metric, Target, Workload

SPREAD = 2.0


def offset(i: int) -> float:
    return (i * 7919 % 100_003) / 100_003 * SPREAD


def percentile(late: list[float]) -> float:
    late.sort()
    if late[0] < 0:
        raise RuntimeError(f"woken {-late[0]} s early")
    return late[len(late) * 99 // 100] * len(late)  # the table divides by n


def with_gopy(n: int) -> float:
    from gopy import Chan, go
    from gopy.time import sleep

    late: list[float] = []
    done: Chan[None] = Chan(n)
    base = monotonic() + n * 2e-5

    def nap(i: int) -> None:
        left = base + offset(i) - monotonic()
        due = monotonic() + left
        sleep(left)
        late.append(monotonic() - due)
        done.send(None)

    for i in range(n):
        go(nap, i)
    for _ in range(n):
        done.recv()
    return percentile(late)


def with_asyncio(n: int) -> float:
    import asyncio

    async def main() -> float:
        late: list[float] = []
        base = monotonic() + n * 2e-5

        async def nap(i: int) -> None:
            left = base + offset(i) - monotonic()
            due = monotonic() + left
            await asyncio.sleep(left)
            late.append(max(monotonic() - due, 0.0))  # it may wake by a clock's resolution early

        await asyncio.wait([asyncio.create_task(nap(i)) for i in range(n)])
        return percentile(late)

    return asyncio.run(main())


WORKLOAD = Workload(
    title="lateness of {n:,} sleeps at once, until random times within 2 s",
    metrics=(Metric(unit="ns", what="wake-up at the 99th percentile", targets=(Target(2e6),)),),
    versions={"gopy": with_gopy, "asyncio": with_asyncio},
    n=100_000,
    quick_n=20_000,
    cold=True,
)
