"""gopy.monkey: libraries that are told how to wait when they are imported. Real ones where they are installed."""

import importlib.util

import pytest

PROCS = pytest.mark.parametrize("procs", [1, pytest.param(2, marks=pytest.mark.soak), 8])


@pytest.fixture
def packages(tmp_path):
    """Modules with the names of real ones, which wait for what a goroutine of the same thread does."""
    for name, files in {
        "psycopg": {
            "waiting.py": "def wait(gen, fileno, interval=0):\n    return 'C'\ndef wait_poll(gen, fileno, interval=0):\n    return 'poll'\n"
        },
        "psycopg2": {
            "extensions.py": "POLL_OK, POLL_READ, POLL_WRITE = 0, 1, 2\nclass OperationalError(Exception):\n    pass\n"
            "def set_wait_callback(fn):\n    global callback\n    callback = fn\n"
        },
        "grpc": {
            "_channel.py": "class Future:\n    def result(self):\n        return 'future'\n"
            "class _UnaryUnaryMultiCallable:\n    def __call__(self, request):\n        return 'C'\n    def with_call(self, request):\n        return 'C', self\n"
            "    def future(self, request):\n        return Future()\n"
            "class _StreamUnaryMultiCallable(_UnaryUnaryMultiCallable):\n    def __call__(self, request):\n        return 'C'\n    def with_call(self, request):\n        return 'C', self\n"
        },
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
    return tmp_path


@pytest.mark.parametrize("early", [True, False])
def test_hooks(run_program, packages, early):
    imports = "import grpc._channel, psycopg.waiting, psycopg2.extensions\n"
    patch = "from gopy import monkey\nmonkey.patch_all()\n"
    done = run_program(
        f"import sys\nsys.path.insert(0, {str(packages)!r})\n"
        + (patch + imports if early else imports + patch)
        + """
import os, gopy
from grpc._channel import _UnaryUnaryMultiCallable as Call
def told():
    return [psycopg.waiting.wait(None, 0), Call()(1), Call().with_call(1)[0]]
print(told(), monkey.is_patched("psycopg.waiting.wait"))
gopy.go(lambda: print(told())).join()
r, w = os.pipe()
class Connection:
    states = [1, 2, 0]
    def fileno(self):
        return r if self.states and self.states[0] == 2 else w
    def poll(self):
        return self.states.pop(0)
order = []
def wait():
    psycopg2.extensions.callback(Connection())
    order.append("ready")
waiting = gopy.go(wait)
gopy.runtime.gosched()
order.append("others run")
os.write(w, b"x")
waiting.join()
print(order)
Connection.states[:] = [7]
try:
    psycopg2.extensions.callback(Connection())
except psycopg2.extensions.OperationalError as exc:
    print(exc)
"""
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "['C', 'C', 'C'] True",
        "['poll', 'future', 'future']",
        "['others run', 'ready']",
        "connection.poll() returned 7",
    ]


@PROCS
@pytest.mark.skipif(
    importlib.util.find_spec("requests") is None, reason="NOT TESTED HERE: requests is not installed"
)
def test_requests(run_program, procs):
    """Sixteen requests over a server that answers none before it has all of them."""
    done = run_program(
        """
        from gopy import monkey
        monkey.patch_all()
        import http.server, threading
        import gopy, requests
        together = threading.Barrier(16)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                together.wait()
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")
            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 100

        server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever).start()
        session, right, wg = requests.Session(), [], gopy.sync.WaitGroup()

        def ask():
            gopy.runtime.gosched()
            right.append(session.get(f"http://127.0.0.1:{server.server_port}/", timeout=25).text == "ok")

        for _ in range(16):
            wg.go(ask)
        wg.wait()
        server.shutdown()
        server.server_close()
        print(len(right), all(right))
        """,
        env={"GOMAXPROCS": str(procs)},
        flags=("-W", "ignore"),
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "16 True\n")
