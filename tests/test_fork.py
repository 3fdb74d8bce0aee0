"""fork from everywhere, multiprocessing, subprocess: the child has a fresh runtime that works in full."""

import os
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

# Python 3.12 and up warn of any fork in a process with threads.
FLAGS = ["-W", "ignore::DeprecationWarning"]

# What a child must be able to do, whoever forked it. Its report goes through a pipe, its status to waitpid.
CHILD = """
import os, sys, threading
import time as pytime
from gopy import Chan, Deadlock, go, runtime, time

def works():
    assert runtime.num_goroutine() == 1, runtime.goroutines()
    assert runtime.current().id == 1, runtime.current()
    assert [g.id for g in runtime.goroutines()] == [1]
    assert threading.current_thread() is threading.main_thread()
    jobs, results = Chan(), Chan(3)
    def work():
        for job in jobs:
            time.sleep(0.001)
            results.send(job * job)
    workers = [go(work) for _ in range(4)]
    assert min(g.id for g in workers) > 1
    total = 0
    for i in range(20):
        jobs.send(i)
        if len(results) == 3:
            total += results.recv()
    def close():
        jobs.close()
        for worker in workers:
            worker.join()
        results.close()
    go(close)
    total += sum(results)
    assert total == sum(i * i for i in range(20)), total
    try:
        Chan().recv(timeout=0.01)
    except TimeoutError:
        pass
    stuck = Chan()
    go(lambda: (pytime.sleep(0.05), stuck.send(1)))
    assert stuck.recv() == 1
    try:
        Chan().recv()
    except Deadlock:
        pass
    from_thread = Chan()
    threading.Thread(target=from_thread.send, args=("thread",)).start()
    assert from_thread.recv() == "thread"

def fork_and_check(status=23, leave=sys.exit):
    pid = os.fork()
    if pid == 0:
        works()
        leave(status)  # sys.exit: the way of every program, through atexit and finalization
    wait(pid, status)

def wait(pid, status):
    _, result = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(result)
    assert code == status, code

def parked(n, ch=None):
    ch = ch or Chan()
    goroutines = [go(ch.recv) for _ in range(n)]
    while any(g.state != "chan receive" for g in goroutines):
        runtime.gosched()
    return ch, goroutines
"""

