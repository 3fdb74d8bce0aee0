"""Event loops that goroutines run: the loop is the goroutine's, and its thread is not the loop's alone."""

import importlib.util
import signal

import pytest

each_gomaxprocs = pytest.mark.parametrize("procs", [1, 2, 8])
without_uvloop = pytest.mark.skipif(
    importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed"
)
each_loop = pytest.mark.parametrize("loop", ["asyncio", pytest.param("uvloop", marks=without_uvloop)])

PRELUDE = """
import asyncio, sys, threading, time
import gopy
from gopy import Chan, go, net, runtime, sync

def run(main):
    if sys.argv[1] == "uvloop":
        import uvloop
        factory = uvloop.new_event_loop
    else:
        factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)

def go_here(fn, *args):
    # A goroutine on this thread: one that has started elsewhere ends, and another is tried.
    here, found = threading.get_ident(), Chan()
    def body():
        hit = threading.get_ident() == here
        found.send(hit)
        if hit:
            fn(*args)
    while True:
        goroutine = go(body)
        if found.recv():
            return goroutine
"""


@pytest.fixture
def program(run_program):
    """program(source, loop, procs): what the program prints, as words."""

    def program(source, loop, procs):
        finished = run_program(PRELUDE + source, loop, env={"GOMAXPROCS": str(procs)})
        assert finished.returncode == 0, finished.stderr
        return finished.stdout.split()

    return program


# The running loop and the current task are the goroutine's.


@pytest.mark.slow
@each_loop
@each_gomaxprocs
def test_a_goroutine_runs_a_loop_while_a_task_of_its_thread_blocks(program, loop, procs):
    source = """
gate, out = Chan(), Chan()

async def body():
    me = asyncio.current_task()
    await asyncio.sleep(0.001)
    gopy.time.sleep(0.001)
    assert asyncio.current_task() is me
    return "ran"

def other():
    gate.recv()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        out.send(run(body()))
    else:
        out.send("sees the loop of main")

async def main():
    me, loop = asyncio.current_task(), asyncio.get_running_loop()
    for _ in range(3):
        gate.send(None)
        print(out.recv())  # a plain call: it parks the goroutine that runs this loop
        assert asyncio.current_task() is me and asyncio.get_running_loop() is loop
        await asyncio.sleep(0)
        assert asyncio.current_task() is me and asyncio.get_running_loop() is loop

for _ in range(3):
    go_here(other)
run(main())
"""
    assert program(source, loop, procs) == ["ran"] * 3


@each_gomaxprocs
def test_many_goroutines_of_one_thread_run_loops_side_by_side(program, procs):
    """Each waits in its loop until all of them do."""
    source = """
n = 20
inside, go_on = Chan(n), Chan()

async def body(i):
    me = asyncio.current_task()
    await inside.asend(i)
    await go_on.arecv_ok()
    await asyncio.sleep(0.001)
    assert asyncio.current_task() is me
    return i

out = Chan(n)
for i in range(n):
    go_here(lambda i: out.send(asyncio.run(body(i))), i)
seen = {inside.recv() for _ in range(n)}
go_on.close()
print(sorted(out.recv() for _ in range(n)) == sorted(seen) == list(range(n)))
"""
    assert program(source, "asyncio", procs) == ["True"]


@each_loop
def test_the_running_loop_comes_back_after_an_exception(program, loop):
    source = """
async def main():
    loop = asyncio.get_running_loop()
    go(lambda: None)
    try:
        Chan().recv(timeout=0.001)
    except TimeoutError:
        print(asyncio.get_running_loop() is loop)

run(main())
try:
    asyncio.get_running_loop()
except RuntimeError:
    print("none")
"""
    assert program(source, loop, 1) == ["True", "none"]


# A loop leaves its thread to other goroutines.


@pytest.mark.slow
@each_loop
@each_gomaxprocs
def test_a_server_in_a_goroutine_answers_a_client_in_the_loop_of_its_thread(program, loop, procs):
    source = """
listener = net.listen("tcp", "127.0.0.1:0")

def echo(conn):
    while data := conn.read(100):
        conn.write(data)
    conn.close()

def serve():
    for _ in range(3):
        go_here(echo, listener.accept())

go_here(serve)
host, port = str(listener.addr).rsplit(":", 1)

async def client():
    for i in range(3):
        reader, writer = await asyncio.open_connection(host, int(port))
        for j in range(20):
            writer.write(b"%d %d" % (i, j))
            assert await reader.read(100) == b"%d %d" % (i, j)
        writer.close()
        await writer.wait_closed()
    return "answered"

print(run(client()))
"""
    assert program(source, loop, procs) == ["answered"]


