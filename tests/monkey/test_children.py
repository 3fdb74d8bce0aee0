"""gopy.monkey: select, os and subprocess."""

import pytest

PROCS = pytest.mark.parametrize("procs", [1, pytest.param(2, marks=pytest.mark.soak), 8])
IMPORTS = "import asyncio, os, select, selectors, socket, subprocess, sys, threading, time"


@PROCS
def test_select_poll_and_epoll(ok, procs):
    ok(
        """
pairs = [socket.socketpair() for _ in range(3)]
fds = [a.fileno() for a, _ in pairs]
out = []
def by_select():
    return select.select(fds, [], [])[0]
def by_poll():
    poll = select.poll()
    [poll.register(fd, select.POLLIN) for fd in fds]
    return [fd for fd, _ in poll.poll()]
def by_epoll():
    with select.epoll() as epoll:
        [epoll.register(fd, select.EPOLLIN) for fd in fds]
        return [fd for fd, _ in epoll.poll()]
def by_selector(cls):
    with cls() as selector:
        [selector.register(fd, selectors.EVENT_READ) for fd in fds]
        return [key.fd for key, _ in selector.select()]
ways = [by_select, by_poll, by_epoll]
ways += [lambda cls=cls: by_selector(cls) for cls in (selectors.SelectSelector, selectors.PollSelector, selectors.EpollSelector)]
def wait(i):
    out.append(ways[i]() == [fds[1]])
waiters = [go(wait, i) for i in range(len(ways))]
time.sleep(0.01)
out.append(len(out) == 0)
pairs[1][1].send(b"x")
[waiter.join() for waiter in waiters]
print(out, selectors.DefaultSelector is selectors.EpollSelector)
def look(i):
    pairs[1][0].recv(1)
    print(select.select(fds, [], [], 0.005), select.select([], fds, [], 0.005)[1] == fds, select.select([], [], [], 0.001))
    poll = select.poll()
    poll.register(fds[0])
    poll.modify(fds[0], select.POLLIN)
    print(poll.poll(5), poll.poll(0), told(poll.unregister, 999), told(select.select, fds, [], [], -1))
    with select.epoll() as epoll:
        epoll.register(fds[0], select.EPOLLIN)
        print(epoll.poll(0.005), epoll.poll(0), epoll.closed, told(select.select, [-1], [], [], 1))
all_of(look, 1)
[each.close() for pair in pairs for each in pair]
""",
        procs,
        "[True, True, True, True, True, True, True] True",
        "([], [], []) True ([], [], [])",
        "[] [] KeyError: 999 ValueError: timeout must be non-negative",
        "[] [] False ValueError: file descriptor cannot be a negative integer (-1)",
    )


@PROCS
def test_asyncio_in_many_goroutines(ok, procs):
    ok(
        """
async def main(i):
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.005)
    assert asyncio.get_running_loop() is loop
    a, b = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=a)
    await loop.sock_sendall(b, b"%d\\n" % i) if b.setblocking(False) is None else None
    line = await reader.readline()
    writer.close()
    b.close()
    value = await loop.run_in_executor(None, lambda: (time.sleep(0.002), i)[1])
    return int(line) == value == i
right = []
all_of(lambda i: right.append(asyncio.run(main(i))), 20)
thread = threading.Thread(target=lambda: right.append(asyncio.run(main(99))))
thread.start()
thread.join()
print(len(right), all(right), told(asyncio.get_running_loop))
""",
        procs,
        "21 True RuntimeError: no running event loop",
        flags=("-W", "ignore::ResourceWarning"),
    )


