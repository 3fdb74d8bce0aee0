"""gopy.gunicorn: the worker under gunicorn itself, driven from outside."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

import pytest
from conftest import FREE_THREADED

pytest.importorskip("gunicorn", reason="gunicorn is not installed")

APP = """
import threading, time
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(0.1)
    if path == "/error":
        raise ValueError("on purpose")
    if path == "/hold":
        print("held", flush=True)
        time.sleep(60)
    body = (path + " " + threading.current_thread().name.partition("-")[0]).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


class Gunicorn:
    def __init__(self, folder, *arguments, app="app:app", source=APP, conf=""):
        (folder / "app.py").write_text(source)
        (folder / "gunicorn.conf.py").write_text(conf)
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-k", "gopy.gunicorn.Worker", "-b", "127.0.0.1:0"]
                + ["--no-control-socket", *arguments, app],
                cwd=folder, stdout=log, stderr=log, env=dict(os.environ, PYTHONUNBUFFERED="1"),
            )  # fmt: skip
        listening = re.compile(r"Listening at: http://127\.0\.0\.1:(\d+)\D")
        self.wait_for(lambda: listening.search(self.log.read_text()))
        self.port = int(listening.search(self.log.read_text())[1])
        self.wait_for(lambda: self.ask("/")[0])

    def ask(self, path, connected=lambda: None, **form):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=50)
        try:
            connection.connect()
            connected()
            if form:
                headers = {"Content-Type": "application/x-www-form-urlencoded"}
                connection.request("POST", path, urllib.parse.urlencode(form), headers)
            else:
                connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except ConnectionError:
            return 0, ""
        finally:
            connection.close()

    def wait_for(self, condition):
        deadline = time.monotonic() + 50
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)

    def end(self, signum=signal.SIGTERM):
        self.process.send_signal(signum)
        return self.process.wait(40)


@pytest.fixture
def gunicorn(tmp_path):
    started = []

    def start(*arguments, **options):
        started.append(Gunicorn(tmp_path, *arguments, **options))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


def all_at_once(n, fn):
    threads = [threading.Thread(target=fn) for _ in range(n)]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.slow
@pytest.mark.parametrize("preload", [(), pytest.param(("--preload",), marks=pytest.mark.soak)])
def test_a_worker_serves_side_by_side_and_ends_without_a_lost_request(gunicorn, preload):
    server = gunicorn("-w", "1", "--keep-alive", "20", *preload)
    assert server.ask("/who") == (200, "/who goroutine")
    assert server.ask("/error")[0] == 500
    answers = []
    for thread in all_at_once(20, lambda: answers.append(server.ask("/slow"))):
        thread.join()
    assert answers == [(200, "/slow goroutine")] * 20
    server.process.send_signal(signal.SIGUSR1)
    answers.clear()
    connected = threading.Barrier(21)
    threads = all_at_once(20, lambda: answers.append(server.ask("/slow", connected.wait)))
    connected.wait()
    assert server.end() == 0
    for thread in threads:
        thread.join()
    log = server.log.read_text()
    assert answers == [(200, "/slow goroutine")] * 20, log
    assert "Warning" not in log
    assert log.count("Traceback") == 1  # /error's


@pytest.mark.soak
def test_new_workers_take_over(gunicorn):
    server = gunicorn("-w", "2")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for(lambda: server.log.read_text().count("Booting worker") == 4)
    server.wait_for(lambda: server.log.read_text().count("Worker exiting") == 2)
    assert server.ask("/") == (200, "/ goroutine")
    assert server.end() == 0
    log = server.log.read_text()
    assert "Warning" not in log and "Traceback" not in log


@pytest.mark.soak
def test_quit(gunicorn):
    server = gunicorn("-w", "1")
    assert server.end(signal.SIGQUIT) == 0
    assert "Traceback" not in server.log.read_text()


