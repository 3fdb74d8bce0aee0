"""Time slices: no goroutine keeps the others of its thread from running, whatever it calls, and if it calls nothing.

Each program hangs for ever where a time slice is missing. What hogs runs beside main or beside another goroutine of its
thread; both are bound to that thread, so nobody but the hog can let them run.
"""

import sys
import sysconfig

import pytest

from gopy import runtime

PROCS = ["1", "2", "8"]
EVERY_THREAD = bool(sysconfig.get_config_var("Py_GIL_DISABLED")) or sys.version_info < (3, 12)


def finished(results):
    for result in results:
        assert (result.returncode, result.stderr) == (0, ""), result.stdout
    return [result.stdout for result in results]


# What a hog may call, over and over, without ever having to wait.
CALLS = """
import threading
from gopy import Chan, atomic, context, default, go, net, recv, runtime, select, send, sync, time

quiet, one, jobs, mu, rw = Chan(), Chan(1), Chan(1), sync.Mutex(), sync.RWMutex()
i64, flag, ref, value, table = atomic.Int64(), atomic.Bool(), atomic.Pointer(), atomic.Value(), sync.Map()
value.store(1)
wg, once, cond = sync.WaitGroup(), sync.Once(), sync.Cond(mu)
ctx, cancel = context.with_cancel(context.background())
ended_cancel = context.with_cancel(context.background())[1]
pool = sync.Pool(int)
listener = net.listen("tcp", "127.0.0.1:0")
conn = net.dial("tcp", str(listener.addr))
later, often = time.Timer(1000), time.Ticker(1000)
dead = go(lambda: None)
dead.join()


def lock_by_channel():
    one.send(None)
    one.recv()


def with_mutex():
    with mu:
        pass


def with_reader():
    with rw.rlocker():
        pass


def cas():
    i64.compare_and_swap(0, 0)


def through_buffer():
    jobs.send(1)
    for _ in jobs:
        break


def polls(case):
    return lambda: select(case, default)


CALLS = {
    "select": polls(recv(quiet)),
    "select of a send": polls(send(quiet, 1)),
    "recv of a case": lambda: recv(quiet),
    "send of a case": lambda: send(quiet, 1),
    "Chan": Chan,
    "cap": lambda: quiet.cap,
    "recv_only": quiet.recv_only,
    "send_only": quiet.send_only,
    "ctx.done": lambda: select(recv(ctx.done()), default),
    "ctx.err": ctx.err,
    "ctx.raise_if_done": ctx.raise_if_done,
    "ctx.done, alone": ctx.done,
    "ctx.value": lambda: ctx.value(1),
    "ctx.deadline": ctx.deadline,
    "cancel": ended_cancel,
    "background": lambda: context.background().done(),
    "a channel as a lock": lock_by_channel,
    "a buffer": through_buffer,
    "recv with a timeout": lambda: (one.send(1, timeout=1), one.recv(timeout=1)),
    "len": lambda: len(quiet),
    "Mutex": with_mutex,
    "Mutex.try_lock": lambda: mu.try_lock() and mu.unlock(),
    "Mutex.locked": mu.locked,
    "RWMutex": lambda: (rw.lock(), rw.unlock()),
    "RWMutex.rlock": with_reader,
    "RWMutex.try_rlock": lambda: rw.try_rlock() and rw.runlock(),
    "WaitGroup": lambda: (wg.add(1), wg.done()),
    "WaitGroup.wait": wg.wait,
    "Once": lambda: once.do(int),
    "Cond.signal": cond.signal,
    "Cond.broadcast": cond.broadcast,
    "Map.load": lambda: table.load(1),
    "Map.store": lambda: table.store(1, 1),
    "Map.range": lambda: table.range(lambda k, v: True),
    "Int64.load": i64.load,
    "Int64.add": lambda: i64.add(0),
    "Int64.store": lambda: i64.store(0),
    "Int64.compare_and_swap": cas,
    "Bool.load": flag.load,
    "Bool.swap": lambda: flag.swap(False),
    "Pointer.load": ref.load,
    "Pointer.store": lambda: ref.store(None),
    "Value.load": value.load,
    "Value.swap": lambda: value.swap(1),
    "sleep(0)": lambda: time.sleep(0),
    "sleep(-1)": lambda: time.sleep(-1),
    "now": time.now,
    "Timer.reset": lambda: later.reset(1000),
    "Timer.stop": later.stop,
    "Ticker.reset": lambda: often.reset(1000),
    "Pool.get": pool.get,
    "Pool.put": lambda: pool.put(1),
    "go": lambda: go(int),
    "WaitGroup.go": lambda: wg.go(int),
    "join": dead.join,
    "state": lambda: dead.state,
    "name": lambda: dead.name,
    "stack of one": dead.stack,
    "current": runtime.current,
    "stack": runtime.stack,
    "GOMAXPROCS": runtime.GOMAXPROCS,
    "num_cpu": runtime.num_cpu,
    "lock_os_thread": lambda: (runtime.lock_os_thread(), runtime.unlock_os_thread()),
    "fileno": conn.fileno,
    "local_addr": lambda: conn.local_addr,
    "remote_addr": lambda: conn.remote_addr,
    "control": lambda: conn.control(int),
    "close": conn.close,
    "num_goroutine": runtime.num_goroutine,
    "stats": runtime.stats,
    "goroutines": runtime.goroutines,
}
"""


