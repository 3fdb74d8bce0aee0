"""wait_read, wait_write and the poller: who wakes whom, from where, and at what cost."""

import asyncio
import os
import resource
import socket
import threading
import time

import pytest

import gopy.time
from gopy import Chan, go, runtime
from gopy.runtime import await_read, await_write, wait_read, wait_write

PIPE_SIZE = 1 << 20


@pytest.fixture
def pipe():
    fds = os.pipe()
    yield fds
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            pass


@pytest.fixture
def pair():
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def fill(fd):
    os.set_blocking(fd, False)
    try:
        while True:
            os.write(fd, bytes(65536))
    except BlockingIOError:
        pass


def parked_in_io(goroutine):
    return goroutine.state == "IO wait"


@pytest.mark.parametrize("as_object", [False, True])
def test_wait_read_parks_until_there_is_something(pair, until, as_object):
    a, b = pair
    got = Chan()

    def reader():
        wait_read(a if as_object else a.fileno())
        got.send(a.recv(10))

    g = go(reader)
    until(lambda: parked_in_io(g))
    b.send(b"hello")
    assert got.recv() == b"hello"
    g.join()


def test_wait_write_parks_until_there_is_room(pipe, until):
    r, w = pipe
    fill(w)
    g = go(wait_write, w)
    until(lambda: parked_in_io(g))
    os.read(r, PIPE_SIZE)
    g.join(timeout=10)


def test_what_is_ready_does_not_wait(pipe):
    r, w = pipe
    os.write(w, b"x")
    switches = runtime.stats()["switches"]
    for _ in range(100):
        wait_read(r)
        wait_write(w)
        wait_read(r, timeout=0)
        wait_read(r, 0)
    if runtime.GOMAXPROCS() == 1:  # a few, if sysmon has looked in the midst of it
        assert runtime.stats()["switches"] < switches + 100


def test_the_end_of_a_stream_is_readable(pipe, until):
    r, w = pipe
    g = go(wait_read, r)
    until(lambda: parked_in_io(g))
    os.close(w)
    g.join(timeout=10)
    assert os.read(r, 1) == b""


def test_a_broken_pipe_is_writable(pipe, until):
    r, w = pipe
    fill(w)
    g = go(wait_write, w)
    until(lambda: parked_in_io(g))
    os.close(r)
    g.join(timeout=10)


def test_regular_files_are_always_ready(tmp_path, in_goroutine):
    with open(tmp_path / "file", "wb+") as file:
        for wait in (wait_read, wait_write):
            wait(file)
            in_goroutine(wait, file)
            assert in_goroutine(wait, file, 0) is None


@pytest.mark.parametrize("timeout", [0, -1, 0.0, 0.01])
def test_a_timeout(pipe, in_goroutine, timeout):
    r, w = pipe
    for run in (lambda f, *a: f(*a), in_goroutine):
        before = time.monotonic()
        exc = None
        try:
            exc = run(wait_read, r, timeout)
        except TimeoutError as e:
            exc = e
        assert isinstance(exc, TimeoutError)
        assert time.monotonic() - before >= timeout
    os.write(w, b"x")
    wait_read(r, timeout=timeout)


def test_a_timeout_leaves_nothing_behind(pipe):
    r, w = pipe
    timers = runtime.stats()["timers"]
    for _ in range(50):
        with pytest.raises(TimeoutError):
            wait_read(r, timeout=0.0001)
    assert runtime.stats()["timers"] <= timers
    os.write(w, b"x")
    wait_read(r, timeout=5)
    assert os.read(r, 1) == b"x"


@pytest.mark.parametrize("wait", [wait_read, wait_write])
@pytest.mark.parametrize("fd", [None, "0", 1.5, b"", object()])
def test_a_bad_descriptor(wait, fd):
    with pytest.raises(TypeError, match="`fd` must be an int or an object with fileno"):
        wait(fd)


@pytest.mark.parametrize("wait", [wait_read, wait_write])
def test_a_descriptor_that_is_not_open(wait, pipe):
    r, _ = pipe
    os.close(r)
    with pytest.raises(OSError) as caught:
        wait(r)
    assert caught.value.errno == 9
    with pytest.raises(ValueError):
        wait(-1)


