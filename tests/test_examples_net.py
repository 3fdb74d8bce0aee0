"""The programs in examples/ that talk, driven from outside by sockets, curl, openssl and a browser. Only loopback."""

import contextlib
import http.client
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLES = REPOSITORY / "examples"
TIMEOUT = 50

needs_h11 = pytest.mark.skipif(find_spec("h11") is None, reason="needs h11, of the extra `examples`")
needs_signal = pytest.mark.skipif(find_spec("gopy.signal") is None, reason="needs gopy.signal")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
on_procs = pytest.mark.parametrize("procs", [1, 2])


@pytest.fixture
def start(start_program):
    """start(example, *args, procs=2) -> (the program, (host, port) that it says it listens on)."""

    def start(example, *args, procs=2):
        child = start_program(EXAMPLES / f"{example}.py", *args, env={"GOMAXPROCS": str(procs)})
        child.wait_for(lambda: "\n" in child.stdout)
        host, port = re.search(r"(?:on |://)([\d.]+|\[[\d:a-f]+\]):(\d+)", child.stdout).groups()
        return child, (host.strip("[]"), int(port))

    return start


def stop(child, how=signal.SIGINT, status=130):
    os.kill(child.pid, how)
    done = child.finish()
    assert (done.returncode, done.stderr) == (status, "")


def connect(address):
    return socket.create_connection(address, timeout=TIMEOUT)


def read_all(sock):
    data = b""
    while chunk := sock.recv(1 << 20):
        data += chunk
    return data


# echo_server