PROGRAMS = {
    "main": """
        fork_and_check()
        """,
    "main_with_parked": """
        ch, goroutines = parked(100)
        sleeper = go(time.sleep, 0.2)
        fork_and_check()
        fork_and_check(0)
        for i in range(100):
            ch.send(i)
        for g in goroutines + [sleeper]:
            g.join()
        """,
    "goroutine": """
        ch, goroutines = parked(100)
        go(fork_and_check).join()
        for i in range(100):
            ch.send(i)
        for g in goroutines:
            g.join()
        """,
    "another_m": """
        ch, goroutines = parked(10)
        started, over = [], []
        def elsewhere():
            started.append(threading.get_ident())
            fork_and_check()
            over.append(1)
        forker = go(elsewhere)
        while not started:
            pytime.sleep(0.001)  # blocks this thread, so that it starts on another
        assert started[0] != threading.get_ident()
        forker.join()
        assert over
        for i in range(10):
            ch.send(i)
        """,
    "plain_thread": """
        ch, goroutines = parked(10)
        failed = []
        def run():
            try:
                fork_and_check(leave=os._exit)  # sys.exit would only end the thread, as in any program
            except BaseException as exc:
                failed.append(exc)
                raise
        thread = threading.Thread(target=run)
        thread.start()
        while thread.is_alive():
            time.sleep(0.001)
        assert not failed
        for i in range(10):
            ch.send(i)
        """,
    "twice": """
        parked(3)
        pid = os.fork()
        if pid == 0:
            parked(3)
            fork_and_check()
            sys.exit(5)
        wait(pid, 5)
        """,
    "waiters_of_the_parent_are_gone": """
        # In the child nobody receives from ch any more: its receivers live on in the parent alone.
        ch, goroutines = parked(3)
        sending = Chan()
        sender = go(sending.send, "parent")
        while sender.state != "chan send":
            runtime.gosched()
        pid = os.fork()
        if pid == 0:
            for wait_for in (lambda: ch.send(1, timeout=0.05), lambda: sending.recv(timeout=0.05)):
                try:
                    wait_for()
                except TimeoutError:
                    continue
                os._exit(1)
            go(ch.send, "child")
            assert ch.recv() == "child"
            ch.close()
            sys.exit(6)
        wait(pid, 6)
        assert sending.recv() == "parent"
        for i in range(3):
            ch.send(i)
        """,
    "buffered_values_are_copied": """
        ch = Chan(4)
        ch.send([1])
        ch.send([2])
        pid = os.fork()
        if pid == 0:
            assert [ch.recv(), ch.recv()] == [[1], [2]]
            sys.exit(7)
        wait(pid, 7)
        assert [ch.recv(), ch.recv()] == [[1], [2]]
        """,
    "while_others_are_busy": """
        # Free-threaded: other Ms are in the middle of anything when the fork comes.
        stop = []
        def ping(a, b):
            while not stop:
                try:
                    a.send(b.recv(timeout=0.2), timeout=0.2)
                except TimeoutError:
                    return
        for _ in range(4):
            a, b = Chan(), Chan()
            go(ping, a, b)
            go(ping, b, a)
            go(b.send, 1)
        for i in range(15):
            pid = os.fork()
            if pid == 0:
                ch = Chan()
                go(ch.send, i)
                assert ch.recv() == i
                sys.exit(i)
            wait(pid, i)
            time.sleep(0.001)
        stop.append(1)
        """,
    "panic_in_child": """
        parked(3)
        pid = os.fork()
        if pid == 0:
            os.close(2)  # its traceback is of no interest here
            os.open(os.devnull, os.O_WRONLY)
            go(lambda: 1 / 0)
            Chan().recv()
        wait(pid, 1)
        """,
    "multiprocessing": """
        import multiprocessing
        def job(n):
            works()
            return n * n
        def run():
            with multiprocessing.get_context("fork").Pool(2) as pool:
                results.send(pool.map(job, range(4)))
                pool.close()
                pool.join()
        parked(10)
        results = Chan(1)
        runner = go(run)
        assert results.recv() == [0, 1, 4, 9]
        runner.join()
        process = multiprocessing.get_context("fork").Process(target=works)
        process.start()
        process.join()
        assert process.exitcode == 0, process.exitcode
        """,
    "subprocess": """
        import subprocess
        ch, goroutines = parked(10)
        outputs = Chan()
        def run(i):
            command = [sys.executable, "-c", f"print({i})"]
            outputs.send(int(subprocess.run(command, capture_output=True, check=True).stdout))
        def run_with_fork(i):
            command = [sys.executable, "-c", f"print({i})"]
            done = subprocess.run(command, capture_output=True, check=True, preexec_fn=lambda: None)
            outputs.send(int(done.stdout))
        for i in range(2):
            go(run, i)
        go(run_with_fork, 2)
        assert sorted(outputs.recv() for _ in range(3)) == [0, 1, 2]
        """,
    "unix_sockets": """
        from gopy import net
        sockets = [net.listen("unix", "stream"), net.listen_packet("unixgram", "packets")]
        def leave(status):
            for each in sockets:
                each.close()
            os._exit(status)
        fork_and_check(leave=leave)
        assert os.path.exists("stream") and os.path.exists("packets"), os.listdir()
        net.dial("unix", "stream").close()
        for each in sockets:
            each.close()
        assert not os.path.exists("stream") and not os.path.exists("packets"), os.listdir()
        """,
}