def test_bad_arguments(pipe):
    r, _ = pipe
    with pytest.raises(TypeError, match="timeout"):
        wait_read(r, timeout="1")
    with pytest.raises(ValueError, match="nan"):
        wait_read(r, timeout=float("nan"))
    for args, kwargs in [((), {}), ((r, 1, 1), {}), ((r,), {"deadline": 1})]:
        with pytest.raises(TypeError):
            wait_read(*args, **kwargs)


def test_both_directions_of_one_socket_at_once(pair, until):
    a, b = pair
    a.setblocking(False)
    try:
        while True:
            a.send(bytes(65536))
    except BlockingIOError:
        pass
    order = Chan(2)

    def waits(wait, name):
        wait(a)
        order.send(name)

    reader, writer = go(waits, wait_read, "read"), go(waits, wait_write, "write")
    until(lambda: parked_in_io(reader) and parked_in_io(writer))
    b.send(b"x")
    assert order.recv() == "read"
    assert parked_in_io(writer)
    b.setblocking(False)
    while order.cap and len(order) == 0:
        try:
            b.recv(1 << 20)
        except BlockingIOError:
            gopy.time.sleep(0.001)
    assert order.recv() == "write"
    reader.join()
    writer.join()


def test_all_who_wait_for_one_descriptor_are_woken(pipe, until):
    r, w = pipe
    waiting = [go(wait_read, r) for _ in range(10)]
    until(lambda: all(map(parked_in_io, waiting)))
    os.write(w, b"x")
    for g in waiting:
        g.join(timeout=10)


def test_a_number_that_is_used_again(pipe, until):
    """The wait for the new one is not mistaken for one that is registered already."""
    r, _ = pipe
    with pytest.raises(TimeoutError):
        wait_read(r, timeout=0.001)
    other_r, other_w = os.pipe()
    os.dup2(other_r, r)
    g = go(wait_read, r)
    until(lambda: parked_in_io(g))
    os.write(other_w, b"x")
    g.join(timeout=10)
    os.close(other_r)
    os.close(other_w)


def test_plain_threads_wait_too(pair, until):
    a, b = pair
    got, timed_out = [], []

    def thread():
        with pytest.raises(TimeoutError):
            wait_read(a, timeout=0.01)
        timed_out.append(True)
        wait_read(a)
        got.append(a.recv(10))

    t = threading.Thread(target=thread)
    t.start()
    until(lambda: timed_out)
    gopy.time.sleep(0.03)
    b.send(b"x")
    t.join(10)
    assert got == [b"x"]


@pytest.mark.quiet
def test_plain_threads_alone(run_program, machine_delay):
    """Without a goroutine, and with a main thread that never schedules."""
    result = run_program(
        """
        import os, threading, time
        from gopy import runtime
        r, w = os.pipe()
        times = []
        def thread():
            for _ in range(20):
                runtime.wait_read(r)
                times.append(time.monotonic() - float(os.read(r, 100)))
        t = threading.Thread(target=thread)
        t.start()
        for i in range(20):
            time.sleep(0.005)
            os.write(w, str(time.monotonic()).encode())
            while len(times) == i:  # else two would be read as one
                time.sleep(0.001)
        t.join()
        print(sorted(times)[10])
        """
    )
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 0.05 + machine_delay()


