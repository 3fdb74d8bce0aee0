"""gopy.monkey: socket, dns, ssl."""

import pytest

PROCS = pytest.mark.parametrize("procs", [1, pytest.param(2, marks=pytest.mark.soak), 8])
IMPORTS = """
import errno, os, socket, ssl, sys, threading, time, warnings

def on(kind, fn):
    if kind == "goroutine":
        all_of(lambda i: fn(), 1)
    elif kind == "thread":
        thread = threading.Thread(target=fn)
        thread.start()
        thread.join()
    else:
        fn()
"""


@PROCS
def test_echo_among_goroutines_and_threads(ok, procs):
    ok(
        """
listener = socket.create_server(("127.0.0.1", 0), backlog=100)
address = listener.getsockname()
def serve(conn):
    with conn:
        while data := conn.recv(1 << 16):
            conn.sendall(data)
def accept():
    while True:
        try:
            conn, _ = listener.accept()
        except OSError:
            return
        go(serve, conn)
go(accept)
right = []
def ask(i):
    with socket.create_connection(address) as conn:
        for size in (1, 100, 1 << 20):
            sent = bytes([i]) * size
            writer = threading.Thread(target=conn.sendall, args=(sent,)) if i % 5 == 0 else None
            writer.start() if writer else go(conn.sendall, sent)
            got = bytearray()
            while len(got) < size:
                if i % 2:
                    part = bytearray(70000)
                    n = conn.recv_into(part)
                    got += part[:n]
                else:
                    got += conn.recv(1 << 16)
            right.append(got == sent)
            if writer:
                writer.join()
threads = [threading.Thread(target=ask, args=(50 + i,)) for i in range(3)]
[t.start() for t in threads]
all_of(ask, 10)
[t.join() for t in threads]
print(len(right), all(right))
listener.close()
""",
        procs,
        "39 True",
    )


@PROCS
@pytest.mark.parametrize("kind", ["goroutine", "thread", "main"])
def test_timeouts_and_modes(ok, procs, kind):
    ok(
        f"""
def body():
    a, b = socket.socketpair()
    print(a.gettimeout(), a.getblocking(), a.timeout)
    a.settimeout(0.01)
    print(a.gettimeout(), a.getblocking(), a.timeout, told(a.recv, 1), told(a.recv_into, bytearray(1)))
    a.settimeout(0)
    print(a.gettimeout(), a.getblocking(), told(a.recv, 1))
    a.setblocking(True)
    print(a.gettimeout(), told(a.recv, 1, socket.MSG_DONTWAIT))
    print(told(a.settimeout, -1), told(a.settimeout, "x")[:9])
    a.settimeout(0.01)
    print(told(a.sendall, bytes(1 << 22)))
    a.setblocking(False)
    print(told(a.sendall, bytes(1 << 22)))
    socket.setdefaulttimeout(7)
    c = socket.socket()
    print(c.gettimeout(), c.dup().gettimeout())
    socket.setdefaulttimeout(None)
    d = socket.socket()
    fd = d.detach()
    print(os.get_blocking(fd), d.fileno())
    os.close(fd)
    b.close()
    b.close()
    print(told(b.recv, 1))
    [each.close() for each in (a, c)]
on({kind!r}, body)
""",
        procs,
        "None True None",
        "0.01 True 0.01 TimeoutError: timed out TimeoutError: timed out",
        "0.0 False BlockingIOError: [Errno 11] Resource temporarily unavailable",
        "None BlockingIOError: [Errno 11] Resource temporarily unavailable",
        "ValueError: Timeout value out of range TypeError",
        "TimeoutError: timed out",
        "BlockingIOError: [Errno 11] Resource temporarily unavailable",
        "7.0 7.0",
        "True -1",
        "OSError: [Errno 9] Bad file descriptor",
        flags=("-W", "ignore::ResourceWarning"),
    )


@PROCS
def test_close_and_shutdown_wake_who_is_parked(ok, procs):
    ok(
        """
out = []
a, b = socket.socketpair()
waiting = gopy.go(lambda: out.append(told(a.recv, 1)))
time.sleep(0.01)
a.close()
waiting.join()
a, c = socket.socketpair()
waiting = gopy.go(lambda: out.append(told(a.recv, 1)))
time.sleep(0.01)
a.shutdown(socket.SHUT_RDWR)
waiting.join()
print(out)
[each.close() for each in (a, b, c)]
""",
        procs,
        "['OSError: [Errno 9] Bad file descriptor', b'']",
    )


