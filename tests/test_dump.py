"""Dumps whose file cannot be written, or is just being written: the program goes on."""

import pytest

PROLOGUE = """
import fcntl, os, signal, struct, sys, termios, threading
from gopy import Chan, go, runtime, time
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["main", "goroutine", "parked"])
@pytest.mark.parametrize("gone", ["closed", "unread"])
def test_a_dump_that_nobody_can_read(where, gone, run_programs):
    """stderr has been closed, or is a pipe whose reader is gone."""
    source = f"""
{PROLOGUE}
if {gone!r} == "closed":
    sys.stderr.close()
else:
    read, write = os.pipe()
    os.close(read)
    sys.stderr = open(write, "w")
runtime.dump_on(signal.SIGUSR1)

def body():
    signal.raise_signal(signal.SIGUSR1)
    return "goes on"

if {where!r} == "main":
    print(body())
elif {where!r} == "goroutine":
    ch = Chan()
    go(lambda: ch.send(body()))
    print(ch.recv())
else:
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    time.sleep(0.3)
    print("goes on")
os._exit(3)
"""
    for done in run_programs((source, {"env": {"GOMAXPROCS": n}}) for n in "128"):
        assert (done.returncode, done.stdout, done.stderr) == (3, "goes on\n", "")


def test_a_dump_into_a_file_that_is_being_written(run_programs):
    """The signal comes while the main thread is in the file's own write, whose buffer cannot be used again."""
    source = (
        PROLOGUE
        + """
read, write = os.pipe()
capacity = fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
file = open(write, "w")
runtime.dump_on(signal.SIGUSR1, file=file)
text = b""

def reader():
    global text
    held = b"\\0\\0\\0\\0"
    while struct.unpack("i", held)[0] < capacity:  # until main is stuck in its write
        held = fcntl.ioctl(read, termios.FIONREAD, held)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
    while more := os.read(read, 1 << 16):
        text += more

thread = threading.Thread(target=reader)
thread.start()
file.write("~" * 100_000)
file.close()
thread.join()
print(text.count(b"~"), text.count(b"SIGUSR1: goroutine dump"), text.count(b"goroutine 1 [running]"))
"""
    )
    for done in run_programs((source, {"env": {"GOMAXPROCS": n}}) for n in "128"):
        assert (done.returncode, done.stdout, done.stderr) == (0, "100000 1 1\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("end", ["go(sys.exit, 'farewell')", "1 / 0", "Chan().recv()"])
def test_the_status_of_a_program_that_cannot_say_why_it_ends(end, run_programs):
    """A thread waits for ever, so that gopy ends it."""
    source = f"""
{PROLOGUE}
read, write = os.pipe()
os.close(read)
sys.stderr = open(write, "w")
threading.Thread(target=Chan().recv).start()

def last():
    {end}

go(last)
time.sleep(0)
"""
    for done in run_programs((source, {"env": {"GOMAXPROCS": n}}) for n in "128"):
        assert (done.returncode, done.stdout) == (1, ""), done.stderr


def test_a_dump_of_goroutines_that_run(run_program):
    """On other threads, where frames come and go meanwhile."""
    done = run_program(
        """
from gopy import debug, go, runtime

over = []

def deep(n):
    held = [n]
    return deep(n - 1) if n else held

def runs(n):
    while not over:
        for depth in range(n, n + 30):
            deep(depth)
        sorted(range(20), key=lambda i: -i)
        runtime.gosched()

goroutines = [go(runs, n) for n in range(8)]
for _ in range(30):
    runtime.stack(all=True)
    debug.goroutine_profile()
over.append(True)
for goroutine in goroutines:
    goroutine.join()
print("over")
""",
        env={"GOMAXPROCS": "8"},
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "over\n")
