"""A Flask application under gunicorn, one worker: gopy.gunicorn.Worker and the gevent worker. 50 keep-alive
connections, the server alone on one core.

The worker's CPU time, user and system, for a request, and the wall time.
"""

from functools import partial

from benchmarks.under_load import CONNECTIONS, load, running_server
from benchmarks.workload import Metric, Target, Workload


def ask(server: str, n: int) -> tuple[float, float]:
    numbers = load(running_server(server, module="http_servers"), CONNECTIONS, n, "/hello")
    return numbers["cpu"], numbers["seconds"]


WORKLOAD = Workload(
    title="Flask under gunicorn, 50 keep-alive connections",
    metrics=tuple(
        Metric(unit="ns", what=what, targets=(Target(1.0, peer="gevent"),))
        for what in ("request, the worker's CPU time", "request, wall time")
    ),
    versions={
        "gopy": partial(ask, "gopy, gunicorn, Flask"),
        "gevent": partial(ask, "gunicorn, gevent, Flask"),
    },
    in_go=False,
    in_quick=False,
)
