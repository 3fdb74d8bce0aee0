"""gopy.monkey: recv, recv_into, send and sendall, whose usual calls are served in C, and whose descriptor that is."""

import pytest

PROCS = pytest.mark.parametrize("procs", [1, pytest.param(2, marks=pytest.mark.soak), 8])
IMPORTS = """
import gc, os, select, socket, sys, threading, time, warnings

def parked(*goroutines):
    "Until all of them wait for a descriptor."
    while any(each.state != "IO wait" for each in goroutines):
        time.sleep(0.0005)

def waiting(fn, *args):
    goroutine = go(fn, *args)
    parked(goroutine)
    return goroutine
"""


@PROCS
def test_arguments(ok, procs):
    """Those that are served in C and those that are not give the same."""
    ok(
        """
def body(i):
    a, b = socket.socketpair()
    a.sendall(b"0123456789")
    print(b.recv(2, socket.MSG_PEEK), b.recv(2), b.recv(bufsize := 1), told(b.recv, -1), told(b.recv), b.recv(0))
    buffer = bytearray(4)
    print(b.recv_into(buffer, 1), b.recv_into(buffer, nbytes=2), b.recv_into(memoryview(buffer)[3:], 0, 0), buffer)
    print(told(b.recv_into, buffer, 5), told(b.recv_into, buffer, -1), told(b.recv_into, b"x")[:9], b.recv_into(bytearray(0)))
    print(a.send(b"x"), a.send(memoryview(b"yz"), socket.MSG_NOSIGNAL), a.sendall(b""), a.send(b""), told(a.send, "x"), told(a.sendall, 1))
    a.sendall(memoryview(b"abcdef")[::1].cast("B"), socket.MSG_DONTWAIT)
    print("Error" in told(a.sendall, memoryview(b"abcdef")[::2]), b.recv(100), told(b.recv, 1, socket.MSG_DONTWAIT)[:15])
    a.close()
    print(b.recv(1), told(b.sendall, b"x"), told(a.send, b"x"), told(a.recv, 1))
    b.close()
all_of(body, 1)
print(socket.socket.recv.__doc__ == socket.socket.__mro__[1].recv.__doc__, told(socket.socket.recv, 1, 1)[:9])
""",
        procs,
        "b'01' b'01' b'2' ValueError: negative buffersize in recv TypeError: _recv() missing 1 required positional argument: 'bufsize' b''",
        "1 2 1 bytearray(b'45\\x006')",
        "ValueError: buffer too small for requested bytes ValueError: negative buffersize in recv_into TypeError 0",
        "1 2 None 0 TypeError: a bytes-like object is required, not 'str' TypeError: a bytes-like object is required, not 'int'",
        "True b'789xyzabcdef' BlockingIOError",
        "b'' BrokenPipeError: [Errno 32] Broken pipe OSError: [Errno 9] Bad file descriptor OSError: [Errno 9] Bad file descriptor",
        "True TypeError",
    )


@PROCS
def test_what_is_large(ok, procs):
    """Datagrams whole, streams of any size, and MSG_WAITALL."""
    ok(
        """
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
got = []
reader = waiting(lambda: got.append((len(a.recv(1 << 17)), a.recv_into(bytearray(1 << 17)), a.recv(5))))
b.send(bytes(60000))
b.sendall(bytes(70000))
b.send(b"cut short")
reader.join()
print(got)
[each.close() for each in (a, b)]

a, b = socket.socketpair()
sent = os.urandom(3_000_000)
writer, got = go(b.sendall, sent), bytearray()
while len(got) < len(sent):
    got += a.recv(1 + len(got) % 100_000)
writer.join()
print(got == sent)
def in_parts():
    for i in range(100):
        b.send(sent[1000 * i : 1000 * (i + 1)])
        gopy.runtime.gosched()
writer, buffer = go(in_parts), bytearray(40_000)
print(a.recv(50_000, socket.MSG_WAITALL) + buffer[:a.recv_into(buffer, 0, socket.MSG_WAITALL)] == sent[:90_000])
b.shutdown(socket.SHUT_WR) if writer.join() is None else 0
print(len(a.recv(50_000, socket.MSG_WAITALL)))
[each.close() for each in (a, b)]
""",
        procs,
        "[(60000, 70000, b'cut s')]",
        "True",
        "True",
        "10000",
    )