@pytest.mark.slow
@pytest.mark.parametrize("gomaxprocs", [1, 4])
@pytest.mark.parametrize("name", PROGRAMS)
def test_fork(name, gomaxprocs, run_program):
    """After a fork from anywhere gopy works in full in the child, and goes on in the parent."""
    lines = PROGRAMS[name].split("\n")
    body = "\n".join(line.removeprefix("        ") for line in lines)
    done = run_program(CHILD + body, env={"GOMAXPROCS": str(gomaxprocs)}, flags=FLAGS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


THREADS = """
    import os
    tasks = lambda: len(os.listdir("/proc/self/task"))
    assert tasks() == 1
    import gopy
    assert tasks() == 1, "import starts threads"
    ch = gopy.Chan(1)
    ch.send(1)
    ch.recv()
    gopy.select(gopy.recv(ch), gopy.default)
    gopy.runtime.stats(), gopy.runtime.goroutines(), gopy.runtime.stack(all=True), gopy.runtime.GOMAXPROCS(4)
    gopy.runtime.current(), gopy.runtime.num_goroutine()
    assert tasks() == 1, "a program without goroutines has threads"
    gopy.runtime.gosched()
    assert tasks() == 1, "gosched without goroutines starts threads"
"""


@pytest.mark.parametrize("gomaxprocs", [1, 4])
def test_nothing_yields_between_fork_and_reset(gomaxprocs, run_program):
    """The time slice of the goroutine that forks is over, and hooks that run before gopy's call into gopy, in the child and
    in the parent: the one that waits behind it would never let go of the thread in the child. In the parent it has
    its turn afterwards."""
    done = run_program(
        """
        import os
        os.register_at_fork(
            before=lambda: n.load(), after_in_child=lambda: n.load(), after_in_parent=lambda: n.load()
        )
        import time as pytime
        from gopy import atomic, go, runtime, time

        n, turns = atomic.Int64(), atomic.Int64()

        def hog():
            while True:
                turns.add(1)

        def spend_a_time_slice():
            end = pytime.monotonic() + 0.03
            while pytime.monotonic() < end:
                pass

        go(hog)
        time.sleep(0.001)
        for _ in range(5):
            spend_a_time_slice()
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            had = turns.load()
            while turns.load() == had:
                pass
        """,
        env={"GOMAXPROCS": str(gomaxprocs)},
        flags=FLAGS,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("gomaxprocs", [1, 4])
def test_fork_while_a_thread_makes_dumps(gomaxprocs, run_program):
    """Without a GIL it holds all switches for that, and is not there in the child to let them go."""
    done = run_program(
        """
        import os, threading
        from gopy import Chan, go, runtime, time

        def dump():
            # A thread that lets go of the GIL for less than it takes another one to wake up starves that one for seconds.
            while not stop.wait(0.0002):
                runtime.stack(all=True)

        def echo(a, b):
            for value in a:
                b.send(value)

        def child():
            a, b = Chan(), Chan()
            go(echo, a, b)
            for i in range(3):
                a.send(i)
                assert b.recv() == i

        stuck, stop = Chan(), threading.Event()
        for _ in range(100):
            go(stuck.recv)
        thread = threading.Thread(target=dump)
        thread.start()
        for i in range(20):
            time.sleep(0.001 + 0.0007 * i)
            pid = os.fork()
            if pid == 0:
                try:
                    child()
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(pid, 0)[1] == 0
        stop.set()
        thread.join()
        """,
        env={"GOMAXPROCS": str(gomaxprocs)},
        flags=FLAGS,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("begin", ["", "go(print, 'begun').join()"], ids=["fresh", "begun"])
@pytest.mark.parametrize("gomaxprocs", [1, 2, 8])
def test_preempt_goes_on_in_the_child(gomaxprocs, begin, run_program):
    """What a program has set before it forks is set in the child: main would wait for ever."""
    done = run_program(
        f"""
        import os
        from gopy import go, runtime, time
        runtime.preempt(0.01)
        {begin}
        pid = os.fork()
        if pid == 0:
            stop = []
            def compute():
                while not stop:
                    pass
            computing = go(compute)
            time.sleep(0.001)
            stop.append(1)
            computing.join()
            os._exit(23)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 23
        """,
        env={"GOMAXPROCS": str(gomaxprocs), "GOPY_PREEMPT": None},
        flags=FLAGS,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's /proc")
def test_no_goroutine_no_thread(run_program):
    """Neither import nor channels that need no wait start a thread: such a program may fork as ever."""
    done = run_program(THREADS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
