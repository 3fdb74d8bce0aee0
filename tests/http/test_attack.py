"""Clients that mean harm, thousands at a time, against a server in a process of its own: others are served on, memory is
bounded, and nothing is left behind.
"""

import contextlib
import http.client
import json
import random
import selectors
import socket
import struct
import time

import pytest

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

SERVER = """
import json
import os
import resource
import sys

from gopy import go, http, net, runtime

BIG = b"x" * 10_000_000


def handler(w, r):
    if r.path == "/stats":
        with open("/proc/self/statm") as file:
            rss = int(file.read().split()[1]) * resource.getpagesize()
        found = {"rss": rss, "fds": len(os.listdir("/proc/self/fd")), "goroutines": len(runtime.goroutines())}
        w.write(json.dumps(found | {"stacks": sum(not g.stackless for g in runtime.goroutines())}))
    elif r.path == "/big":
        w.write(BIG)
    elif r.path == "/watch":
        r.context().done().recv()
    else:
        for data in iter(r.body.read1, b""):
            w.write(data)
        w.write("hello")


options = json.loads(sys.argv[1])
files = options.pop("files", None)
if files:
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
listener = net.listen("tcp", "127.0.0.1:0", backlog=8192)
print(listener.addr.port, flush=True)
http.Server(handler=handler, **options).serve(listener)
"""


class Target:
    def __init__(self, program):
        self.program = program
        deadline = time.monotonic() + 60
        while not program.stdout.strip():
            assert program.waiter.is_alive() and time.monotonic() < deadline, program.stderr
            time.sleep(0.01)
        self.port = int(program.stdout)
        self.get("/")
        self.before = self.stats()

    def get(self, path="/"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def stats(self):
        return json.loads(self.get("/stats"))

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def wait(self, condition, seconds=120):
        deadline = time.monotonic() + seconds
        while not condition(now := self.stats()):
            assert time.monotonic() < deadline, (self.before, now)
            time.sleep(0.1)
        return now

    def wait_until_all_are_gone(self):
        """Nothing is left: no descriptor, no goroutine."""
        return self.wait(
            lambda now: all(now[each] <= self.before[each] for each in ("fds", "goroutines", "stacks"))
        )


@pytest.fixture
def attack(start_program):
    def attack(**options):
        return Target(start_program(SERVER, json.dumps(options)))

    return attack


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def send(sock, data):
    with contextlib.suppress(OSError):  # left already
        sock.send(data)


def test_five_thousand_clients_that_send_a_byte_a_second(attack):
    target = attack(read_header_timeout=None)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(target.connect()) for _ in range(5000)]
        target.wait(lambda now: now["goroutines"] >= 5000)
        for byte in b"GET /?" + b"a" * 6:
            began = time.monotonic()
            for client in clients:
                send(client, bytes([byte]))
            assert target.get("/") == b"hello"
            time.sleep(max(0, 1 - time.monotonic() + began))
        now = target.stats()
        assert now["stacks"] <= target.before["stacks"] + 1
        assert now["rss"] - target.before["rss"] < 5000 * 12_000, now
    target.wait_until_all_are_gone()


def test_slow_readers(attack):
    target = attack(write_timeout=15)
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(500):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", target.port))
            client.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
            clients.append(client)
        for _ in range(10):
            for client in clients:
                client.recv(10)
            assert target.get("/") == b"hello"
        now = target.stats()
        assert now["rss"] - target.before["rss"] < 500 * 100_000, now
        target.wait_until_all_are_gone()


def test_slow_writers(attack):
    target = attack(read_timeout=15)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(target.connect()) for _ in range(500)]
        for i, client in enumerate(clients):
            framing = b"Content-Length: 1000000" if i % 2 else b"Transfer-Encoding: chunked"
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
        for byte in b"F4240\r\n" + b"a" * 5:
            for client in clients:
                send(client, bytes([byte]))
            assert target.get("/") == b"hello"
        now = target.stats()
        assert now["rss"] - target.before["rss"] < 500 * 100_000, now
        target.wait_until_all_are_gone()


REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /watch HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n" + b"x" * 30,
    b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
]


def test_resets_in_the_middle(attack):
    """At every place of every kind of request, sometimes after a look at the answer."""
    target = attack()
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(3000):
        client = target.connect()
        data = rng.choice(REQUESTS)
        send(client, data[: rng.randrange(len(data) + 1)])
        if rng.random() < 0.3:
            with contextlib.suppress(OSError):
                client.settimeout(0.002)
                client.recv(rng.choice([1, 100, 100_000]))
        client.close() if rng.random() < 0.2 else reset(client)
    assert target.get("/") == b"hello"
    target.wait_until_all_are_gone()
    assert "Traceback" not in target.program.stderr, target.program.stderr


def test_out_of_descriptors(attack):
    target = attack(files=64)
    with contextlib.ExitStack() as stack:
        there = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)
        stack.callback(there.close)
        there.request("GET", "/")
        assert there.getresponse().read() == b"hello"
        clients = [stack.enter_context(target.connect()) for _ in range(200)]
        deadline = time.monotonic() + 60
        while "waiting until there is room" not in target.program.stderr:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        there.request("GET", "/")
        assert there.getresponse().read() == b"hello"
        answered = 0
        with selectors.DefaultSelector() as selector:
            for client in clients:
                send(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                selector.register(client, selectors.EVENT_READ)
            while answered < len(clients):  # each that leaves makes room for another one
                found = selector.select(60)
                assert found
                for key, _ in found:
                    assert key.fileobj.recv(1000).endswith(b"hello")
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    answered += 1
    target.wait_until_all_are_gone()
    assert target.program.stderr.count("waiting until there is room") < 200