@PROCS
def test_who_has_read_all_waits_for_what_comes_next_whoever_else_reads(ok, procs):
    ok(
        """
with socket.create_server(("127.0.0.1", 0)) as listener:
    peer = socket.create_connection(listener.getsockname())
    conn, _ = listener.accept()
twin = conn.dup()

def next_of(data, read=lambda: conn.recv(100)):
    peer.sendall(data)
    return read()

reader = waiting(conn.recv, 1)
peer.sendall(b"!")
reader.join()
print(next_of(b"abc", lambda: conn.recv(100, socket.MSG_PEEK)), conn.recv(100))
print(next_of(b"def", lambda: twin.recv(2)), conn.recv(100), next_of(b"g", lambda: os.read(conn.fileno(), 9)), next_of(b"h"))
buffer = bytearray(8)
print(next_of(b"ij", lambda: buffer[: conn.recv_into(buffer)]), next_of(b"k", lambda: twin.recv(5)), next_of(b"l"))
conn.settimeout(0.01)
print(told(conn.recv, 9), told(conn.recv, 9))
conn.settimeout(25)
print(next_of(b"m"))
conn.setblocking(False)
print(told(conn.recv, 9)[:15])
conn.setblocking(True)
reader = waiting(lambda: print(conn.recv(9)))
peer.sendall(b"n")
reader.join()
peer.send(b"o", socket.MSG_OOB)
select.select([], [], [conn])
print(conn.recv(1, socket.MSG_OOB), next_of(b"p"), next_of(b"q"))
peer.close()
print(conn.recv(9), conn.recv(9))
[each.close() for each in (conn, twin)]
""",
        procs,
        "b'abc' b'abc'",
        "b'de' b'f' b'g' b'h'",
        "bytearray(b'ij') b'k' b'l'",
        "TimeoutError: timed out TimeoutError: timed out",
        "b'm'",
        "BlockingIOError",
        "b'n'",
        "b'o' b'p' b'q'",
        "b'' b''",
    )


@PROCS
def test_readers_take_turns_and_each_has_its_own_timeout(ok, procs):
    ok(
        """
a, b = socket.socketpair()
got = []
first = waiting(lambda: got.append(a.recv(1)))
a.settimeout(0.01)
print(told(a.recv, 1), told(a.recv_into, bytearray(1)))
a.settimeout(None)
second = waiting(lambda: got.append(a.recv(1)))
b.send(b"1")
first.join()
print(got)
b.send(b"2")
second.join()
print(got)
a.settimeout(25)
third = waiting(lambda: got.append(a.recv(1)))
a.setblocking(False)
print(told(a.recv, 1)[:15])
b.send(b"3")
third.join()
print(got)

a.settimeout(None)
messages = [bytes([i]) * 500_000 for i in range(4)]
writers = [go(a.sendall, message) for message in messages]
whole = bytearray()
while len(whole) < 2_000_000:
    whole += b.recv(1 << 20)
print(sorted(bytes(whole[i : i + 500_000]) for i in range(0, 2_000_000, 500_000)) == messages)
[each.close() for each in (a, b)]
""",
        procs,
        "TimeoutError: timed out TimeoutError: timed out",
        "[b'1']",
        "[b'1', b'2']",
        "BlockingIOError",
        "[b'1', b'2', b'3']",
        "True",
    )


@PROCS
@pytest.mark.parametrize("end", ["close", "detach"])
def test_an_end_wakes_all_who_wait(ok, procs, end):
    ok(
        f"""
a, b = socket.socketpair()
out = []
def ask(fn, *args):
    out.append(told(fn, *args))
goroutines = [waiting(ask, fn, arg) for fn, arg in ((a.recv, 1), (a.recv, 20000), (a.recv_into, bytearray(1)), (a.sendall, bytes(10_000_000)))]
left = a.{end}()
[each.join() for each in goroutines]
print(set(out), len(out), a.fileno())
left = os.close(left) if left else None
b.close()
""",
        procs,
        "{'OSError: [Errno 9] Bad file descriptor'} 4 -1",
    )


@PROCS
def test_one_descriptor_of_several(ok, procs):
    """Two objects of one number, a copy of it, and a connection of gopy.net that lends its own."""
    ok(
        """
from gopy import net
a, b = socket.socketpair()
other, copy, got = socket.socket(fileno=a.fileno()), a.dup(), []
for reads, sends in ((a, b), (other, b), (copy, b)) * 2:
    reader = waiting(lambda: got.append(reads.recv(1)))
    sends.send(b"x")
    reader.join()
reader = waiting(lambda: got.append(other.recv(1)))
writer = waiting(a.sendall, bytes(5_000_000))
b.send(b"y")
reader.join()
left = 5_000_000
while left:
    left -= len(b.recv(1 << 20))
writer.join()
print(got)
other.detach()
a_too = waiting(lambda: got.append(a.recv(1)))
b.send(b"z")
a_too.join()
a.close()
reader = waiting(lambda: got.append(copy.recv(1)))
b.send(b"!")
reader.join()
print(got[7:])
[each.close() for each in (copy, b)]

with net.listen("tcp", "127.0.0.1:0") as listener:
    client = socket.create_connection(("127.0.0.1", listener.addr.port))
    conn = listener.accept()
lent = socket.socket(fileno=conn.fileno())
got = []
for reads in (lent.recv, conn.read, lent.recv, conn.read):
    reader = waiting(lambda: got.append(reads(1)))
    client.send(b"x")
    reader.join()
lent.detach()
reader = waiting(lambda: got.append(conn.read(1)))
client.send(b"y")
reader.join()
print(got)
conn.close()
client.close()
""",
        procs,
        "[b'x', b'x', b'x', b'x', b'x', b'x', b'y']",
        "[b'z', b'!']",
        "[b'x', b'x', b'x', b'x', b'y']",
    )