@PROCS
def test_reading_and_writing_descriptors(ok, procs):
    ok(
        """
r, w = os.pipe()
got = []
def read(i):
    total = 0
    while total < 300000:
        total += len(os.read(r, 1 << 16))
    got.append(total)
reader = go(read, 0)
time.sleep(0.002)
def write():
    left = memoryview(bytes(200000))
    while left:
        left = left[os.write(w, left):]
    left = memoryview(bytes(100000))
    while left:
        left = left[os.writev(w, [left[:1000], left[1000:2000]]):]
go(write)
reader.join()
os.write(w, b"ab")
both = [bytearray(1), bytearray(1)]
print(got, os.readv(r, both), both, told(os.read, 999, 1), told(os.write, 999, b""))
print(told(os.write, r, b"x"), told(os.read, w, 1))
print({told(os.read, -1, 1), told(os.readv, -1, both), told(os.write, -1, b"x")})
""",
        procs,
        "[300000] 2 [bytearray(b'a'), bytearray(b'b')] OSError: [Errno 9] Bad file descriptor OSError: [Errno 9] Bad file descriptor",
        "OSError: [Errno 9] Bad file descriptor OSError: [Errno 9] Bad file descriptor",
        "{'OSError: [Errno 9] Bad file descriptor'}",
    )


@PROCS
def test_who_shares_a_pipe_may_be_quicker(ok, procs):
    """What was there, or what was free, when the wait ended is another process's: the thread must not block, as a
    goroutine that can mend it has begun there.
    """
    ok(
        """
from gopy.monkey import _descriptors
read, write, wait, stolen = monkey.original("os", "read"), monkey.original("os", "write"), _descriptors.wait, []
def quicker(fd, mode, timeout=None):
    if mode not in stolen:
        go(given)  # which has nothing to give before somebody waits for it
    wait(fd, mode, timeout)
    if mode not in stolen:
        stolen.append(mode)
        write(fd, bytes(4096)) if mode else read(fd, 1)
        wake.send(None)
_descriptors.wait = quicker
r, w = os.pipe()
wake, begun = Chan(1), Chan(1)
def helper(mend):
    begun.send(None)
    wake.recv()
    mend()
def case(mend, give, call):
    global given
    given = give
    go(helper, mend)
    begun.recv()
    print(call())
case(lambda: write(w, b"y"), lambda: write(w, b"x"), lambda: os.read(r, 1))
size = 0
os.set_blocking(w, False)
try:
    while True:
        size += write(w, bytes(4096))
except BlockingIOError:
    os.set_blocking(w, True)
case(lambda: read(r, 1 << 20), lambda: read(r, 4096), lambda: os.write(w, b"z" * 4096))
print(sorted(stolen), read(r, 5))
""",
        procs,
        "b'y'",
        "4096",
        "[0, 1] b'zzzzz'",
    )


@PROCS
def test_children_that_are_none(ok, procs):
    """A process that is no child of this one's may run on; and a child may end where the system does not tell of it."""
    ok(
        """
print(told(os.waitpid, os.getppid(), 0))
def unable(pid, flags=0):
    raise OSError(24, "Too many open files")
os.pidfd_open = unable
other = go(lambda: [time.sleep(0.001) for _ in range(5)])
with subprocess.Popen(["sleep", "60"]) as sleeper:
    print(told(sleeper.wait, 0.02)[:25])
    sleeper.kill()
    print(sleeper.wait())
r, w = os.pipe()
pid = os.posix_spawn("/bin/sh", ["sh", "-c", "read x; exit 4"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, r, 0), (os.POSIX_SPAWN_CLOSE, w)])
begun = Chan(1)
def later():
    begun.send(None)
    time.sleep(0.001)
    os.write(w, b"x\\n")
go(later)
begun.recv()
print(os.waitpid(pid, 0)[1] >> 8)
""",
        procs,
        "ChildProcessError: [Errno 10] No child processes",
        "TimeoutExpired: Command '",
        "-9",
        "4",
    )


@PROCS
def test_what_select_takes(ok, procs):
    """An iterator can be looked at once only."""
    ok(
        """
a, b = socket.socketpair()
go(lambda: (time.sleep(0.002), b.send(b"x")))
print(select.select(iter([a]), filter(None, []), [])[0] == [a], told(select.select, 1, [], []))
a.close(), b.close()
""",
        procs,
        "True TypeError: arguments 1-3 must be sequences",
    )


