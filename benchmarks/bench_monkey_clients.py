"""Clients that know nothing of goroutines: 50 requests at once to a server that takes 100 ms for each.

ns per request, of wall and of CPU time, by urllib and by requests.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter, process_time

from benchmarks.patched import patched
from benchmarks.under_load import running_server
from benchmarks.workload import Metric, Target, Workload

AT_ONCE = 50


def by_urllib(port: int) -> Callable[[int], None]:
    from urllib.request import urlopen

    def ask(i: int) -> None:
        with urlopen(f"http://127.0.0.1:{port}/{i}") as response:
            response.read()

    return ask


def by_requests(port: int) -> Callable[[int], None]:
    import requests

    return lambda i: requests.get(f"http://127.0.0.1:{port}/{i}").raise_for_status()


def ask(peer: str, n: int) -> tuple[float, ...]:
    run = patched(peer)
    port = running_server("http", module="slow_server").port
    times: list[float] = []
    for client in (by_urllib, by_requests):
        request = client(port)
        request(-1)  # imports, caches
        wall, cpu = perf_counter(), process_time()
        for _ in range(n // AT_ONCE):
            run(request, AT_ONCE)
        times += perf_counter() - wall, process_time() - cpu
    return tuple(times)


WORKLOAD = Workload(
    title="50 requests at once by patched clients, to a server that takes 100 ms",
    metrics=tuple(
        Metric(unit="ns", what=f"request by {client}, {time}", targets=(Target(most, peer="gevent"),))
        for client in ("urllib", "requests")
        for time, most in (("wall time", 1.15), ("CPU time", 1.0))
    ),
    versions={peer: partial(ask, peer) for peer in ("gopy", "gevent", "threads")},
    n=600,
    step=AT_ONCE,
    in_go=False,
    in_quick=False,
)