@on_procs
def test_echo_server(start, procs):
    child, address = start("echo_server", "127.0.0.1:0", procs=procs)
    with connect(address) as silent, connect(address) as slow, connect(address) as reset:
        slow.send(b"sl")
        reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        reset.send(b"x" * 1000)
        reset.close()

        def client(n):
            data = os.urandom(100_000) * n
            with connect(address) as sock:
                writer = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
                writer.start()
                assert read_all(sock) == data
                writer.join()

        threads = [threading.Thread(target=client, args=(n,)) for n in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive()
        slow.send(b"ow")
        assert slow.makefile("rb").read(4) == b"slow"
        silent.shutdown(socket.SHUT_WR)
        assert silent.recv(1) == b""
    child.wait_for(lambda: re.search(r"ConnectionResetError: .*\n", child.stderr))
    os.kill(child.pid, signal.SIGINT)
    done = child.finish()
    assert done.returncode == 130
    assert re.fullmatch(r"echo of .* failed\nTraceback.*\nConnectionResetError: .*\n", done.stderr, re.DOTALL)


# chat_server


class Chatter:
    def __init__(self, address):
        self.sock = connect(address)
        self.lines = self.sock.makefile("r")
        self.name = "{}:{}".format(*self.sock.getsockname())
        self.greeting = self.lines.readline()

    def say(self, text):
        self.sock.sendall(f"{text}\n".encode())

    def hear(self):
        return self.lines.readline().rstrip("\n")

    def leave(self):
        self.lines.close()
        self.sock.close()


@on_procs
def test_chat_server(start, procs):
    child, address = start("chat_server", "127.0.0.1:0", procs=procs)
    ann = Chatter(address)
    assert ann.greeting == f"You are {ann.name}; here are: nobody\n"
    bob = Chatter(address)
    assert bob.greeting == f"You are {bob.name}; here are: {ann.name}\n"
    assert ann.hear() == f"{bob.name} has arrived"
    ann.say("Hello, wörld")
    assert ann.hear() == bob.hear() == f"{ann.name}: Hello, wörld"
    bob.say("Hi")
    assert ann.hear() == bob.hear() == f"{bob.name}: Hi"
    bob.leave()
    assert ann.hear() == f"{bob.name} has left"
    eve = Chatter(address)  # who never reads
    assert ann.hear() == f"{eve.name} has arrived"
    text = "x" * 100_000
    said = heard = 0
    gone = False
    while not gone or heard < said:
        if not gone:
            assert said < 1000
            ann.say(text)
            said += 1
        line = ann.hear()
        gone |= line == f"{eve.name} has left"
        heard += line == f"{ann.name}: {text}"
    eve.leave()
    ann.leave()
    stop(child)


# port_scanner


@on_procs
def test_port_scanner(run_program, procs):
    with contextlib.ExitStack() as stack:
        listening = [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]]
        for port in range(listening[0] + 1, min(listening[0] + 200, 65536)):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
                listening.append(port)
            if len(listening) == 3:
                break
        first, last = listening[0] - 20, listening[-1] + 20
        env = {"GOMAXPROCS": str(procs)}
        args = ["localhost", "-p", f"{first}-{last}", "-n", 50, "-t", 25]
        done = run_program(EXAMPLES / "port_scanner.py", *args, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    found = [int(line.split()[0]) for line in done.stdout.splitlines()]
    assert found == sorted(found)
    assert set(listening) <= set(found) <= set(range(first, last + 1))
    assert len(found) < last - first  # not all that were asked


def test_port_scanner_explains_its_usage(run_program):
    assert run_program(EXAMPLES / "port_scanner.py").returncode == 2
    assert run_program(EXAMPLES / "port_scanner.py", "localhost", "-p", "9-8").returncode == 2
    done = run_program(EXAMPLES / "port_scanner.py", "no-such-name.invalid")
    assert done.returncode == 1 and "no-such-name.invalid" in done.stderr


# terminal_ticker


class Terminal:
    """A program on a pseudo terminal."""

    def __init__(self, example):
        self.master, slave = pty.openpty()
        env = os.environ | {"PYTHONFAULTHANDLER": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", EXAMPLES / f"{example}.py"],
            stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.shown = ""

    def read_until(self, pattern):
        deadline = time.monotonic() + TIMEOUT
        while not (found := re.search(pattern, self.shown, re.DOTALL)):
            ready, _, _ = select.select([self.master], [], [], max(deadline - time.monotonic(), 0))
            assert ready, self.shown
            try:
                self.shown += os.read(self.master, 65536).decode()
            except OSError:
                pytest.fail(f"it ended: {self.shown!r}")
        self.shown = self.shown[found.end() :]
        return found

    def type(self, text):
        os.write(self.master, text.encode())

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal():
    terminals = []

    def terminal(example):
        terminals.append(Terminal(example))
        return terminals[-1]

    yield terminal
    for each in terminals:
        each.close()


@pytest.mark.parametrize(("end", "status"), [("\n", 0), ("\x04", 0), ("\x03", 130)])
def test_terminal_ticker(terminal, end, status):
    ticker = terminal("terminal_ticker")
    ticker.read_until("Type something: ")
    for _ in range(3):
        ticker.read_until(r"\x1b\]0;\d+\.\d s")  # it ticks while nobody types
    ticker.type("hello\n")
    found = ticker.read_until(r"5 characters, and (\d+) ticks of the clock meanwhile.*Type something: ")
    assert int(found[1]) >= 3
    ticker.read_until(r"\x1b\]0;\d+\.\d s")
    if end == "\x03":
        os.kill(ticker.process.pid, signal.SIGINT)  # the terminal is not its controlling one
    else:
        ticker.type(end)
    assert ticker.process.wait(TIMEOUT) == status
    assert "Traceback" not in ticker.shown


# http_server


@pytest.fixture
def site(tmp_path):
    """A tree to serve; a secret beside it."""
    root = tmp_path / "root"
    (root / "sub" / "with space").mkdir(parents=True)
    (root / "index.html").write_text("<!doctype html><title>Front</title><p id=x>Front page")
    (root / "sub" / "ünï & <odd>.txt").write_text("odd")
    (root / "sub" / "with space" / "page.md").write_text("# Page")
    (root / "data.bin").write_bytes(bytes(range(256)) * 40)
    (root / "style.css").write_text("p { color: red }")
    (root / "empty").write_bytes(b"")
    (tmp_path / "secret").write_text("secret")
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "in").symlink_to(root / "index.html")
    return root


@pytest.fixture
def server(start, site):
    """The address of an http_server over `site`."""
    child, address = start("http_server", site, "-a", "127.0.0.1:0")
    yield address
    stop(child, signal.SIGTERM, 0)


def curl(*args):
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", *map(str, args)], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def get(address, target, method="GET", headers=None, body=None):
    """The status, headers and body, by Python's own client."""
    conn = http.client.HTTPConnection(*address, timeout=TIMEOUT)
    try:
        conn.request(method, target, body=body, headers=headers or {})
        response = conn.getresponse()
        return response.status, dict(response.headers), response.read()
    finally:
        conn.close()


def for_http(fn):
    return needs_h11(needs_signal(fn))


@for_http
@needs_curl
def test_http_server_with_curl(server, site, tmp_path):
    url = "http://{}:{}".format(*server)
    data = (site / "data.bin").read_bytes()
    assert curl(f"{url}/data.bin") == data
    assert curl("-r", "0-9", f"{url}/data.bin") == data[:10]
    assert curl("-r", "10200-", f"{url}/data.bin") == data[10200:]
    assert curl("-r", "-7", f"{url}/data.bin") == data[-7:]
    assert curl("-r", "10000-99999", f"{url}/data.bin") == data[10000:]
    part = tmp_path / "part"
    part.write_bytes(data[:5000])
    curl("-C", "-", "-o", part, f"{url}/data.bin")  # goes on with a broken download
    assert part.read_bytes() == data
    out = curl("-w", "%{http_code} %{num_connects}\n", "-o", "/dev/null", f"{url}/", "-o", "/dev/null", f"{url}/empty",
               "-o", "/dev/null", f"{url}/missing")  # fmt: skip
    assert out == b"200 1\n200 0\n404 0\n"  # one connection for all
    head = curl("-I", f"{url}/data.bin")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"Content-Length: 10240\r\n" in head
    assert curl("-L", "-w", "%{url_effective}", f"{url}/sub").endswith(b"/sub/")
    assert curl("--path-as-is", "-w", "%{http_code}", "-o", "/dev/null", f"{url}/../secret") == b"404"


@pytest.mark.slow
@for_http
@pytest.mark.parametrize(
    "target",
    ["/missing", "/../secret", "/sub/../../secret", "/%2e%2e/secret", "/..%2fsecret", "/out", "//etc/passwd",
     "/index.html/", "/%00", "/" + "x" * 5000, "/data.bin%00.html"],
)  # fmt: skip
def test_http_server_refuses_what_is_not_there(server, target):
    status, headers, body = get(server, target)
    assert status == 404 and b"secret" not in body and headers["Content-Type"].startswith("text/html")


@for_http
def test_http_server_answers(server, site):
    assert get(server, "/")[2] == get(server, "/index.html?q=1")[2] == get(server, "/in")[2]
    kinds = {"/": "text/html; charset=utf-8", "/style.css": "text/css; charset=utf-8",
             "/sub/with%20space/page.md": "text/markdown; charset=utf-8",
             "/empty": "application/octet-stream"}  # fmt: skip
    for target, kind in kinds.items():
        status, headers, _ = get(server, target)
        assert (status, headers["Content-Type"]) == (200, kind)
    status, headers, body = get(server, "/sub/")
    assert status == 200
    links = re.findall(r'href="\./([^"]*)"', body.decode())
    assert links == ["with%20space/", "%C3%BCn%C3%AF%20%26%20%3Codd%3E.txt"]
    assert "ünï &amp; &lt;odd&gt;.txt" in body.decode()
    assert get(server, f"/sub/{links[1]}")[2] == b"odd"
    status, headers, _ = get(server, "/sub/with%20space")
    assert (status, headers["Location"]) == (301, "/sub/with%20space/")
    status, headers, body = get(server, "/data.bin", "HEAD", {"Range": "bytes=0-1"})
    assert (status, headers["Content-Length"], body) == (200, "10240", b"")
    status, headers, body = get(server, "/data.bin", headers={"Range": "bytes=3-5"})
    assert (status, headers["Content-Range"], body) == (206, "bytes 3-5/10240", b"\3\4\5")
    status, headers, _ = get(server, "/data.bin", headers={"Range": "bytes=20000-"})
    assert (status, headers["Content-Range"]) == (416, "bytes */10240")
    assert get(server, "/empty", headers={"Range": "bytes=-5"})[0] == 416
    for odd in "bytes=1-2,4-5", "bytes=-", "lines=1-2", "bytes=5-2x":
        assert get(server, "/data.bin", headers={"Range": odd})[0] == 200
    status, headers, _ = get(server, "/", "POST", body=b"x" * 100_000)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


@for_http
def test_http_server_and_odd_clients(server):
    with connect(server) as sock:  # three requests at once, then the end
        sock.sendall(b"GET /empty HTTP/1.1\r\nHost: x\r\n\r\n" * 2 + b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).count(b"HTTP/1.1 200 OK\r\n") == 3
    with connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert read_all(sock).endswith(b"Front page")
    with connect(server) as sock:
        sock.sendall(b"\x16\x03\x01garbage\r\n\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    with connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHo")
    with connect(server) as sock:
        for byte in b"GET /empty HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
            sock.send(bytes([byte]))
        assert read_all(sock).startswith(b"HTTP/1.1 200 OK\r\n")
    assert get(server, "/empty")[0] == 200


@pytest.mark.slow
@for_http
@on_procs
def test_http_server_ends_in_good_order(start, site, procs):
    """SIGTERM: an answer under way is sent to its end, idle connections are closed, new ones are refused."""
    with open(site / "big", "wb") as file:
        file.truncate(12_000_000)
    child, address = start("http_server", site, "-a", "127.0.0.1:0", procs=procs)
    idle = http.client.HTTPConnection(*address, timeout=TIMEOUT)
    idle.request("GET", "/empty")
    assert idle.getresponse().read() == b""
    with connect(address) as fresh, connect(address) as busy:
        busy.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        got = busy.recv(1000)
        os.kill(child.pid, signal.SIGTERM)
        assert idle.sock.recv(1) == b""
        assert fresh.recv(1) == b""
        with pytest.raises(OSError):
            connect(address)
        assert child.waiter.is_alive()
        head, _, body = (got + read_all(busy)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK") and len(body) == 12_000_000
    idle.close()
    done = child.finish()
    assert (done.returncode, done.stderr) == (0, "")


@for_http
def test_http_server_with_slow_clients_beside_fast_ones(start, site):
    with open(site / "big", "wb") as file:
        file.truncate(20_000_000)
    child, address = start("http_server", site, "-a", "127.0.0.1:0")
    with contextlib.ExitStack() as stack:
        for _ in range(20):  # each asks, and does not read
            sock = stack.enter_context(connect(address))
            sock.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(1) == b"H"
        for _ in range(20):
            assert get(address, "/empty")[0] == 200
        assert len(get(address, "/big")[2]) == 20_000_000
    stop(child, signal.SIGTERM, 0)


@for_http
@needs_curl
def test_http_server_with_tls(start, site, certificates):
    folder = certificates.folder
    child, address = start(
        "http_server",
        site,
        "-a",
        "127.0.0.1:0",
        "--cert",
        folder / "server.pem",
        "--key",
        folder / "server.key",
    )
    url = f"https://localhost:{address[1]}"
    data = (site / "data.bin").read_bytes()
    assert curl("--cacert", certificates.authority, f"{url}/data.bin") == data
    for version in "--tls-max 1.2", "--tlsv1.3":
        args = [*version.split(), "--cacert", certificates.authority, "-w", "%{http_code}%{num_connects}"]
        assert curl(*args, "-o", "/dev/null", f"{url}/", "-o", "/dev/null", f"{url}/missing") == b"20014040"
    refused = subprocess.run(["curl", "-sS", f"{url}/"], capture_output=True, check=False)
    assert refused.returncode == 60  # it does not trust the authority
    command = ["openssl", "s_client", "-quiet", "-connect", f"localhost:{address[1]}", "-alpn", "h2,http/1.1"]
    request = b"GET /empty HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    done = subprocess.run(command, input=request, capture_output=True, timeout=TIMEOUT, check=False)
    assert done.stdout.startswith(b"HTTP/1.1 200 OK\r\n")
    with connect(address) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        read_all(sock)
    assert curl("--cacert", certificates.authority, f"{url}/data.bin") == data
    stop(child, signal.SIGTERM, 0)


BROWSERS = ["chromium", "chromium-browser", "google-chrome"]


@for_http
@pytest.mark.skipif(
    not any(map(shutil.which, BROWSERS)), reason="NO BROWSER: http_server is not tested with one"
)
def test_http_server_with_a_browser(server, site, tmp_path):
    (site / "script.html").write_text(
        "<title>x</title><link rel=stylesheet href=style.css><p>0</p><script>"
        "fetch('data.bin').then(r => r.arrayBuffer()).then(b => {"
        "document.querySelector('p').textContent = b.byteLength + getComputedStyle(document.querySelector('p')).color"
        "})</script>"
    )
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    flags += ["--virtual-time-budget=5000", "--dump-dom"]
    url = "http://{}:{}/script.html".format(*server)
    done = subprocess.run([browser, *flags, url], capture_output=True, timeout=50, check=False)
    assert b"<p>10240rgb(255, 0, 0)</p>" in done.stdout, done.stderr[-2000:]


# link_checker


@pytest.mark.slow
@for_http
@on_procs
def test_link_checker_over_our_own_documents(start, run_program, procs):
    child, address = start("http_server", REPOSITORY, "-a", "127.0.0.1:0", procs=procs)
    url = "http://{}:{}/README.md".format(*address)
    done = run_program(EXAMPLES / "link_checker.py", url, env={"GOMAXPROCS": str(procs)})
    assert done.stderr == ""
    found = re.fullmatch(r"(\d+) pages, (\d+) links, (\d+) to other sites, 0 broken\n", done.stdout)
    assert found, done.stdout
    assert int(found[1]) >= 10 and int(found[2]) >= 10
    assert done.returncode == 0
    stop(child, signal.SIGTERM, 0)


@pytest.mark.slow
@for_http
def test_link_checker_finds_broken_links(start, run_program):
    child, address = start("http_server", EXAMPLES / "site", "-a", "127.0.0.1:0")
    url = "http://{}:{}".format(*address)
    done = run_program(EXAMPLES / "link_checker.py", f"{url}/", "-n", 2)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.endswith(": 404")] and lines[-1].endswith(", 2 broken")
    assert all(line.startswith((url, "    linked from " + url)) for line in lines[:-1])
    stop(child, signal.SIGTERM, 0)
    done = run_program(EXAMPLES / "link_checker.py", f"{url}/")
    assert done.returncode == 1 and "refused" in done.stdout
    assert run_program(EXAMPLES / "link_checker.py", "README.md").returncode == 2
