"""A WSGI application that greets, on gopy and on gevent: 50 keep-alive connections, the server alone on one
core.

The server's CPU time, user and system, for a request, and the 99th percentile of the latency that a client
sees.
"""

from functools import partial

from benchmarks.under_load import ask
from benchmarks.workload import Metric, Target, Workload

get = partial(ask, module="http_servers", path="/hello")

WORKLOAD = Workload(
    title="WSGI hello, 50 keep-alive connections",
    metrics=(
        Metric(
            unit="ns",
            what="request, the server's CPU time",
            targets=(Target(0.35, peer="gevent.pywsgi"), Target(0.6, peer="gunicorn, gevent")),
        ),
        Metric(unit="ns", what="request, p99 of the latency"),
    ),
    versions={"gopy": partial(get, "gopy, wsgi")}
    | {peer: partial(get, peer) for peer in ("gevent.pywsgi", "gunicorn, gevent")},
    in_go=False,
    go_program="",
    in_quick=False,
    runs=5,
)
