"""An HTTP server that greets, alone on one core: 50 keep-alive connections, each asks when it has its answer.

The server's CPU time, user and system, for a request, and the 99th percentile of the latency that a client
sees.
"""

from functools import partial

from benchmarks.under_load import ask
from benchmarks.workload import Metric, Target, Workload

get = partial(ask, module="http_servers", path="/hello")

WORKLOAD = Workload(
    title="HTTP hello, 50 keep-alive connections, the server on one core",
    metrics=(
        Metric(
            unit="ns",
            what="request, the server's CPU time",
            targets=(Target(0.25, peer="gevent.pywsgi"), Target(0.8, peer="uvicorn"), Target(3.0, peer="go")),
        ),
        Metric(unit="ns", what="request, p99 of the latency"),
    ),
    versions={
        peer: partial(get, peer)
        for peer in ("gopy", "go", "uvicorn", "aiohttp", "gevent.pywsgi", "gunicorn, gevent")
    },
    in_go=True,
    go_program="http",
    in_quick=False,
    runs=5,
)
