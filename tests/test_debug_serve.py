"""debug.serve() and its pages."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest

pytest.importorskip("httptools", reason="httptools is not installed")

from gopy import Chan, blocking, debug, go, net, runtime, sync
from gopy.debug import _serve, _waits
from gopy.debug._flame import flame
from gopy.debug._profile import Sample


@pytest.fixture
def pages():
    listener = debug.serve("127.0.0.1:0")
    base = f"http://127.0.0.1:{listener.addr[1]}"

    def fetch(path, method="GET", **header):
        request = urllib.request.Request(base + path, headers=header, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.headers["Content-Type"], exc.read().decode()

    def get(path, **options):
        return blocking(fetch, path, **options)

    get.base = base
    yield get
    listener.close()


def test_the_overview(pages):
    status, kind, text = pages("/debug/")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert "/debug/goroutines" in text
    assert "setInterval(look" in text
    found = json.loads(pages("/debug/?format=json")[2])
    assert found["runtime"]["goroutines"] >= 2
    assert "goroutines" in pages("/debug/?format=text")[2]
    found = json.loads(pages("/debug/stats")[2])
    assert found["process"]["memory bytes"] > 1 << 20
    assert sum(found["states"].values()) >= 2
    metrics = pages("/debug/metrics")[2]
    assert metrics.endswith("# EOF\n")
    assert "gopy_spawned_total " in metrics


def test_goroutines(pages, until):
    ch = Chan()

    def parked_here():
        ch.recv()

    goroutines = [go(parked_here) for _ in range(3)]
    until(lambda: all(g.state == "chan receive" for g in goroutines))
    assert "3 @ chan receive" in pages("/debug/goroutines?format=text")[2]
    assert "3 x " in pages("/debug/goroutines?format=text&tree=1")[2]
    assert "&lt;locals&gt;" in pages("/debug/goroutines")[2]
    found = json.loads(pages("/debug/goroutines?format=json&filter=parked_here")[2])
    assert [one["id"] for one in found] == [g.id for g in goroutines]
    text = pages(f"/debug/goroutine/{goroutines[0].id}?format=text")[2]
    assert text.startswith(f"goroutine {goroutines[0].id} [")
    assert "parked_here" in text
    for wrong in ("999999", "x", "%ff", "%00"):
        assert pages(f"/debug/goroutine/{wrong}")[0] == 404
    ch.close()
    for g in goroutines:
        g.join()


def test_profile_and_trace(pages):
    status, _, text = pages("/debug/profile?seconds=0.1")
    assert status == 200
    assert "<h2>CPU</h2>" in text
    assert "profiles" in json.loads(pages("/debug/profile?seconds=0.1&format=speedscope")[2])
    status, _, text = pages("/debug/trace?seconds=0.05")
    assert status == 200
    assert "gopy trace" in text


def test_waits(pages, until):
    status, _, text = pages("/debug/block")
    assert (status, text.strip()) == (409, "it is off: call debug.block_profile(0), or ask for ?seconds=5")
    ch: Chan[int] = Chan()

    def receives():
        ch.recv()

    debug.block_profile(0)
    goroutine = go(receives)
    until(lambda: goroutine.state == "chan receive")
    ch.send(1)
    goroutine.join()
    for form in ("html", "text", "collapsed", "speedscope"):
        status, _, text = pages(f"/debug/block?format={form}")
        assert status == 200
        assert "receives" in text
    assert "receives" not in pages("/debug/block?seconds=0.05&format=text")[2]
    assert "receives" in pages("/debug/block?format=text")[2]
    debug.block_profile(None)
    assert pages("/debug/block")[0] == 409


def test_waits_of_a_few_seconds(pages, until):
    """Counted while somebody asks, and not longer."""
    over: list[bool] = []
    mu = sync.Mutex()

    def contends():
        while not over:
            with mu:
                runtime.gosched()

    goroutines = [go(contends) for _ in range(3)]
    until(lambda: "@ sync.Mutex.Lock, the longest" in pages("/debug/mutex?seconds=0.1&format=text")[2], 25)
    until(lambda: f"in {contends.__qualname__}" in pages("/debug/mutex?seconds=0.1&format=text")[2], 25)
    assert "<h2>Who held what others waited for</h2>" in pages("/debug/mutex?seconds=0.05")[2]
    over.append(True)
    for each in goroutines:
        each.join()
    assert _waits.MUTEX.counts() is None
    assert pages("/debug/mutex?seconds=x")[0] == 400


def test_leaked(pages):
    assert debug.leaked is runtime.leaked
    assert "<h2>Goroutines that nothing can wake</h2>" in pages("/debug/leaked")[2]
    assert pages("/debug/leaked?format=text")[2].partition("\n")[0].endswith(" places")


@pytest.mark.parametrize("page", ["profile", "block", "mutex", "trace"])
def test_a_client_that_leaves(page, pages, until, monkeypatch):
    """Nobody waits for the answer: what is done for it ends."""
    ended: list[bool] = []
    real = _serve._counted if page in ("block", "mutex") else getattr(_serve, f"_{page}")

    def serves(*arguments):
        try:
            return real(*arguments)
        finally:
            ended.append(True)

    if page in ("block", "mutex"):
        monkeypatch.setattr(_serve, "_counted", serves)
    else:
        monkeypatch.setitem(_serve.PAGES, f"GET /debug/{page}", serves)
    listener = debug.serve("127.0.0.1:0")
    client = net.dial("tcp", f"127.0.0.1:{listener.addr[1]}")
    client.write(f"GET /debug/{page}?seconds=300 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    client.close()
    until(lambda: ended, seconds=40)
    listener.close()


def test_texts_that_are_no_utf_8(pages, until):
    ch = Chan()
    goroutine = go(ch.recv)
    goroutine.name = "\udcff"
    until(lambda: goroutine.state == "chan receive")
    for path in ("goroutines?format=text", "goroutines", f"goroutine/{goroutine.id}"):
        assert "\\udcff" in pages(f"/debug/{path}")[2]
    ch.close()
    goroutine.join()


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "nan", "1e9"])
def test_a_bad_question(pages, seconds):
    status, _, text = pages(f"/debug/profile?seconds={seconds}")
    assert (status, text.strip()) == (400, "seconds must be a number up to 300")
    status, _, text = pages("/debug/goroutines?format=xml")
    assert (status, text.strip()) == (400, "format must be one of html, text, json")


def test_who_may_ask(pages):
    assert pages("/debug/", Host="evil.example:6060")[0] == 403
    for host in ("localhost:1", "127.0.0.1", "[::1]:6060", "192.0.2.1"):
        assert pages("/debug/stats", Host=host)[0] == 200
    assert pages("/debug/", method="POST")[0] == 405
    assert pages("/nothing")[0] == 404


def test_a_port_in_use(pages):
    with pytest.raises(OSError):
        debug.serve(pages.base.removeprefix("http://"))


def test_flame():
    samples = [
        Sample(name="<g>", frames=[("x.py", 1, "f"), ("x.py", 2, "<h>")], seconds=3.0),
        Sample(name="<g>", frames=[("x.py", 1, "f")], seconds=1.0),
    ]
    text = flame(samples)
    assert "goroutine &lt;g&gt;: 4.000 s, 100.0%" in text
    assert "&lt;h&gt; (x.py:2): 3.000 s, 75.0%" in text
    assert "No goroutine" in flame([])


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
@pytest.mark.slow
def test_the_overview_in_a_browser(pages, tmp_path):
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
        "--virtual-time-budget=3000", "--dump-dom", pages.base + "/debug/",
    ]  # fmt: skip
    done = blocking(subprocess.run, command, capture_output=True, text=True, timeout=50)
    assert "<td>goroutines</td>" in done.stdout