TOLD_TO_END = """
import os, signal
def post_worker_init(worker):
    worker.alive = False
    os.kill(worker.ppid, signal.SIGTERM)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        "",
        pytest.param(  # the kernel always has one more that has connected
            "    worker._accept_one = lambda listener: worker._free.release(1) or True", id="crowd"
        ),
    ],
)
def test_a_worker_told_to_end_before_a_goroutine_of_it_has_run_ends_in_peace(tmp_path, more):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text(TOLD_TO_END + more)
    command = [sys.executable, "-m", "gunicorn", "-k", "gopy.gunicorn.Worker", "-b", "127.0.0.1:0"]
    done = subprocess.run(
        [*command, "--no-control-socket", "app:app"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Worker exiting" in done.stderr, done.stderr


@pytest.mark.slow
def test_a_worker_whose_places_are_taken_ends_in_time(gunicorn):
    server = gunicorn("--worker-connections", "1", "--graceful-timeout", "1", "--timeout", "0")
    connected = threading.Event()
    held = threading.Thread(target=server.ask, args=("/hold", connected.set))
    held.start()
    connected.wait()
    server.wait_for(lambda: "held" in server.log.read_text())
    server.process.send_signal(signal.SIGHUP)
    server.wait_for(lambda: server.log.read_text().count("Worker exiting") == 1)
    held.join()
    assert "Worker graceful timeout" in server.log.read_text()
    assert server.end() == 0


LISTENER_IS_LEFT_ALONE = """
import socket
class Listener(socket.socket):
    __slots__ = ()
    def setblocking(self, flag):
        raise AssertionError("others have it, too")
def post_worker_init(worker):
    for each in worker.sockets:
        each.sock.__class__ = Listener
"""


@pytest.mark.slow
def test_listeners_share_few_places_and_are_shared(gunicorn, tmp_path):
    """A listener has no place to itself. And it is other processes', too: this one leaves it as it is."""
    server = gunicorn(
        "-b", f"unix:{tmp_path / 'sock'}", "--worker-connections", "1", conf=LISTENER_IS_LEFT_ALONE
    )
    for _ in range(2):
        assert server.ask("/") == (200, "/ goroutine")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(str(tmp_path / "sock"))
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert sock.recv(12) == b"HTTP/1.0 200"
    assert server.end() == 0
    assert "Traceback" not in server.log.read_text()


ONE_FAULT = """
def post_worker_init(worker):
    handle = worker.handle
    def once(*args):
        worker.handle = handle
        raise ValueError("on purpose")
    worker.handle = once
"""


@pytest.mark.slow
def test_a_fault_in_one_connection_is_not_the_others(gunicorn):
    server = gunicorn(conf=ONE_FAULT)
    assert server.ask("/") == (200, "/ goroutine")
    assert server.end() == 0
    log = server.log.read_text()
    assert "ValueError: on purpose" in log and log.count("Booting worker") == 1, log


MANY_THREADS = """
import threading
inside = []
def app(environ, start_response):
    if environ["PATH_INFO"] == "/threads":
        inside.append(threading.get_native_id())
        while len(set(tuple(inside))) < 2:  # it waits for nothing, and keeps its thread
            pass
    start_response("200 OK", [])
    return [b"several"]
"""


@pytest.mark.slow
@pytest.mark.skipif(not FREE_THREADED, reason="with a GIL one thread runs at a time")
@pytest.mark.parametrize("procs", [2, 8])
def test_one_worker_serves_on_several_threads(gunicorn, monkeypatch, procs):
    monkeypatch.setenv("GOMAXPROCS", str(procs))
    server = gunicorn("-w", "1", source=MANY_THREADS)
    answers = []
    for thread in all_at_once(8, lambda: answers.append(server.ask("/threads"))):
        thread.join()
    assert answers == [(200, "several")] * 8
    assert server.end() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "needs", "field", "none", "ten"),
    [("notes", "flask", "text", [], ["hello"] * 10), ("votes", "django", "choice", {}, {"hello": 10})],
    ids=["flask", "django"],
)
def test_an_example(gunicorn, name, needs, field, none, ten):
    """An application with a database."""
    pytest.importorskip(needs, reason=f"{needs} is not installed")
    apps = Path(__file__).resolve().parents[2] / "examples" / "gunicorn_apps"
    server = gunicorn("-w", "2", "--pythonpath", str(apps), app=f"{name}:app")
    status, body = server.ask(f"/{name}")
    assert (status, json.loads(body)) == (200, none)
    statuses = []
    threads = all_at_once(10, lambda: statuses.append(server.ask(f"/{name}", **{field: "hello"})[0]))
    threads += all_at_once(10, lambda: statuses.append(server.ask("/slow")[0]))
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 10 + [201] * 10
    assert json.loads(server.ask(f"/{name}")[1]) == ten
    assert server.end() == 0
    assert "Traceback" not in server.log.read_text()
