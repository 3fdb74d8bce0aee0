"""gopy.runtime: scheduling, settings, counters and stacks, as a program sees them."""

import json
import os
import re
import signal
import sysconfig
import threading

import pytest

import gopy
from gopy import Chan, go, recv, runtime, select

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


# Scheduling


def test_gosched_lets_others_run(gomaxprocs):
    """Neither ends before the other has had a hundred turns, wherever they have started."""
    gomaxprocs(1)
    turns = {"a": 0, "b": 0}

    def take_turns(name):
        while min(turns.values()) < 100:
            turns[name] += 1
            runtime.gosched()

    goroutines = [go(take_turns, name) for name in "ab"]
    for goroutine in goroutines:
        while goroutine.state != "dead":
            runtime.gosched()


def test_goexit_ends_the_goroutine_and_nothing_else():
    trace = []

    def leave():
        try:
            runtime.goexit()
        except Exception:
            trace.append("caught")
        finally:
            trace.append("inner")
        trace.append("after")

    def body():
        try:
            leave()
        finally:
            trace.append("outer")

    go(body).join()
    assert trace == ["inner", "outer"]


def test_goexit_while_an_exception_is_handled():
    trace = []

    def body():
        try:
            raise ValueError
        except ValueError:
            try:
                runtime.goexit()
            finally:
                trace.append("left")

    go(body).join()
    assert trace == ["left"]


def test_goexit_lets_a_finally_block_park():
    ch = Chan()

    def body():
        try:
            runtime.goexit()
        finally:
            ch.send("still here")

    goroutine = go(body)
    assert ch.recv() == "still here"
    goroutine.join()


def test_num_goroutine_and_goroutines(until):
    ch = Chan()
    before = runtime.num_goroutine()
    assert before == len(runtime.goroutines())
    started = [go(ch.recv) for _ in range(50)]
    until(lambda: all(g.state == "chan receive" for g in started))
    assert runtime.num_goroutine() == before + 50
    listed = runtime.goroutines()
    assert runtime.current() in listed
    assert set(started) <= set(listed)
    assert len(set(listed)) == len(listed) == before + 50
    for _ in started:
        ch.send(None)
    for goroutine in started:
        goroutine.join()
    assert runtime.num_goroutine() == before
    assert not set(started) & set(runtime.goroutines())


def test_current_is_the_handle_that_go_returned():
    found = Chan()
    goroutine = go(lambda: found.send(runtime.current()))
    assert found.recv() is goroutine
    goroutine.join()


# GOMAXPROCS and num_cpu


def test_GOMAXPROCS_sets_and_asks(gomaxprocs):
    before = gomaxprocs(3)
    assert before >= 1
    assert gomaxprocs() == gomaxprocs(0) == gomaxprocs(-1) == 3
    assert gomaxprocs(1) == 3
    assert gomaxprocs() == runtime.stats()["gomaxprocs"] == 1


def test_GOMAXPROCS_changes_while_goroutines_run(gomaxprocs):
    done = Chan()

    def player(mine, other, n):
        for _ in range(n):
            other.send(mine.recv())
        done.send(n)

    def yielder(n):
        for _ in range(n):
            runtime.gosched()
        done.send(n)

    for _ in range(10):
        ping, pong = Chan(1), Chan(1)
        go(player, ping, pong, 200)
        go(player, pong, ping, 200)
        go(yielder, 200)
        ping.send("ball")
    finished = 0
    settings = [8, 1, 2, 16, 3, 1, 5] * 100
    for n in settings:
        gomaxprocs(n)
        assert gomaxprocs() == n
        for _ in range(5):
            runtime.gosched()
        while select(recv(done), gopy.default)[0] == 0:
            finished += 1
    while finished < 30:
        done.recv()
        finished += 1


IMPORT = """
    import gopy
    print(gopy.runtime.GOMAXPROCS(), gopy.runtime.num_cpu(), gopy.runtime.stats()["gomaxprocs"])
"""


