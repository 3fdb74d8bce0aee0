"""gopy.monkey: deadlocks, signals, finalizers, and the program's end."""

import signal

import pytest

PROCS = pytest.mark.parametrize("procs", [1, pytest.param(2, marks=pytest.mark.soak), 8])
IMPORTS = "import atexit, gc, os, queue, signal, sys, threading, time"


@PROCS
@pytest.mark.parametrize(
    "wait",
    [
        "lock = threading.Lock(); lock.acquire(); lock.acquire()",
        "threading.Event().wait()",
        "queue.Queue().get()",
        "queue.SimpleQueue().get()",
        "rlock, has = threading.RLock(), Chan(); go(lambda: (rlock.acquire(), has.send(1), threading.Event().wait())); has.recv(); rlock.acquire()",
    ],
)
def test_a_deadlock_is_told(run_program, head, procs, wait):
    done = run_program(head + wait, env={"GOMAXPROCS": str(procs)})
    assert done.returncode == 1
    assert "gopy.Deadlock: all goroutines are asleep - deadlock!" in done.stderr


@PROCS
@pytest.mark.parametrize(
    "wait", ["lock.acquire()", "event.wait()", "time.sleep(60)", "q.get()", "sock.recv(1)", "other.join()"]
)
def test_ctrl_c_reaches_who_waits(start_program, head, procs, wait):
    program = start_program(
        head
        + f"""
import socket
go(lambda: time.sleep(60))
lock, event, q = threading.Lock(), threading.Event(), queue.Queue()
lock.acquire()
sock, other_sock = socket.socketpair()
other = threading.Thread(target=threading.Event().wait, daemon=True)
other.start()
gopy.runtime.gosched()
try:
    print("waits", flush=True)  # in here: the signal may come before the next line
    {wait}
except KeyboardInterrupt:
    print("interrupted")
    sock.close(), other_sock.close()
""",
        env={"GOMAXPROCS": str(procs)},
    )
    program.wait_for(lambda: "waits\n" in program.stdout)  # the line is written in two parts
    program.process.send_signal(signal.SIGINT)
    done = program.finish()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["waits", "interrupted"]


@PROCS
def test_signal_handlers_may_use_what_is_patched(ok, procs):
    """They run on top of whatever the main thread does; here everything is parked."""
    ok(
        """
import logging
logging.basicConfig(stream=sys.stdout, format="%(message)s")
over, lock, q = threading.Event(), threading.RLock(), queue.SimpleQueue()
def handler(signum, frame):
    with lock:
        time.sleep(0.001)
        q.put("from the handler")
    logging.warning("handled")
    over.set()
signal.signal(signal.SIGUSR1, handler)
go(lambda: (time.sleep(0.005), os.kill(os.getpid(), signal.SIGUSR1)))
over.wait()
print(q.get(), threading.current_thread() is threading.main_thread())
""",
        procs,
        "handled",
        "from the handler True",
    )


@PROCS
def test_finalizers_may_use_what_is_patched(ok, procs):
    ok(
        """
lock, q, count = threading.RLock(), queue.SimpleQueue(), [0]
class Node:
    def __init__(self):
        self.me = self
    def __del__(self):
        with lock:
            count[0] += 1
            q.put(1)
gc.set_threshold(20)
def f(i):
    for _ in range(50):
        Node()
        with lock:
            q.put(0)
        time.sleep(0)
wg = gopy.sync.WaitGroup()
for i in range(10):
    wg.go(f, i)
wg.wait()
while True:
    gc.collect()  # it does nothing while another thread does it
    with lock:
        counts = count[0], q.qsize()
    if counts[0] == 500:
        break
    time.sleep(0.001)
print(*counts)
""",
        procs,
        "500 1000",
    )


@PROCS
def test_at_exit_calls_block_as_ever(ok, procs):
    ok(
        """
import subprocess
lock = threading.Lock()
def last():
    time.sleep(0.001)
    with lock:
        thread = threading.Thread(target=print, args=("thread",))
    print(subprocess.run(["echo", "child"], capture_output=True, text=True).stdout.strip())
atexit.register(last)
go(lambda: time.sleep(60))
gopy.runtime.gosched()
print("end")
""",
        procs,
        "end",
        "child",
    )


@PROCS
def test_a_goroutine_that_computes_lets_others_run(run_program, head, procs):
    """preempt() is on: main would otherwise wait for ever."""
    done = run_program(
        head
        + """
stop = []
def compute():
    while not stop:
        pass
computing = go(compute)
time.sleep(0.001)
stop.append(1)
computing.join()
print("over")
""",
        env={"GOMAXPROCS": str(procs), "GOPY_PREEMPT": None},
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "over\n")


@PROCS
def test_users_greenlets_may_block(ok, procs):
    ok(
        """
import greenlet
right = []
def inner(x):
    time.sleep(0.001)
    y = greenlet.getcurrent().parent.switch(x + 1)
    time.sleep(0.001)
    return y * 2
def f(i):
    mine = greenlet.greenlet(inner)
    a = mine.switch(i)
    time.sleep(0.001)
    b = mine.switch(a)
    right.append((a, b) == (i + 1, (i + 1) * 2))
wg = gopy.sync.WaitGroup()
for i in range(20):
    wg.go(f, i)
wg.wait()
print(right.count(True))
""",
        procs,
        "20",
    )


@pytest.mark.parametrize("main", ["goroutine", "thread"])
def test_ctrl_c_cancels_what_asyncio_runs(start_program, head, main):
    """And the next one is a KeyboardInterrupt again."""
    program = start_program(
        head
        + f"""
import asyncio
{"gopy.runtime.gosched()" if main == "goroutine" else ""}
async def task():
    try:
        print("waits", flush=True)
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        print("cancelled")
        raise
try:
    asyncio.run(task())
except KeyboardInterrupt:
    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
gopy.runtime.gosched()
try:
    print("again", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    for line in ("waits\n", "again\n"):
        program.wait_for(lambda line=line: line in program.stdout)
        program.process.send_signal(signal.SIGINT)
    done = program.finish()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["waits", "cancelled", "True", "again", "interrupted"]


@PROCS
def test_a_signal_to_a_goroutine_that_has_ended(ok, procs):
    """Its identity stands for no thread, and C's pthread_kill() would crash."""
    ok(
        """
idents = []
all_of(lambda i: idents.append(threading.get_ident()), 1)
print(told(signal.pthread_kill, idents[0], 0), told(signal.pthread_kill, threading.get_ident(), 0))
""",
        procs,
        "ProcessLookupError: [Errno 3] No such process None",
    )
