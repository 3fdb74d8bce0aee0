"""debug.serve(): pages about this program."""

import contextlib
import functools
import io
import ipaddress
import json
import math
import os
import sys
from collections.abc import Callable
from html import escape
from typing import Any

from gopy import _core, blocking, go, http, net, runtime, trace
from gopy.debug._flame import flame
from gopy.debug._profile import FORMATS, encoded, sample
from gopy.debug._snapshot import One, duration, grouped, place, snapshot, tree
from gopy.debug._waits import BLOCK, MUTEX, Profile, Waited, listed, waits
from gopy.trace._file import decode
from gopy.trace._page import page as trace_page

MOST_SECONDS = 300.0
STYLE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>gopy debug</title><style>
:root { color-scheme: light dark } body { font: 14px/1.5 system-ui, sans-serif; margin: 16px 24px }
nav a { margin-right: 16px } td, th { text-align: left; padding: 1px 18px 1px 0; vertical-align: top }
td { font-variant-numeric: tabular-nums } pre { font-size: 13px }
</style><nav><a href="/debug/">overview</a><a href="/debug/goroutines">goroutines</a>
<a href="/debug/goroutines?tree=1">tree</a><a href="/debug/leaked">leaked</a>
<a href="/debug/profile?seconds=5">CPU, 5 s</a><a href="/debug/block?seconds=5">waits, 5 s</a>
<a href="/debug/mutex?seconds=5">locks, 5 s</a><a href="/debug/trace?seconds=1">trace, 1 s</a>
<a href="/debug/stats">stats</a><a href="/debug/metrics">metrics</a></nav>
"""
OVERVIEW = """<h2>Process <span id="pid"></span></h2><table id="process"></table><h2>Scheduler</h2>
<table id="runtime"></table><h2>Goroutines by state</h2><table id="states"></table><script>
async function look() {
  const stats = await (await fetch("/debug/stats")).json();
  document.getElementById("pid").textContent = stats.process.pid;
  for (const part of ["process", "runtime", "states"]) {
    const table = document.getElementById(part);
    table.replaceChildren(...Object.entries(stats[part]).map(([name, value]) => {
      const row = document.createElement("tr");
      for (const text of [name, value]) row.insertCell().textContent = text;
      return row;
    }));
  }
}
look(); setInterval(look, 1000);
</script>"""


class _BadRequest(Exception):
    pass


class _NotCounted(Exception):
    pass


def _process() -> dict[str, Any]:
    found: dict[str, Any] = {"pid": os.getpid(), "python": sys.version.split()[0], "argv": " ".join(sys.argv)}
    try:
        import psutil  # type: ignore[import-untyped]  # not for every program
    except ImportError:
        return found
    process = psutil.Process()
    with process.oneshot():
        used = process.cpu_times()
        found["cpu seconds"] = round(used.user + used.system, 2)
        found["memory bytes"] = process.memory_info().rss
        found["threads"] = process.num_threads()
        found["descriptors"] = process.num_fds()
    return found


def _stats() -> dict[str, Any]:
    states: dict[str, int] = {}
    for goroutine in _core.goroutines():
        state = goroutine.state
        states[state] = states.get(state, 0) + 1
    states = dict(sorted(states.items(), key=lambda item: -item[1]))
    return {"process": _process(), "runtime": runtime.stats(), "states": states}


COUNTERS = ("spawned", "switches", "steals", "stolen", "handoffs", "preemptions")


def _metrics() -> str:
    """OpenMetrics."""
    lines = []
    values: dict[str, Any] = {**runtime.stats()}
    for name, value in values.items():
        kind = "counter" if name in COUNTERS else "gauge"
        total = "_total" if name in COUNTERS else ""
        lines += [f"# TYPE gopy_{name} {kind}", f"gopy_{name}{total} {int(value)}"]
    for name, value in _process().items():
        if isinstance(value, int | float) and name != "pid":
            metric = f"process_{name.replace(' ', '_')}"
            lines += [f"# TYPE {metric} gauge", f"{metric} {value}"]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _one_of(r: http.Request, name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = r.query().get(name, [default])[0]
    if value not in allowed:
        raise _BadRequest(f"{name} must be one of {', '.join(allowed)}")
    return value


def _seconds(r: http.Request) -> float:
    try:
        seconds = float(r.query().get("seconds", ["5"])[0])
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MOST_SECONDS:
        raise _BadRequest(f"seconds must be a number up to {MOST_SECONDS:.0f}")
    return seconds


def _wait(r: http.Request, seconds: float) -> None:
    """For so long, or until the client has gone: whatever is done for it ends then."""
    with contextlib.suppress(TimeoutError):
        r.context().done().recv(timeout=seconds)


def _send(w: http.ResponseWriter, kind: str, text: str | bytes) -> None:
    w.header().set("Content-Type", kind)
    w.header().set("X-Content-Type-Options", "nosniff")
    w.write(encoded(text) if isinstance(text, str) else text)


HTML, TEXT, JSON = "text/html; charset=utf-8", "text/plain; charset=utf-8", "application/json"


def _overview(w: http.ResponseWriter, r: http.Request) -> None:
    if _one_of(r, "format", "html", ("html", "text", "json")) == "html":
        return _send(w, HTML, STYLE + OVERVIEW)
    found = _stats()
    if "json" in r.query().get("format", []):
        return _send(w, JSON, json.dumps(found))
    rows = [f"{name} {value}" for part in found.values() for name, value in part.items()]
    return _send(w, TEXT, "\n".join(rows) + "\n")


def _goroutines(w: http.ResponseWriter, r: http.Request, leaked: bool = False) -> None:
    wanted = r.query().get("filter", [""])[0]
    found = [
        one
        for one in snapshot(runtime.leaked() if leaked else None)
        if wanted in one["name"]
        or wanted in one["state"]
        or any(wanted in frame[2] for frame in one["frames"])
    ]
    kind = _one_of(r, "format", "html", ("html", "text", "json"))
    if kind == "json":
        return _send(w, JSON, json.dumps(found))
    text = tree(found) if r.query().get("tree") else grouped(found)
    if kind == "text":
        return _send(w, TEXT, text)
    form = f'<form>show those with <input name="filter" value="{escape(wanted)}"></form>'
    title = "Goroutines that nothing can wake" if leaked else "Goroutines"
    return _send(w, HTML, f"{STYLE}<h2>{title}</h2>{form}<pre>{escape(text)}</pre>")


def _describe(one: One) -> str:
    head = f"goroutine {one['id']} [{one['name']}] {one['state']}"
    lines = [f"{head}, for {duration(one['waited'])}: {place(one)}"]
    lines += [f"    {file}:{line} in {function}" for file, line, function in reversed(one["frames"])]
    if created := one["created"]:
        lines.append(f"created by goroutine {created.creator} at {created.file}:{created.line}")
    return "\n".join(lines) + "\n"


def _goroutine(w: http.ResponseWriter, r: http.Request) -> None:
    wanted = r.path_value("id")
    found = snapshot([g for g in _core.goroutines() if str(g.id) == wanted])
    if not found:
        return http.error(w, f"there is no goroutine {encoded(wanted).decode()}", 404)
    kind = _one_of(r, "format", "html", ("html", "text", "json"))
    if kind == "json":
        return _send(w, JSON, json.dumps(found[0]))
    text = _describe(found[0])
    return _send(w, *((TEXT, text) if kind == "text" else (HTML, f"{STYLE}<pre>{escape(text)}</pre>")))


def _profile(w: http.ResponseWriter, r: http.Request) -> None:
    kind = _one_of(r, "format", "html", ("html", *FORMATS))
    client = r.context()
    found = blocking(sample, _seconds(r), 100, lambda: client.err() is None)
    if kind != "html":
        return _send(w, JSON if kind == "speedscope" else TEXT, FORMATS[kind](found))
    return _send(w, HTML, f"{STYLE}<h2>CPU</h2>{flame(found)}")


def _counted(profile: Profile, r: http.Request) -> list[Waited]:
    """Within so many seconds from here on, or since the program has turned it on."""
    if "seconds" not in r.query():
        counts = profile.counts()
        if counts is None:
            raise _NotCounted(f"it is off: call debug.{profile.name}_profile(0), or ask for ?seconds=5")
        return waits(counts, {})
    seconds = _seconds(r)
    with profile.on():
        before = profile.counts() or {}
        _wait(r, seconds)
        return waits(profile.counts() or {}, before)


def _waits(profile: Profile, title: str, w: http.ResponseWriter, r: http.Request) -> None:
    kind = _one_of(r, "format", "html", ("html", "text", *FORMATS))
    try:
        found = _counted(profile, r)
    except _NotCounted as exc:
        return http.error(w, str(exc), 409)
    if kind == "text":
        return _send(w, TEXT, listed(found))
    if kind != "html":
        return _send(w, JSON if kind == "speedscope" else TEXT, FORMATS[kind](found, profile.name, ""))
    picture = flame(found, "", "Nobody has waited meanwhile.")
    return _send(w, HTML, f"{STYLE}<h2>{title}</h2>{picture}<pre>{escape(listed(found))}</pre>")


def _trace(w: http.ResponseWriter, r: http.Request) -> None:
    kind = _one_of(r, "format", "html", ("html", "perfetto"))
    seconds, file = _seconds(r), io.BytesIO()
    try:
        trace.start(file)
    except RuntimeError as exc:
        return http.error(w, str(exc), 409)
    try:
        _wait(r, seconds)
    finally:
        trace.stop()
    if kind == "perfetto":
        return _send(w, "application/octet-stream", file.getvalue())
    return _send(w, HTML, trace_page(decode(file.getvalue())))


PAGES: dict[str, Callable[[http.ResponseWriter, http.Request], None]] = {
    "GET /debug/{$}": _overview,
    "GET /debug/goroutines": _goroutines,
    "GET /debug/leaked": functools.partial(_goroutines, leaked=True),
    "GET /debug/goroutine/{id}": _goroutine,
    "GET /debug/profile": _profile,
    "GET /debug/block": functools.partial(_waits, BLOCK, "Who waited where"),
    "GET /debug/mutex": functools.partial(_waits, MUTEX, "Who held what others waited for"),
    "GET /debug/trace": _trace,
    "GET /debug/stats": lambda w, r: _send(w, JSON, json.dumps(_stats())),
    "GET /debug/metrics": lambda w, r: _send(w, "application/openmetrics-text; version=1.0.0", _metrics()),
}


def _is_address(host: str) -> bool:
    """A page of somebody else's, whose name is made to lead here, is to read nothing."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def serve(address: str = "127.0.0.1:6060") -> net.Listener:
    """Serve pages about this program, in goroutines, until the listener that it returns is closed.

    `/debug/` is an overview that refreshes itself, `/debug/goroutines` has equal stacks together
    (`?tree=1`: under who has started them; `?filter=`), `/debug/leaked` those that nothing can wake,
    `/debug/goroutine/ID` one, `/debug/profile?seconds=N` a flame graph of the CPU, `/debug/block?seconds=N`
    who waited where, `/debug/mutex?seconds=N` who held what others waited for (without `seconds`: since
    block_profile() or mutex_profile() has turned it on), `/debug/trace?seconds=N` a timeline,
    `/debug/stats` JSON, `/debug/metrics` OpenMetrics; `?format=` gives the others as text, JSON,
    speedscope, collapsed or perfetto. Only GET; requests whose Host is not an address or localhost are
    refused. Whoever may connect to the address may look: it is loopback's unless told. Needs the extra
    `http`. OSError: the address is in use.
    """
    listener = net.listen("tcp", address)
    mux = http.ServeMux()
    for pattern, show in PAGES.items():
        mux.handle(pattern, show)

    def handler(w: http.ResponseWriter, r: http.Request) -> None:
        if not _is_address(r.host):
            http.error(w, "the Host must be an address or localhost", 403)
            return
        try:
            mux(w, r)
        except _BadRequest as exc:
            http.error(w, str(exc), 400)

    def body() -> None:
        try:
            http.Server(handler=handler).serve(listener)
        except (http.ServerClosed, OSError):  # the listener is closed
            pass

    go(body).name = "debug.serve"
    return listener