@pytest.mark.slow
def test_GOMAXPROCS_from_the_environment(run_programs):
    good = ["1", "2", "3", "64"]
    bad = ["0", "-1", "-0", "two", "1.5", "2x", "1e3", "0x2", "\u0662", "1,2"]
    values = good + bad + [None]
    *results, unset = run_programs((IMPORT, {"env": {"GOMAXPROCS": value}}) for value in values)
    for value, result in zip(good, results, strict=False):
        procs, _, shown = result.stdout.split()
        assert (procs, shown, result.stderr) == (value, value, "")
    for value, result in zip(bad, results[len(good) :], strict=True):
        assert result.returncode == 1
        assert re.search(r"^ValueError: .*GOMAXPROCS", result.stderr, re.M), (value, result.stderr)
    procs, cpus, shown = unset.stdout.split()
    assert procs == cpus == shown


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks on this system")
def test_num_cpu_follows_the_affinity_mask(run_program):
    result = run_program(
        """
        import os
        before = len(os.sched_getaffinity(0))
        import gopy
        assert 1 <= gopy.runtime.num_cpu() <= before
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        assert gopy.runtime.num_cpu() == 1
        """
    )
    assert (result.returncode, result.stderr) == (0, "")


# stats


def test_stats_keys_and_types():
    stats = runtime.stats()
    assert set(stats) == set(runtime.Stats.__annotations__)
    gauges = {"gomaxprocs", "ms", "idle_ps", "goroutines", "runq", "runnable", "parked", "timers", "netpoll"}
    counters = {"spawned", "switches", "steals", "stolen", "handoffs", "preemptions"}
    assert set(stats) == gauges | counters | {"gil"}
    assert stats["gil"] is not FREE_THREADED
    for name, value in stats.items():
        if name != "gil":
            assert type(value) is int, name
            assert value >= 0, name


def test_stats_say_what_happens(until):
    ch, other = Chan(), Chan()
    before = runtime.stats()
    assert before["ms"] >= 1
    assert before["idle_ps"] <= before["gomaxprocs"]
    started = [go(ch.recv) for _ in range(20)] + [go(other.recv, timeout=1000)]
    until(lambda: all(g.state == "chan receive" for g in started))
    during = runtime.stats()
    assert during["spawned"] == before["spawned"] + 21
    assert during["goroutines"] == runtime.num_goroutine() == before["goroutines"] + 21
    assert during["parked"] >= before["parked"] + 21
    assert during["timers"] >= 1
    assert during["switches"] >= before["switches"] + 21
    for _ in range(20):
        ch.send(None)
    other.send(None)
    for goroutine in started:
        goroutine.join()
    after = runtime.stats()
    assert after["goroutines"] == before["goroutines"]
    assert after["parked"] == before["parked"]
    assert after["spawned"] == during["spawned"]


# Stacks

HEADER = r"^goroutine (\d+) \[([a-z][^\]]*)\]:$"


def blocks(text):
    """A dump cut into the parts of each goroutine: {id: (state, frames)}."""
    parts = re.split(HEADER, text, flags=re.M)
    assert parts[0] == ""
    return {int(parts[i]): (parts[i + 1], parts[i + 2]) for i in range(1, len(parts), 3)}


def outer(fn, *args):
    inner(fn, *args)


def inner(fn, *args):
    fn(*args)


def test_stack_is_that_of_the_calling_goroutine(in_goroutine):
    found = blocks(runtime.stack())
    assert list(found) == [1]
    state, frames = found[1]
    assert state == "running"
    assert "test_stack_is_that_of_the_calling_goroutine" in frames

    def body():
        return runtime.current().id, runtime.stack()

    goid, text = in_goroutine(body)
    found = blocks(text)
    assert list(found) == [goid]
    assert "in body" in found[goid][1]
    assert "test_stack_is_that_of_the_calling_goroutine" not in text