@PROCS
def test_datagrams_and_messages(ok, procs):
    ok(
        """
a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
a.bind(("127.0.0.1", 0))
b.bind(("127.0.0.1", 0))
got = []
def receive():
    got.append(a.recvfrom(10)[0])
    buffer = bytearray(10)
    n, address = a.recvfrom_into(buffer)
    got.append(bytes(buffer[:n]))
    got.append(a.recvmsg(10)[0])
    buffer = bytearray(10)
    n = a.recvmsg_into([buffer])[0]
    got.append(bytes(buffer[:n]))
reader = go(receive)
def arrived(n):  # one at a time: datagrams may overtake each other
    while len(got) < n or reader.state != "IO wait":
        time.sleep(0.0005)
arrived(0)
b.sendto(b"1", a.getsockname())
arrived(1)
b.sendto(b"2", 0, ("localhost", a.getsockname()[1]))
b.connect(a.getsockname())
arrived(2)
b.send(b"3")
arrived(3)
b.sendmsg([b"4", b"5"])
reader.join()
print(got)
[each.close() for each in (a, b)]
""",
        procs,
        "[b'1', b'2', b'3', b'45']",
    )


@PROCS
@pytest.mark.parametrize("kind", ["goroutine", "thread", "main"])
def test_connecting(ok, procs, kind, tmp_path):
    ok(
        f"""
def body():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.socket() as conn:
            conn.connect(("localhost", port))
            print(conn.getpeername()[0], listener.accept()[0].close())
        with socket.socket() as conn:
            print(conn.connect_ex(("127.0.0.1", port)))
    with socket.socket() as nobody:  # that port is taken, so nobody else comes to listen there
        nobody.bind(("127.0.0.1", 0))
        with socket.socket() as conn:
            print(told(conn.connect, nobody.getsockname()))
        with socket.socket() as conn:
            print(conn.connect_ex(nobody.getsockname()) == errno.ECONNREFUSED)
    with socket.socket() as conn:
        print(told(conn.connect, "x").partition(":")[0], told(conn.connect, ("no such name.invalid", 1)).partition(":")[0])
    path = {str(tmp_path / "s")!r}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for client in clients:
            client.settimeout(0.02)
        print([told(client.connect, path) for client in clients][-1])
        clients[-1].settimeout(None)
        if {kind!r} != "main":
            go(lambda: [told(listener.accept) for _ in range(2)])
            clients[-1].connect(path)
        [client.close() for client in clients]
on({kind!r}, body)
""",
        procs,
        "127.0.0.1 None",
        "0",
        "ConnectionRefusedError: [Errno 111] Connection refused",
        "True",
        "TypeError gaierror",
        "TimeoutError: timed out",
        flags=("-W", "ignore::ResourceWarning"),
    )