def test_a_million_waits_are_not_a_deadlock(run_program):
    """The main goroutine waits for a descriptor that a child process writes to, later."""
    result = run_program(
        """
        import os, time
        from gopy import go, runtime
        r, w = os.pipe()
        if os.fork() == 0:
            time.sleep(0.3)
            os.write(w, b"x")
            os._exit(0)
        os.close(w)
        go(runtime.wait_read, r).join()
        runtime.wait_read(r)
        print(os.read(r, 1), os.wait()[1])
        """
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "b'x' 0\n"


@pytest.mark.parametrize("name", ["epoll", "poll"])
def test_the_netpoller_can_be_chosen(run_program, name):
    done = run_program(
        """
        import os
        from gopy import go, net, runtime, time
        ln = net.listen("tcp", "127.0.0.1:0")
        go(ln.serve, lambda conn: conn.write(conn.read().upper()))
        for _ in range(3):
            with net.dial("tcp", str(ln.addr)) as conn:
                go(lambda: (time.sleep(0.05), conn.write(b"hello")))
                assert conn.read_full(5) == b"HELLO"
        while runtime.num_goroutine() > 2:  # a handler closes its descriptor yet
            time.sleep(0.001)
        print(any("eventpoll" in os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
            if os.path.islink(f"/proc/self/fd/{fd}")))
        """,
        env={"GOPY_NETPOLLER": name},
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"{name == 'epoll'}\n")


def test_an_unknown_netpoller_is_refused(run_program):
    done = run_program("import gopy", env={"GOPY_NETPOLLER": "kqueue"})
    assert done.returncode == 1
    assert done.stderr.endswith(
        "ValueError: the environment variable GOPY_NETPOLLER must be epoll (on Linux) or poll, got 'kqueue'\n"
    )


def test_waiting_costs_no_cpu(run_program):
    """The best of a few tries, as what has just started may still have to come to rest; a busy wait never passes."""
    result = run_program(
        """
        import os, resource, time
        from gopy import go, runtime
        pipes = [os.pipe() for _ in range(100)]
        for r, w in pipes:
            go(runtime.wait_read, r)
        def used():
            u = resource.getrusage(resource.RUSAGE_SELF)
            return u.ru_utime + u.ru_stime
        import gopy.time
        while runtime.stats()["parked"] < 100:
            gopy.time.sleep(0.01)
        spent = []
        for _ in range(4):
            before = used()
            gopy.time.sleep(0.3)
            spent.append(used() - before)
        print(runtime.stats()["netpoll"], runtime.stats()["parked"])
        assert min(spent) < 0.02 * 0.3, spent
        """
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "100 100\n"


def test_ctrl_c_ends_the_wait_of_the_main_goroutine(start_program):
    program = start_program(
        """
        import os, threading, time
        from gopy import runtime
        r, w = os.pipe()
        main = runtime.current()
        def tell():
            while main.state != "IO wait":
                time.sleep(0.001)
            os.write(1, b"ready\\n")
        threading.Thread(target=tell).start()
        try:
            runtime.wait_read(r)
        except KeyboardInterrupt:
            print("interrupted")
        os.write(w, b"x")
        runtime.wait_read(r)
        print(os.read(r, 1))
        """
    )
    import signal

    program.wait_for(lambda: "ready\n" in program.stdout)
    os.kill(program.pid, signal.SIGINT)
    result = program.finish()
    assert result.stdout == "ready\ninterrupted\nb'x'\n", result.stderr


def test_io_reaches_goroutines_while_others_yield(gomaxprocs, pair):
    """A P that always has something to run polls now and then."""
    gomaxprocs(1)
    a, b = pair
    done = []

    def spins():
        while not done:
            runtime.gosched()

    def reader():
        wait_read(a)
        done.append(a.recv(1))

    g, s = go(reader), go(spins)
    for _ in range(10):
        runtime.gosched()
    b.send(b"x")
    g.join(timeout=10)
    s.join()
    assert done == [b"x"]


def test_io_is_readied_while_a_goroutine_computes(run_program):
    """By sysmon. That it is ready is all that can be seen while another has the only P."""
    result = run_program(
        """
        import os
        from gopy import go, runtime
        import gopy.time
        runtime.GOMAXPROCS(1)
        r, w = os.pipe()
        g = go(runtime.wait_read, r)
        while g.state != "IO wait":
            gopy.time.sleep(0.001)
        os.write(w, b"x")
        while g.state == "IO wait":
            sum(range(1000))
        """
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.quiet
def test_io_goes_on_while_the_main_goroutine_is_stuck_in_c(run_program, machine_delay):
    result = run_program(
        """
        import os, threading, time
        from gopy import Chan, go, runtime
        runtime.GOMAXPROCS(2)
        r, w = os.pipe()
        times = []
        def reads():
            runtime.lock_os_thread()  # not the main goroutine's thread
            for _ in range(10):
                runtime.wait_read(r)
                times.append(time.monotonic() - float(os.read(r, 100)))
        go(reads)
        time.sleep(0.2)               # blocks the main goroutine's thread: another takes over
        def writes():
            for i in range(10):
                time.sleep(0.02)
                os.write(w, str(time.monotonic()).encode())
                while len(times) == i:  # else two would be read as one
                    time.sleep(0.001)
        t = threading.Thread(target=writes)
        t.start()
        t.join()
        print(sorted(times)[5])
        """
    )
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 0.05 + machine_delay()


@pytest.mark.quiet
@pytest.mark.skipif(os.environ.get("GOPY_NETPOLLER") == "poll", reason="poll(2) counts milliseconds")
def test_sleeps_stay_precise_while_descriptors_are_waited_for(pipe, until, machine_delay):
    r, w = pipe
    g = go(wait_read, r)
    until(lambda: parked_in_io(g))

    def once(seconds):
        before = time.monotonic()
        gopy.time.sleep(seconds)
        return time.monotonic() - before

    for seconds in (0.0002, 0.001, 0.0105):
        took = [once(seconds) for _ in range(50)]
        assert min(took) >= seconds
        assert min(took) < seconds + 0.0008 + machine_delay()
    os.write(w, b"x")
    g.join()


def test_no_poller_until_one_is_needed(run_program):
    result = run_program(
        """
        import os
        from gopy import Chan, go, runtime
        import gopy.time
        before = len(os.listdir("/proc/self/fd"))
        ch = Chan()
        go(ch.send, 1)
        ch.recv()
        gopy.time.sleep(0.01)
        assert len(os.listdir("/proc/self/fd")) == before
        assert runtime.stats()["netpoll"] == 0
        r, w = os.pipe()
        os.write(w, b"x")
        runtime.wait_read(r)
        assert len(os.listdir("/proc/self/fd")) == before + 2
        """
    )
    assert result.returncode == 0, result.stderr


def test_the_child_of_a_fork_polls_for_itself(run_program):
    """What the parent waits for does not wake the child, nor the other way round."""
    result = run_program(
        """
        import os
        from gopy import Chan, go, runtime
        import gopy.time
        r, w = os.pipe()
        r2, w2 = os.pipe()
        g = go(runtime.wait_read, r)
        while g.state != "IO wait":
            gopy.time.sleep(0.001)
        pid = os.fork()
        if pid == 0:
            assert runtime.stats()["netpoll"] == 0
            h = go(runtime.wait_read, r2)
            while h.state != "IO wait" or runtime.stats()["netpoll"] == 0:
                gopy.time.sleep(0.001)
            assert runtime.stats()["netpoll"] == 1
            os.write(w2, b"x")
            h.join()
            os.write(w, b"y")
            os._exit(7)
        g.join()
        assert runtime.stats()["netpoll"] == 1
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        print(os.read(r, 1), os.read(r2, 1))
        """,
        flags=["-W", "ignore::DeprecationWarning"],  # of a fork in a process with threads
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "b'y' b'x'\n"


def test_await_in_a_stackless_goroutine(pair, until):
    a, b = pair
    got = Chan(2)

    async def reader():
        await await_read(a)
        got.send(a.recv(10))
        await await_write(a)
        got.send("writable")

    g = go(reader)
    until(lambda: parked_in_io(g))
    b.send(b"x")
    assert got.recv() == b"x"
    assert got.recv() == "writable"
    g.join()

    def generator():
        yield await_read(a)
        got.send(a.recv(10))

    g = go(generator)
    until(lambda: parked_in_io(g))
    b.send(b"y")
    assert got.recv() == b"y"
    g.join()


def test_await_in_asyncio(pair):
    a, b = pair

    async def main():
        task = asyncio.ensure_future(_read())
        await asyncio.sleep(0.01)
        b.send(b"x")
        assert await task == b"x"
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_read(), 0.02)
        b.send(b"y")
        assert await _read() == b"y"

    async def _read():
        await await_read(a)
        return a.recv(10)

    asyncio.run(main())


def test_await_errors(pipe):
    r, _ = pipe
    with pytest.raises(TypeError, match="`fd` must be"):
        await_read("x")

    async def fails():
        os.close(r)
        await await_read(r)

    with pytest.raises(OSError):
        asyncio.run(fails())


def test_many_descriptors(until, gomaxprocs):
    """Each of a thousand goroutines is woken for its own, and all descriptors are given back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    before = len(os.listdir("/proc/self/fd"))
    pipes = [os.pipe() for _ in range(1000)]
    got = Chan(1000)

    def reader(i, r):
        wait_read(r)
        got.send((i, os.read(r, 10)))

    goroutines = [go(reader, i, r) for i, (r, _) in enumerate(pipes)]
    until(lambda: all(map(parked_in_io, goroutines)))
    for i, (_, w) in enumerate(pipes):
        os.write(w, str(i).encode())
    assert sorted(got.recv() for _ in pipes) == [(i, str(i).encode()) for i in range(1000)]
    for g in goroutines:
        g.join()
    for fds in pipes:
        for fd in fds:
            os.close(fd)
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # the poller's