def test_stack_of_all_shows_the_frames_of_parked_goroutines(until):
    ch = Chan()
    receiver = go(outer, ch.recv)
    chooser = go(outer, select, recv(ch), recv(Chan()))
    lost = Chan()
    sender = go(outer, lost.send, 1)
    until(lambda: receiver.state == "chan receive" and sender.state == "chan send")
    until(lambda: chooser.state == "select")
    text = runtime.stack(all=True)
    assert text.startswith("goroutine 1 [running]:\n")
    found = blocks(text)
    assert set(found) == {g.id for g in runtime.goroutines()}
    assert "test_stack_of_all_shows_the_frames_of_parked_goroutines" in found[1][1]
    for goroutine in (receiver, sender, chooser):
        state, frames = found[goroutine.id]
        assert state == goroutine.state
        line = outer.__code__.co_firstlineno + 1
        assert re.search(rf"{re.escape(__file__)}\W.*\b{line}\b.*\bouter\b", frames)
        assert re.search(rf"{re.escape(__file__)}\W.*\binner\b", frames)
        assert "test_stack_of_all" not in frames.partition("\ncreated by")[0]
        assert "created by test_stack_of_all" in frames
        alone = blocks(goroutine.stack())
        assert alone == {goroutine.id: (state, alone[goroutine.id][1])}
        assert alone[goroutine.id][1].strip() == frames.strip()
    ch.close()
    lost.recv()


def test_stack_of_a_goroutine_that_has_not_started_or_has_ended(gomaxprocs):
    gomaxprocs(1)
    goroutine = go(int)
    text = goroutine.stack()
    assert re.match(HEADER, text, re.MULTILINE)
    goroutine.join()
    assert "Traceback" not in goroutine.stack()
    assert goroutine.id not in blocks(runtime.stack(all=True))


def test_stack_of_a_running_goroutine_from_another_one():
    """The main goroutine asks; on a free-threaded build the other one may run at that very moment."""
    over = threading.Event()

    def spin_in_python():
        while not over.is_set():
            runtime.gosched()

    goroutine = go(spin_in_python)
    for _ in range(100):
        runtime.gosched()
        assert list(blocks(goroutine.stack())) == [goroutine.id]
        assert goroutine.id in blocks(runtime.stack(all=True))
    over.set()
    goroutine.join()


# lock_os_thread


def test_lock_os_thread_wires_a_goroutine_to_a_thread_of_its_own(run_programs):
    """Also on the main thread. json: whether the locked goroutine stayed, whether another one came."""
    program = """
        import json, sys, threading
        from gopy import Chan, go, runtime

        locked = sys.argv[1] == "main"
        visitors, mine = set(), set()
        ready, over, ping, pong = threading.Event(), Chan(), Chan(), Chan()

        def visitor():
            for _ in range(50):
                visitors.add(threading.get_ident())
                runtime.gosched()
            over.send(None)

        def partner():
            for value in ping:
                visitors.add(threading.get_ident())
                pong.send(value)
            over.send(None)

        def wired():
            runtime.lock_os_thread()
            runtime.lock_os_thread()
            runtime.unlock_os_thread()  # as often as it was locked
            ready.set()
            for i in range(100):
                mine.add(threading.get_ident())
                ping.send(i)
                pong.recv()
            ping.close()
            runtime.unlock_os_thread()
            runtime.unlock_os_thread()  # once too often is no error
            over.send(None)

        if locked:
            for _ in range(20):
                go(visitor)
            go(partner)
            runtime.lock_os_thread()
            go(lambda: over.send(None))
            for i in range(100):
                mine.add(threading.get_ident())
                ping.send(i)
                pong.recv()
            ping.close()
        else:
            go(wired)
            ready.wait()  # in C: another M starts it
            for _ in range(20):
                go(visitor)
            go(partner)
        for _ in range(22):
            over.recv()
        print(json.dumps([len(mine), not visitors & mine]))
    """
    results = run_programs(
        (program.replace("sys.argv[1]", repr(who)), {"env": {"GOMAXPROCS": n}})
        for who in ("main", "goroutine")
        for n in "128"
    )
    for result in results:
        assert (result.returncode, result.stderr) == (0, "")
        assert json.loads(result.stdout) == [1, True]


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs Linux's /proc")
def test_a_goroutine_that_ends_locked_takes_its_thread_with_it(run_program):
    result = run_program(
        """
        import os, threading
        import gopy
        from gopy import Chan, go, runtime

        started, idents = threading.Event(), []

        def wired():
            runtime.lock_os_thread()
            idents.append(threading.get_native_id())
            started.set()

        go(wired)
        started.wait()  # in C: another M starts it
        assert idents[0] != threading.get_native_id()
        while str(idents[0]) in os.listdir("/proc/self/task"):
            gopy.time.sleep(0.001)
        ch = Chan()
        go(ch.send, "alive")
        assert ch.recv() == "alive"
        """
    )
    assert (result.returncode, result.stderr) == (0, "")