@pytest.mark.slow
@each_loop
@each_gomaxprocs
def test_timers_channels_and_blocking_calls_wake_goroutines_of_a_loops_thread(program, loop, procs):
    source = """
requests, replies = Chan(), Chan()

def answer():
    for request in requests:
        gopy.time.sleep(0.0001)
        replies.send(gopy.blocking(lambda: request + 1))

goroutine = go_here(answer)
ticks = Chan()

def tick():
    for i in range(20):
        gopy.time.sleep(0.001)
    ticks.send("ticked")

go_here(tick)

async def main():
    for i in range(50):
        await requests.asend(i)
        assert await replies.arecv() == i + 1
    requests.close()
    await goroutine.ajoin()
    print(await ticks.arecv())

run(main())
"""
    assert program(source, loop, procs) == ["ticked"]


@pytest.mark.slow
@each_loop
@each_gomaxprocs
def test_gopy_is_first_used_within_a_loop(program, loop, procs):
    """The loop is running already when gopy is first used, and goroutines of its thread are woken in many ways."""
    source = """
async def main():
    await asyncio.sleep(0)
    out, gate = Chan(), Chan()
    def waits():
        gate.recv_ok()
        out.send("woken")
    for _ in range(10):
        go(waits)
    go(out.send, "started")
    print(await out.arecv())
    gate.close()
    print(*[await out.arecv() for _ in range(10)])
    thread = threading.Thread(target=lambda: go(out.send, "from-a-thread"))
    thread.start()
    print(await out.arecv())
    thread.join()

run(main())
"""
    assert program(source, loop, procs) == ["started", *["woken"] * 10, "from-a-thread"]


@each_gomaxprocs
def test_a_loop_that_never_waits_lets_others_run(program, procs):
    source = """
over = []

def count():
    for _ in range(100):
        runtime.gosched()
    over.append(True)

go_here(count)

async def main():
    while not over:
        await asyncio.sleep(0)
    print("over")

run(main())
"""
    assert program(source, "asyncio", procs) == ["over"]


@each_loop
def test_a_waiting_loop_uses_no_cpu(program, loop):
    source = """
gate = Chan()
go_here(gate.recv)

async def main():
    used = []
    for _ in range(3):
        before = time.process_time()
        await asyncio.sleep(0.3)
        used.append(time.process_time() - before)
    return min(used) < 0.3 * 0.3

print(run(main()))
"""
    assert program(source, loop, 2) == ["True"]


@pytest.mark.slow
@each_loop
@each_gomaxprocs
def test_ctrl_c_ends_a_loop_that_waits_beside_goroutines(start_program, loop, procs):
    source = """
gate = Chan()
go_here(gate.recv)

async def main():
    try:
        print("waits", flush=True)  # in here: the signal may come before the next line
        await asyncio.sleep(1000)
    finally:
        print("left", flush=True)

run(main())
"""
    program = start_program(PRELUDE + source, loop, env={"GOMAXPROCS": str(procs)})
    program.wait_for(lambda: "waits\n" in program.stdout)
    program.process.send_signal(signal.SIGINT)
    finished = program.finish()
    assert finished.returncode == -signal.SIGINT
    assert finished.stdout.split() == ["waits", "left"]
    assert "KeyboardInterrupt" in finished.stderr


@each_loop
def test_signal_handlers_of_the_loop_are_called_beside_goroutines(program, loop):
    source = """
import os, signal
gate = Chan()
go_here(gate.recv)

async def main():
    came = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, came.set)
    await asyncio.sleep(0.001)
    os.kill(os.getpid(), signal.SIGUSR1)
    await came.wait()
    print("came")

run(main())
"""
    assert program(source, loop, 2) == ["came"]


def test_a_loop_without_goroutines_sleeps_in_its_own_selector(program):
    source = """
import selectors
calls = []
original = selectors.DefaultSelector.select

def select(self, timeout=None):
    calls.append(timeout)
    return original(self, timeout)

selectors.DefaultSelector.select = select
go(lambda: None).join()

async def main():
    over, loop = asyncio.Event(), asyncio.get_running_loop()

    def end():
        while None not in calls:
            time.sleep(0.001)
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=end).start()
    await over.wait()

run(main())
print("woken")
"""
    assert program(source, "asyncio", 2) == ["woken"]


def test_a_program_without_goroutines_has_pythons_own_loops(program):
    source = """
import inspect, selectors

async def main():
    return type(asyncio.get_running_loop()._selector) is selectors.DefaultSelector

print(run(main()), inspect.isbuiltin(sys.set_asyncgen_hooks))
"""
    assert program(source, "asyncio", 2) == ["True", "True"]
