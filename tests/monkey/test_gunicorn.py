"""gopy.gunicorn: the worker under gunicorn itself, driven from outside."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

import pytest

pytest.importorskip("gunicorn", reason="gunicorn is not installed")

APP = """
import threading, time
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(0.1)
    if path == "/error":
        raise ValueError("on purpose")
    body = (path + " " + threading.current_thread().name.partition("-")[0]).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


class Gunicorn:
    def __init__(self, folder, *arguments, app="app:app"):
        (folder / "app.py").write_text(APP)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-k", "gopy.gunicorn.Worker", "-b", f"127.0.0.1:{self.port}"]
                + ["--no-control-socket", *arguments, app],
                cwd=folder, stdout=log, stderr=log, env=dict(os.environ, PYTHONUNBUFFERED="1"),
            )  # fmt: skip
        self.wait_for(lambda: self.ask("/")[0])

    def ask(self, path, connected=lambda: None, **form):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
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
        except (ConnectionRefusedError, ConnectionResetError):
            return 0, ""
        finally:
            connection.close()

    def wait_for(self, condition):
        deadline = time.monotonic() + 30
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


@pytest.mark.slow
def test_a_worker_told_to_end_before_a_goroutine_of_it_has_run_ends_in_peace(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "conf.py").write_text(
        "import os, signal\n"
        "def post_worker_init(worker):\n"
        "    worker.alive = False\n"
        "    os.kill(worker.ppid, signal.SIGTERM)\n"
    )
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-k",
        "gopy.gunicorn.Worker",
        "-b",
        "127.0.0.1:0",
        "-c",
        "conf.py",
    ]
    done = subprocess.run(
        [*command, "--no-control-socket", "app:app"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Worker exiting" in done.stderr, done.stderr


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