@PROCS
@pytest.mark.parametrize("lose", ["del a", "a.close()", "os.close(a.fileno())", "os.close(a.detach())"])
def test_a_number_is_used_again(ok, procs, lose):
    """Whoever has it next waits in its own right, however the last one has lost it."""
    ok(
        f"""
listener = socket.create_server(("127.0.0.1", 0))
def accepted():
    right = socket.create_connection(listener.getsockname())
    return listener.accept()[0], right
def copied():
    left, right = socket.socketpair()
    with left:
        return left.dup(), right
kept = []
for make in (socket.socketpair, accepted, copied) * 3:
    a, b = make()
    got = []
    reader = waiting(lambda: got.append(a.recv(1)))
    b.send(b"x")
    reader.join()
    reader = None
    print(got)
    kept.append(b)
    if "fileno" in {lose!r}:
        kept.append(a)
    {lose}
    a = None
os._exit(0)
""",
        procs,
        *["[b'x']"] * 9,
        flags=("-W", "ignore::ResourceWarning"),
    )


@PROCS
def test_a_socket_that_is_let_go_is_told_of_where_that_is(ok, procs):
    ok(
        """
def body(i):
    a, b = socket.socketpair()
    a.sendall(b"x")
    b.recv(1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del a
    print([(str(each.message)[:24], each.filename == __file__) for each in caught])
    print(b.recv(1))
    b.close()
all_of(body, 1)
""",
        procs,
        "[('unclosed <socket.socket ', True)]",
        "b''",
    )


@PROCS
def test_a_fork_takes_along_what_waits(ok, procs):
    ok(
        """
a, b = socket.socketpair()
c, d = socket.socketpair()
got = []
reader = waiting(lambda: got.append(a.recv(10)))
def echo():
    while data := c.recv(10):
        c.sendall(data)
serving = waiting(echo)
def ask():
    d.sendall(b"parent")
    return d.recv(10)
print(ask())
parked(reader, serving)
pid = os.fork()
if pid == 0:
    other, mine = socket.socketpair()
    reader = waiting(lambda: got.append(mine.recv(10)))
    other.send(b"child")
    reader.join()
    reader = waiting(lambda: got.append(d.recv(10)))
    c.send(b"c")
    reader.join()
    print(got, flush=True)
    a.close()
    os._exit(0)
print(os.waitpid(pid, 0)[1])
b.send(b"still")
reader.join()
print(got, ask())
d.close()
serving.join()
[each.close() for each in (a, b, c)]
""",
        procs,
        "b'parent'",
        "[b'child', b'c']",
        "0",
        "[b'still'] b'parent'",
        flags=("-W", "ignore"),
    )


@PROCS
def test_files_over_a_socket(ok, procs):
    ok(
        """
a, b = socket.socketpair()
lines = []
def read():
    with a.makefile("r") as file:
        lines.extend(file)
reader = waiting(read)
with b.makefile("w") as file:
    for i in range(3):
        file.write(f"{i}\\n")
        file.flush()
a.settimeout(25)
b.shutdown(socket.SHUT_WR)
reader.join()
print(lines)
a.settimeout(0.01)
file = b.makefile("rb")
b.settimeout(0.01)
print(told(file.read, 1), told(file.read, 1))
file.close()
[each.close() for each in (a, b)]
""",
        procs,
        "['0\\n', '1\\n', '2\\n']",
        "TimeoutError: timed out OSError: cannot read from timed out object",
    )


def test_a_timeout_goes_with_its_socket(ok):
    """Also one of a class whose objects have no hash, and those that are never closed."""
    ok(
        """
from gopy.monkey import _sockets
class Equal(socket.socket):
    def __eq__(self, other):
        return True
for end in ("close", "detach", "fileno"):
    sock = Equal()
    sock.settimeout(1.5)
    print(sock.gettimeout(), len(_sockets._timeouts))
    getattr(sock, end)()
    sock = None
    print(len(_sockets._timeouts), socket.socket().gettimeout())
""",
        1,
        *["1.5 1", "0 None"] * 3,
        flags=("-W", "ignore::ResourceWarning"),
    )