# Wrong arguments


@pytest.mark.parametrize(
    ("fn", "args", "names"),
    [
        (runtime.GOMAXPROCS, ("2",), "n"),
        (runtime.GOMAXPROCS, (1.5,), "n"),
        (runtime.GOMAXPROCS, (None,), "n"),
        (runtime.GOMAXPROCS, (1, 2), None),
        (runtime.num_cpu, (1,), None),
        (runtime.num_goroutine, (1,), None),
        (runtime.current, (1,), None),
        (runtime.goroutines, (1,), None),
        (runtime.gosched, (1,), None),
        (runtime.goexit, (1,), None),
        (runtime.lock_os_thread, (1,), None),
        (runtime.unlock_os_thread, (1,), None),
        (runtime.stats, (1,), None),
        (runtime.stack, ("yes",), "all"),
        (runtime.stack, (True, True), None),
        (runtime.dump_on, ("SIGQUIT",), "signum"),
        (runtime.dump_on, (None,), "signum"),
        (runtime.dump_on, (), None),
        (runtime.set_panic_handler, (1,), "handler"),
        (runtime.set_panic_handler, ("print",), "handler"),
        (runtime.set_panic_handler, (), None),
        (gopy.time.sleep, ("1",), "seconds"),
        (gopy.time.sleep, (None,), "seconds"),
        (gopy.time.sleep, (), None),
    ],
)
def test_arguments_of_a_wrong_type(fn, args, names):
    before = runtime.GOMAXPROCS()
    with pytest.raises(TypeError, match=f"`{names}`" if names else None):
        fn(*args)
    assert runtime.GOMAXPROCS() == before


def test_arguments_that_are_positional_only():
    for fn, kwargs in [(runtime.GOMAXPROCS, {"n": 1}), (gopy.time.sleep, {"duration": 1})]:
        with pytest.raises(TypeError):
            fn(**kwargs)


def test_arguments_out_of_range():
    handlers = [signal.getsignal(n) for n in sorted(signal.valid_signals())]
    for signum in (0, -1, 100_000):
        with pytest.raises(ValueError, match="`signum`"):
            runtime.dump_on(signum)
    with pytest.raises(TypeError, match="`file`"):
        runtime.dump_on(signal.SIGQUIT, file=3)
    with pytest.raises(ValueError, match="`seconds`"):
        gopy.time.sleep(float("nan"))
    assert [signal.getsignal(n) for n in sorted(signal.valid_signals())] == handlers


def test_what_is_due_as_an_m_changes_its_p_is_run(run_program):
    """main's P retires, main takes the other, idle one, and finds a timer due: nothing goes to the retired one."""
    program = """
        import sys
        import time as pytime
        from gopy import go, runtime, time

        async def sleeper():
            due.append(pytime.monotonic() + 0.3)
            await time.asleep(0.3)
            woken.append(None)

        def blocks():
            blocked.append(None)
            pytime.sleep(0.1)

        due, woken, blocked = [], [], []
        time.sleep(0.001)  # now main has the first P, and the second is idle
        runtime.GOMAXPROCS(2)
        go(sleeper)
        while not due:
            time.sleep(0.01)
        go(blocks)
        while not blocked:
            pytime.sleep(0.001)  # sysmon hands main's P to another M
        go(int).join()  # main takes the second P
        while pytime.monotonic() < due[0] - 0.1:
            pass  # the other M goes idle, and the first P with it
        sys.setswitchinterval(10)
        while pytime.monotonic() < due[0] + 0.001:
            pass
        runtime.GOMAXPROCS(1)
        runtime.gosched()
        sys.setswitchinterval(0.005)
        ends = pytime.monotonic() + 10
        while not woken:
            assert pytime.monotonic() < ends, "it is lost"
            time.sleep(0.01)
    """
    done = run_program(program, env={"GOMAXPROCS": "1"})
    assert (done.returncode, done.stderr) == (0, "")


def test_dir_shows_its_own_names_only():
    assert dir(runtime) == sorted(runtime.__all__)