@PROCS
@pytest.mark.parametrize("kind", ["goroutines", "main"])
def test_subprocess(ok, procs, kind):
    ok(
        f"""
def body(i):
    done = subprocess.run(["sh", "-c", "read x; echo got $x; echo err >&2; exit 3"], input="5\\n", capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "got 5\\n", "err\\n")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        go(lambda: (cat.stdin.write(bytes(300000)), cat.stdin.close()))
        assert {kind!r} == "main" or len(cat.stdout.read()) == 300000
        if {kind!r} == "main":
            assert len(cat.stdout.read()) == 300000
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            sleeper.wait(0.01)
        except subprocess.TimeoutExpired as exc:
            assert exc.cmd == ["sleep", "60"]
        assert sleeper.poll() is None
        sleeper.kill()
        assert sleeper.wait() == -9
    unbuffered = subprocess.Popen(["echo", "x"], stdout=subprocess.PIPE, bufsize=0)
    assert unbuffered.stdout.readline() == b"x\\n" and unbuffered.stdout.read() == b"" and unbuffered.wait() == 0
    unbuffered.stdout.close()
    assert subprocess.getoutput("echo y") == "y"
    assert os.system("exit 2") >> 8 == 2
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 4"], {{}})
    assert os.waitpid(pid, 0) == (pid, 4 << 8)
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 4"], {{}})
    assert os.wait4(pid, 0)[:2] == (pid, 4 << 8)
    count.append(i)
count = []
if {kind!r} == "main":
    body(0)
else:
    all_of(body, 4)
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 4"], {{}})
    all_of(lambda i: print(os.wait() == (pid, 4 << 8)), 1)
print(len(count))
""",
        procs,
        *(["1"] if kind == "main" else ["True", "4"]),
    )


@PROCS
def test_children_run_side_by_side(ok, procs):
    """Each waits for the one before, over a pipe that a goroutine of the same thread writes to."""
    ok(
        """
links = [os.pipe() for _ in range(5)]
order = []
def run(i):
    child = subprocess.Popen(["head", "-c", "1"], stdin=links[i][0], stdout=subprocess.DEVNULL)
    child.wait()
    order.append(i)
    if i:
        os.write(links[i - 1][1], b"x")
waiters = [go(run, i) for i in range(5)]
os.write(links[4][1], b"x")
[waiter.join() for waiter in waiters]
print(order)
""",
        procs,
        "[4, 3, 2, 1, 0]",
    )


@PROCS
@pytest.mark.parametrize(
    "method", ["fork", *(pytest.param(name, marks=pytest.mark.soak) for name in ("spawn", "forkserver"))]
)
def test_multiprocessing(ok, procs, method):
    ok(
        f"""
import multiprocessing, warnings
warnings.simplefilter("ignore")
def double(queue, x):
    queue.put(x * 2)
def body(context):
    queue = context.Queue()
    process = context.Process(target=double, args=(queue, 21))
    process.start()
    print(queue.get(timeout=20))
    process.join()
    queue.close()
    queue.join_thread()
    if {method!r} != "fork":
        with context.Pool(2) as pool:
            print(pool.map(abs, [-1, -2]))
if __name__ == "__main__":
    all_of(lambda i: body(multiprocessing.get_context({method!r})), 1)
""",
        procs,
        *(["42"] if method == "fork" else ["42", "[1, 2]"]),
        flags=("-W", "ignore"),
    )


def test_a_pickled_reference_to_a_lock_s_class_is_found_where_nothing_is_patched(ok):
    """As the registry of multiprocessing's managers, sent to a process that spawn has started."""
    ok(
        """
import pickle
data = pickle.dumps(threading.Lock)
print(pickle.loads(data) is threading.Lock)
code = f"import pickle; pickle.loads({data!r})().acquire()"
print(subprocess.run([sys.executable, "-c", code]).returncode, repr(threading.Lock())[:29])
""",
        2,
        "True",
        "0 <unlocked _thread.lock object",
    )
