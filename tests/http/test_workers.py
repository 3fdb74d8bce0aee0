"""The processes that `python -m gopy wsgi` keeps: workers that serve, die, are told to end, and are replaced."""

import http.client
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

APP = """
import os, time

STARTED = {started!r}

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/slow":
        def slow():
            yield b"begun "
            from gopy import time as gotime
            while not os.path.exists("go-on"):
                gotime.sleep(0.005)
            yield b"done"
        return slow()
    return [f"{{STARTED}} {{os.getpid()}}".encode()]
"""


PATIENCE = 150  # seconds: a process of ours begins by importing a lot, and several do at once
pytestmark = [pytest.mark.soak, pytest.mark.timeout(200)]


class Master:
    def __init__(self, start_program, folder, *args, workers=2):
        self.folder = folder
        env = {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path[:0], os.environ.get("PYTHONPATH", "")])}
        command = ["app:app", "--bind", "127.0.0.1:0", "--workers", workers, *args]
        self.program = start_program(Path("wsgi"), *command, env=env, flags=("-m", "gopy"))

    def listening(self):
        return [int(pid) for pid in re.findall(r"worker (\d+) listens", self.program.stderr)]

    def wait_for_workers(self, n):
        self.wait_for(lambda: len(self.listening()) >= n)
        self.port = int(re.search(r"listens on 127\.0\.0\.1:(\d+)", self.program.stderr)[1])

    def wait_for(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self.program.waiter.is_alive(), self.program.stderr
            assert time.monotonic() < deadline, self.program.stderr
            time.sleep(0.01)

    def get(self, path="/"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def ask_all(self, pids):
        """Ask until each worker has answered."""
        seen = set()
        for _ in range(1000):
            started, pid = self.get().decode().split()
            seen.add(int(pid))
            if seen >= set(pids):
                return started
        raise AssertionError(f"{pids} did not all answer: {seen}")

    def kill(self, signum):
        os.kill(self.program.pid, signum)

    def end(self, signum=signal.SIGTERM):
        self.kill(signum)
        done = self.program.finish(PATIENCE)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        for pid in self.listening():
            assert not alive(pid)
        return done


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app.py").write_text(APP.format(started="one"))
    return tmp_path


def test_workers_serve_and_end(start_program, folder):
    master = Master(start_program, folder, "--access-log")
    master.wait_for_workers(2)
    assert master.ask_all(master.listening()) == "one"
    done = master.end()
    assert re.search(r'^127\.0\.0\.1 - - \[.*\] "GET / HTTP/1\.1" 200 \d+$', done.stdout, re.M)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", master.port))


def test_a_worker_that_dies_is_replaced(start_program, folder):
    master = Master(start_program, folder)
    master.wait_for_workers(2)
    os.kill(master.listening()[0], signal.SIGKILL)
    master.wait_for_workers(3)
    master.ask_all(master.listening()[1:])
    master.end(signal.SIGINT)


NO_ROOM = """
import errno, os, subprocess

failing = [errno.EAGAIN, errno.ENOMEM] * 2

class Popen(subprocess.Popen):
    def __init__(self, *args, **options):
        if failing:
            number = failing.pop()
            raise OSError(number, os.strerror(number))
        super().__init__(*args, **options)

subprocess.Popen = Popen
"""


def test_a_system_without_room_for_a_process(start_program, folder):
    """The master is there again when the system has some."""
    (folder / "sitecustomize.py").write_text(NO_ROOM)
    master = Master(start_program, folder)
    master.wait_for_workers(2)
    assert master.program.stderr.count("no worker could be started") == 4
    os.kill(master.listening()[0], signal.SIGKILL)
    master.wait_for_workers(3)
    master.ask_all(master.listening()[1:])
    master.end()


def test_a_request_under_way_is_finished(start_program, folder):
    master = Master(start_program, folder, workers=1)
    master.wait_for_workers(1)
    with socket.create_connection(("127.0.0.1", master.port), timeout=PATIENCE) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        got = b""
        while b"begun" not in got:
            got += client.recv(1000)
        master.kill(signal.SIGTERM)
        master.wait_for(lambda: not accepts(master.port))
        (Path(master.program.directory) / "go-on").write_text("")
        while data := client.recv(1000):
            got += data
        assert got.endswith(b"4\r\ndone\r\n0\r\n\r\n")
    assert master.program.finish(PATIENCE).returncode == 0


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        return True
    return True


def test_reload(start_program, folder):
    master = Master(start_program, folder)
    master.wait_for_workers(2)
    old = master.listening()
    master.ask_all(old)
    (folder / "app.py").write_text(APP.format(started="number two"[:6]))
    os.utime(folder / "app.py", (1, 1))
    master.kill(signal.SIGHUP)
    master.wait_for_workers(4)
    master.wait_for(lambda: not any(map(alive, old)))
    assert master.ask_all(master.listening()[2:]) == "number"
    master.end()


def test_a_unix_socket(start_program, folder):
    """All workers accept from it: one that dies, or ends with a reload, leaves it to the others."""
    path = folder / "socket"
    args = ["--bind", f"unix:{path}"]
    master = Master(start_program, folder, *args)

    def ask():
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: client.recv(1000), b"")).split()[-2]

    master.wait_for(lambda: len(master.listening()) >= 2)
    assert ask() == b"one"
    os.kill(master.listening()[0], signal.SIGKILL)
    master.wait_for(lambda: len(master.listening()) >= 3)
    old = master.listening()[1:]
    (folder / "app.py").write_text(APP.format(started="two"))
    os.utime(folder / "app.py", (1, 1))
    master.kill(signal.SIGHUP)
    master.wait_for(lambda: not any(map(alive, old)))
    assert ask() == b"two"
    master.end()
    assert not path.exists()


def test_an_application_that_cannot_be_imported(start_program, tmp_path):
    (tmp_path / "app.py").write_text("raise KeyError('nothing works')")
    master = Master(start_program, tmp_path)
    done = master.program.finish(PATIENCE)
    assert done.returncode == 3 and "nothing works" in done.stderr


def test_workers_end_with_their_master(start_program, folder, until):
    master = Master(start_program, folder)
    master.wait_for_workers(2)
    pids = master.listening()
    os.kill(master.program.pid, signal.SIGKILL)
    master.program.waiter.join()
    until(lambda: not any(map(alive, pids)), PATIENCE)


def test_usage(run_program):
    done = run_program(Path("wsgi"), "--workers", "0", "x", flags=("-m", "gopy"), timeout=PATIENCE)
    assert done.returncode == 2 and "must be 1 or more" in done.stderr