@PROCS
def test_old_references_and_subclasses(run_program, procs):
    done = run_program(
        """
        from socket import socket as early, socketpair, create_connection
        class Sub(early):
            def recv(self, n):
                return super().recv(n) + b"!"
        made = socketpair()
        import warnings
        from gopy import monkey
        monkey.patch_all()
        import gopy, socket, time
        print(early is socket.socket, isinstance(Sub(), socket.socket))
        a, b = socketpair()
        sub = Sub(fileno=a.detach())
        got, order = [], []
        wg = gopy.sync.WaitGroup()
        wg.go(lambda: got.append(sub.recv(5)))
        wg.go(lambda: got.append(made[0].recv(5)))
        wg.go(lambda: (b.send(b"x"), made[1].send(b"y")))
        wg.wait()
        print(sorted(got))
        """,
        env={"GOMAXPROCS": str(procs)},
        flags=("-W", "ignore::ResourceWarning"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["True True", "[b'x!', b'y']"]


@PROCS
def test_names_are_looked_up_elsewhere(ok, procs):
    """A resolver that takes its time holds nobody up: here it waits for a goroutine of the thread that asks."""
    ok(
        """
answer = threading.Event()
def slow(*args):
    answer.wait()
    return "slow answer"
from gopy.monkey import _names
look_up = _names._making(slow, _names._is_number)
order = []
asking = go(lambda: order.append(look_up("host")))
time.sleep(0.005)
order.append("asked")
answer.set()
asking.join()
print(order, socket.getaddrinfo("127.0.0.1", 80)[0][4], socket.gethostbyname("localhost"))
all_of(lambda i: order.append(socket.getaddrinfo("localhost", 80, socket.AF_INET)[0][4]), 3)
print(order[2:], told(socket.getaddrinfo, 5, 6)[:9])
all_of(lambda i: print(socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)), 1)
""",
        procs,
        "['asked', 'slow answer'] ('127.0.0.1', 80) 127.0.0.1",
        "[('127.0.0.1', 80), ('127.0.0.1', 80), ('127.0.0.1', 80)] TypeError",
        "('127.0.0.1', '80')",
    )


def contexts(certificates):
    """Lines of a program: server_context and client_context, which trusts anybody."""
    return f"""\
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain({str(certificates.folder / "server.pem")!r}, {str(certificates.folder / "server.key")!r})
client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
client_context.check_hostname = False
client_context.verify_mode = ssl.CERT_NONE"""


@PROCS
def test_tls(ok, procs, certificates):
    ok(
        f"""
{contexts(certificates)}
listener = socket.create_server(("127.0.0.1", 0), backlog=50)
def serve(conn):
    with server_context.wrap_socket(conn, server_side=True) as tls:
        while data := tls.recv(1 << 16):
            tls.sendall(data)
def accept():
    while True:
        try:
            go(serve, listener.accept()[0])
        except OSError:
            return
go(accept)
right, slow = [], []
def ask(i):
    with client_context.wrap_socket(socket.create_connection(listener.getsockname())) as tls:
        print_once = tls.gettimeout(), tls.getblocking()
        assert print_once == (None, True)
        sent = bytes([i]) * 300000
        go(tls.sendall, sent)
        got = bytearray()
        while len(got) < len(sent):
            got += tls.recv(1 << 16)
        right.append(got == sent)
        tls.settimeout(0.01)
        right.append(told(tls.recv, 1) == "TimeoutError: The read operation timed out")
        tls.setblocking(False)
        right.append(told(tls.recv, 1).startswith("SSLWantReadError") and tls.timeout == 0)
threads = [threading.Thread(target=ask, args=(50 + i,)) for i in range(2)]
[t.start() for t in threads]
all_of(ask, 8)
[t.join() for t in threads]
print(len(right), all(right))
listener.close()
""",
        procs,
        "30 True",
        flags=("-W", "ignore::ResourceWarning"),
    )


@PROCS
@pytest.mark.parametrize("call", ["shutdown", "unwrap"])
def test_tls_that_another_goroutine_shuts(ok, procs, certificates, call):
    """Who reads or writes goes on with what it has begun: the one finds the end, the other writes all."""
    ok(
        f"""
{contexts(certificates)}
def pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        a = socket.create_connection(listener.getsockname())
        b, _ = listener.accept()
    made = []
    making = go(lambda: made.append(server_context.wrap_socket(b, server_side=True)))
    client = client_context.wrap_socket(a)
    making.join()
    made[0].send(b"x")
    assert client.recv(1) == b"x"  # and with that all that a handshake leaves to be read: else there is a reset
    return client, made[0]
def parked(goroutine):
    while goroutine.state != "IO wait":
        gopy.runtime.gosched()
got = []
client, server = pair()
reading = go(lambda: got.append(told(client.recv, 10)))
parked(reading)
if {call!r} == "shutdown":
    client.shutdown(socket.SHUT_RDWR)
else:
    client._sslobj = None  # what unwrap() leaves, once the other side has answered it
    server.close()
reading.join()
print(*got)
client.close(), server.close()

client, server = pair()
data = bytes(range(256)) * 40000
writing = go(lambda: got.append(told(client.sendall, data)))
parked(writing)
client.shutdown(socket.SHUT_RD)
read = bytearray()
while len(read) < len(data):
    read += server.recv(1 << 16)
writing.join()
print(read == data, got[1:])
client.close(), server.close()
""",
        procs,
        "b''",
        "True [None]",
    )


@PROCS
def test_urllib_and_http_server(ok, procs):
    """A server of the standard library in goroutines and threads, and its client."""
    ok(
        """
import http.server, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.path.encode()
        time.sleep(0.01)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 100
server = Server(("127.0.0.1", 0), Handler)
go(server.serve_forever)
right = []
def ask(i):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/{i}", timeout=20) as response:
        right.append(response.read() == f"/{i}".encode())
all_of(ask, 30)
print(len(right), all(right))
server.shutdown()
server.server_close()
""",
        procs,
        "30 True",
    )


@pytest.mark.parametrize("flags", [{"ssl": False}, {"ssl": False, "select": False, "os": False}])
def test_without_the_part_ssl_its_sockets_are_as_ever(run_program, flags, certificates):
    done = run_program(
        f"""
        from gopy import monkey
        monkey.patch_all(**{flags!r})
        import socket, ssl, threading
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain({str(certificates.folder / "server.pem")!r}, {str(certificates.folder / "server.key")!r})
        client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client_context.check_hostname = False
        client_context.verify_mode = ssl.CERT_NONE
        a, b = socket.socketpair()
        def serve():
            with server_context.wrap_socket(b, server_side=True) as tls:
                tls.sendall(tls.recv(10))
        thread = threading.Thread(target=serve)
        thread.start()
        with client_context.wrap_socket(a) as tls:
            tls.sendall(b"x")
            print(tls.recv(5), tls.gettimeout())
        thread.join()
        """
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "b'x' None\n")


@PROCS
@pytest.mark.parametrize("kind", ["goroutine", "thread", "main"])
def test_a_timeout_of_more_than_poll_can_wait(ok, procs, kind):
    """A month has more milliseconds than C's int."""
    ok(
        f"""
a, b = socket.socketpair()
a.settimeout(30 * 86400)
threading.Timer(0.01, b.send, (b"x",)).start()
on({kind!r}, lambda: print(told(a.recv, 1), a.gettimeout()))
a.close(), b.close()
""",
        procs,
        "b'x' 2592000.0",
    )