def test_a_repr_does_not_yield(run_program):
    """logging formats its arguments while it holds a lock of threads, which others of this thread may wait for."""
    program = """
        import threading
        from time import monotonic
        from gopy import go, net, runtime

        def spin():
            homes.append(threading.get_ident())
            while not over:
                turns[0] += 1
                runtime.gosched()

        def is_due(call):
            "Call it for a tenth of a second, with another goroutine of this thread ready all the time, which gets no turn."
            before = turns[0]
            end = monotonic() + 0.1
            while monotonic() < end:
                call()
            assert turns[0] == before
            conn.closed  # this yields, if the time slice is over
            return turns[0] > before

        ln = net.listen("tcp", "127.0.0.1:0")
        conn, packets = net.dial("tcp", str(ln.addr)), net.listen_packet("udp", "127.0.0.1:0")
        homes = [None]
        while homes[0] != threading.get_ident():
            homes, over, turns = [], [], [0]
            spinning = go(spin)
            while not homes:
                runtime.gosched()
            if homes[0] != threading.get_ident():
                over.append(True)
                spinning.join()
        for described in (ln, conn, packets):
            while not is_due(lambda: repr(described)):  # on a busy machine sysmon may come late
                pass
        over.append(True)
        spinning.join()
        print("fine")
        """
    done = run_program(program, env={"GOMAXPROCS": "1"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("waiter", ["main's timer", "a ready goroutine", "a descriptor"])
@pytest.mark.timeout(240)
def test_any_call_yields(waiter, run_programs):
    """A goroutine that only makes one call, for ever: main's sleep ends, a goroutine that is ready runs."""
    program = f"""
        {CALLS.strip().replace(chr(10), chr(10) + " " * 8)}

        import os
        inlet, outlet = os.pipe()

        def hog(call):
            while not over:
                call()

        def others():
            over.append(True)

        for name, call in CALLS.items():
            print(name, end=": ", flush=True)
            over = []
            hogging = go(hog, call)
            if {waiter!r} == "main's timer":
                time.sleep(0.001)
                others()
            elif {waiter!r} == "a descriptor":
                threading.Timer(0.001, os.write, (outlet, b"x")).start()
                runtime.wait_read(inlet)
                os.read(inlet, 1)
                others()
            else:
                started, gate = Chan(), Chan()

                @go
                def waits():
                    started.send(None)
                    gate.recv()
                    others()

                started.recv()  # both may be on this thread, or on two: then nobody has to yield
                gate.send(None)
            hogging.join()
        print("all")
    """
    outputs = finished(run_programs((program, {"env": {"GOMAXPROCS": n}, "timeout": 100}) for n in PROCS))
    assert all(output.endswith("all\n") for output in outputs), outputs


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["async def", "generator"])
def test_stackless_goroutines_yield(kind, run_programs):
    """Awaiting what need not wait never suspends: the time slice ends it all the same."""
    program = """
        from gopy import Chan, aselect, default, go, recv, runtime, sync, time

        quiet, one, mu = Chan(), Chan(1), sync.Mutex()

        def locks():
            AWAIT mu.alock()
            mu.unlock()

        def passes():
            AWAIT one.asend(1)
            AWAIT one.arecv()

        def polls():
            AWAIT aselect(recv(quiet), default)

        def sleeps():
            AWAIT time.asleep(0)

        def hog(call):
            while not over:
                INNER call()

        for call in (locks, passes, polls, sleeps):
            over = []
            hogging = go(hog, call)
            time.sleep(0.001)
            over.append(True)
            hogging.join()
        print("all")
    """
    if kind == "async def":
        program = program.replace("def ", "async def ").replace("AWAIT", "await").replace("INNER", "await")
    else:
        program = program.replace("AWAIT", "yield").replace("INNER", "yield from")
    assert finished(run_programs((program, {"env": {"GOMAXPROCS": n}}) for n in PROCS)) == ["all\n"] * 3


def test_hogs_take_turns(run_programs):
    """Three goroutines of one thread that never wait: each gets its turn, again and again."""
    program = """
        from gopy import atomic, go, runtime, time

        over, begun = atomic.Bool(), atomic.Int64()
        last, turns = None, [0, 0, 0]

        def hog(me):
            global last
            runtime.gosched()
            begun.add(1)
            while begun.load() < 3:
                runtime.gosched()
            while not over.load():
                if last != me:
                    last = me
                    turns[me] += 1

        hogs = [go(hog, me) for me in range(3)]
        while min(turns) < 10:
            time.sleep(0.01)
        over.store(True)
        for h in hogs:
            h.join()
        print("all")
    """
    assert finished(run_programs((program, {"env": {"GOMAXPROCS": n}}) for n in PROCS)) == ["all\n"] * 3


def test_one_that_starts_goroutines_without_a_pause_lets_them_run(run_programs):
    """main starts 300,000 and polls: a share of the time is theirs, however many there are and however short."""
    program = """
        from gopy import atomic, go

        ended = atomic.Int64()

        def work():
            ended.add(1)

        for _ in range(300_000):
            go(work)
        while ended.load() < 300_000:
            pass
        print("all")
    """
    programs = [(program, {"env": {"GOMAXPROCS": n}, "timeout": 50}) for n in PROCS]
    assert finished(run_programs(programs)) == ["all\n"] * 3


def test_what_has_not_started_goes_to_another_thread(run_programs):
    """The goroutine that runs calls nothing of gopy's. It is not reached, but what waits behind it need not run there."""
    program = """
        from gopy import go, runtime

        over = []

        def hog():
            while not over:
                pass

        go(over.append, True)  # waits behind the others: the youngest starts first
        hogs = [go(hog) for _ in range(5)]
        for h in hogs:
            h.join()
        print("all")
    """
    assert finished(run_programs((program, {"env": {"GOMAXPROCS": n}}) for n in PROCS)) == ["all\n"] * 3


def test_a_sleeper_of_another_thread_wakes_beside_one_that_computes(run_programs):
    """With a GIL there may be one P in use, and the one that computes has it."""
    program = """
        import threading
        from gopy import go, time

        over, computes = [], threading.Event()

        def hog():
            computes.set()
            while not over:
                pass

        h = go(hog)
        computes.wait()  # in C: another thread starts it
        time.sleep(0.001)
        over.append(True)
        h.join()
        print("all")
    """
    assert finished(run_programs((program, {"env": {"GOMAXPROCS": n}}) for n in PROCS)) == ["all\n"] * 3


# runtime.preempt


@pytest.mark.slow
@pytest.mark.parametrize("how", ["call", "environment"])
def test_preempt_reaches_the_main_thread(how, run_programs):
    """main waits for a goroutine of its thread that computes, then computes itself while another one waits."""
    program = """
        import threading
        from gopy import go, runtime, time

        SET

        def compute(over):
            homes.append(threading.get_ident())
            while not over:
                pass

        first, second, started, homes = [], [], [], []
        g = go(compute, first)
        time.sleep(0.001)
        first.append(True)
        g.join()

        @go
        def other():
            started.append(True)
            time.sleep(0.001)
            second.append(True)

        while not started:
            runtime.gosched()
        compute(second)
        # If main's thread stood still, another one may have begun the first; then main need not wait for it.
        print(homes[0] != homes[1] or runtime.stats()["preemptions"] >= 1)
    """
    env = {"GOPY_PREEMPT": "0.01"} if how == "environment" else {}
    program = program.replace("SET", "runtime.preempt(0.01)" if how == "call" else "")
    results = run_programs((program, {"env": {"GOMAXPROCS": n, **env}}) for n in PROCS)
    assert finished(results)[0] == "True\n"


@pytest.mark.skipif(not EVERY_THREAD, reason="with a GIL, from 3.12 on, only the main thread is reached")
def test_preempt_reaches_other_threads(run_programs):
    """Both goroutines live on one thread that is not main's, which stands still in C."""
    program = """
        import threading
        from gopy import go, runtime, time

        runtime.preempt(0.01)
        over, homes, ended = [], [], threading.Event()

        def sleeper():
            homes.append(threading.get_ident())
            time.sleep(0.001)
            over.append(True)

        def first():
            go(sleeper)
            while not homes:
                runtime.gosched()
            homes.append(threading.get_ident())
            while not over:
                pass
            ended.set()

        go(first)
        ended.wait()
        assert homes[1] != threading.get_ident()
        print("all")
    """
    assert finished(run_programs((program, {"env": {"GOMAXPROCS": n}}) for n in PROCS)) == ["all\n"] * 3


def test_preempt_leaves_a_tracer_alone(run_program):
    """On 3.11 it borrows the trace function of a thread for a moment: the thread's own sees every line it would see."""
    result = run_program(
        """
        import sys, threading
        from gopy import go, runtime, time

        runtime.preempt(0.01)
        over, homes, lines, ended = [], [], set(), threading.Event()

        def tracer(frame, event, arg):
            if frame.f_code is counts.__code__ and event == "line":
                lines.add(frame.f_lineno - frame.f_code.co_firstlineno)
            return tracer

        def sleeper():
            homes.append(True)
            while 3 not in lines:  # it has not counted yet
                time.sleep(0.001)
            over.append(True)

        def counts():
            n = 0
            while not over:
                n += 1
            n = 0
            return n

        def first():
            go(sleeper)
            while not homes:
                runtime.gosched()
            sys.settrace(tracer)
            counts()
            assert sys.gettrace() is tracer
            sys.settrace(None)
            ended.set()

        go(first)
        ended.wait()
        assert lines == {1, 2, 3, 4, 5}, lines
        """
        if EVERY_THREAD
        else "pass"
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.skipif(not EVERY_THREAD, reason="with a GIL, from 3.12 on, only the main thread is reached")
def test_preempt_is_not_seen_by_gettrace(run_program):
    """Two that compute on threads of their own, made to yield again and again."""
    done = run_program(
        """
        import sys
        from time import monotonic
        from gopy import runtime

        def tracer(*args):
            pass

        def body(own):
            sys.settrace(own)
            end = monotonic() + 0.5
            while monotonic() < end:
                assert sys.gettrace() is own, sys.gettrace()

        runtime.preempt(0.01)
        for g in [runtime.go_locked(body, own) for own in (tracer, tracer, None)]:
            g.join()
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="without a GIL no signal is needed"
)
def test_preempt_without_a_signal_to_be_had(run_program):
    done = run_program(
        """
        import signal
        from gopy import runtime
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if number > signal.SIGTERM and signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, signal.SIG_IGN)
        try:
            runtime.preempt(0.01)
        except RuntimeError as exc:
            print(exc)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "preempt() needs a signal that nobody handles, and there is none\n"


def test_preempt_can_be_turned_off():
    runtime.preempt(0.05)
    runtime.preempt(None)


@pytest.mark.parametrize(
    ("seconds", "error"),
    [("1", TypeError), (0, ValueError), (-1, ValueError), (float("nan"), ValueError), ([], TypeError)],
)
def test_preempt_refuses(seconds, error):
    with pytest.raises(error, match="`seconds`"):
        runtime.preempt(seconds)


@pytest.mark.parametrize("text", ["soon", "-1", "nan"])
def test_gopy_preempt_must_be_a_number(text, run_program):
    result = run_program("import gopy", env={"GOPY_PREEMPT": text})
    assert result.returncode == 1
    assert "GOPY_PREEMPT must be a positive number of seconds" in result.stderr


def test_gopy_preempt_may_be_off(run_program):
    for text in ("0", ""):
        assert run_program("import gopy", env={"GOPY_PREEMPT": text}).returncode == 0


# The end of a time slice and what a program has locked


def test_a_dump_is_not_interrupted(run_programs):
    """A goroutine that dumps all stacks without a pause, beside a ticker of its thread."""
    program = """
        from gopy import go, runtime, time

        over = []

        def dumps():
            while not over:
                runtime.stack(all=True)

        runtime.preempt(0.01)
        g = go(dumps)
        for _ in range(5):
            time.sleep(0.02)
        over.append(True)
        g.join()
        print("all")
    """
    assert finished(run_programs((program, {"env": {"GOMAXPROCS": n}}) for n in PROCS)) == ["all\n"] * 3
