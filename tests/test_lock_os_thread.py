"""lock_os_thread() and go_locked(): who may run on a thread, and that nobody is left behind on one."""

import os
import signal

import pytest

from gopy import Chan, go, runtime

PROCS = ["1", "2", "8"]


def finished(run_programs, program, **env):
    results = run_programs((program, {"env": {"GOMAXPROCS": n, **env}}) for n in PROCS)
    for result in results:
        assert (result.returncode, result.stderr) == (0, ""), result.stdout
    return [result.stdout for result in results]


def test_an_owner_on_mains_thread(run_programs):
    """The owner of something locks its thread and serves calls; main, which lives on that thread, calls."""
    program = """
        from gopy import Chan, go, runtime

        calls = Chan()

        def owner():
            runtime.lock_os_thread()
            for n, reply in calls:
                reply.send(n * n)

        o = go(owner)
        for n in range(200):
            reply = Chan()
            calls.send((n, reply))
            assert reply.recv() == n * n
        calls.close()
        o.join()
        print("all")
    """
    assert finished(run_programs, program) == ["all\n"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("start", ["go", "runtime.go_locked"])
def test_a_ring_of_locked_goroutines(start, run_programs):
    program = f"""
        from gopy import Chan, go, runtime

        n = 9
        chans = [Chan() for _ in range(n + 1)]

        def node(i):
            if {start!r} == "go":
                runtime.lock_os_thread()
            for value in chans[i]:
                chans[i + 1].send(value + 1)
            chans[i + 1].close()

        nodes = [{start}(node, i) for i in range(n)]
        for _ in range(100):
            chans[0].send(0)
            assert chans[n].recv() == n
        chans[0].close()
        for node in nodes:
            node.join()
        print("all")
    """
    assert finished(run_programs, program) == ["all\n"] * 3


def test_new_goroutines_run_elsewhere_beside_a_locked_pair_that_never_waits_long(run_programs):
    """main has locked its thread and hands a value to and fro with a goroutine there: what it has started runs, too."""
    program = """
        import threading
        from gopy import Chan, go, runtime

        ping, pong, homes, over = Chan(), Chan(), [], []

        def partner():
            for value in ping:
                pong.send(value)

        p = go(partner)
        ping.send(0)
        pong.recv()  # it lives on this thread
        runtime.lock_os_thread()

        @go
        def visitor():
            homes.append(threading.get_ident())

        while not homes:
            ping.send(0)
            pong.recv()
        assert homes[0] != threading.get_ident()
        ping.close()
        p.join()
        print("all")
    """
    assert finished(run_programs, program) == ["all\n"] * 3


def test_two_goroutines_lock_one_thread(run_programs):
    """The thread takes new goroutines again when both have unlocked it, each as often as it had locked."""
    program = """
        import threading
        from gopy import Chan, go, runtime

        gates = [Chan(), Chan()]
        locked = Chan(2)

        def locks(i):
            for _ in range(i + 1):
                runtime.lock_os_thread()
            locked.send(threading.get_ident())
            gates[i].recv()
            for _ in range(i + 1):
                runtime.unlock_os_thread()
            gates[i].recv()

        def home():
            ch = Chan()
            go(lambda: ch.send(threading.get_ident()))
            return ch.recv()

        both = [go(locks, i) for i in range(2)]
        mine = threading.get_ident()
        if [locked.recv() for _ in both] == [mine, mine]:
            assert home() != mine
            gates[0].send(None)
            assert home() != mine
            gates[1].send(None)
        else:  # without a GIL they may have started on two threads
            gates[0].send(None)
            gates[1].send(None)
        for gate in gates:
            gate.send(None)
        for goroutine in both:
            goroutine.join()
        print("all")
    """
    assert finished(run_programs, program) == ["all\n"] * 3


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="needs Linux's /proc")
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_go_locked_has_a_thread_of_its_own(kind, run_programs):
    """From its first instruction; nobody else ever runs there; the thread ends with it."""
    program = f"""
        import os, threading
        from gopy import Chan, go, runtime, time

        homes, others = [], set()

        def here():
            return threading.get_native_id()

        {kind} alone():
            for _ in range(20):
                homes.append(here())
                {"await time.asleep(0.0005)" if kind == "async def" else "time.sleep(0.0005)"}

        def beside():
            for _ in range(20):
                others.add(here())
                time.sleep(0.0005)

        goroutines = [runtime.go_locked(alone)] + [go(beside) for _ in range(10)]
        for g in goroutines:
            g.join()
        assert len(set(homes)) == 1 and homes[0] not in others and homes[0] != here()
        while str(homes[0]) in os.listdir("/proc/self/task"):
            time.sleep(0.001)
        print("all")
    """
    assert finished(run_programs, program) == ["all\n"] * 3


def test_go_locked_that_unlocks_leaves_an_ordinary_thread(run_programs):
    program = """
        import threading
        from gopy import Chan, runtime

        done = Chan()

        def alone():
            runtime.unlock_os_thread()
            done.send(threading.get_ident())

        runtime.go_locked(alone).join  # it is joined by its value
        assert done.recv() != threading.get_ident()
        print("all")
    """
    assert finished(run_programs, program) == ["all\n"] * 3


def test_many_go_locked_at_once(run_programs):
    program = """
        import threading
        from gopy import Chan, runtime

        gate, homes = Chan(), Chan(200)

        def alone():
            homes.send(threading.get_ident())
            gate.recv()

        goroutines = [runtime.go_locked(alone) for _ in range(100)]
        assert len({homes.recv() for _ in goroutines}) == 100
        gate.close()
        for g in goroutines:
            g.join()
        print("all")
    """
    assert finished(run_programs, program) == ["all\n"] * 3


def test_a_panic_of_a_locked_goroutine_ends_the_program(run_programs):
    program = """
        from gopy import Chan, runtime

        runtime.go_locked(lambda: 1 // 0)
        Chan().recv()
    """
    for result in run_programs((program, {"env": {"GOMAXPROCS": n}}) for n in PROCS):
        assert result.returncode == 1
        assert "GoroutinePanic: goroutine 2" in result.stderr


def test_a_deadlock_with_locked_goroutines_is_told(run_programs):
    program = """
        from gopy import Chan, go, runtime

        ch = Chan()

        def locks():
            runtime.lock_os_thread()
            ch.recv()

        go(locks)
        runtime.go_locked(ch.recv)
        ch.recv()
    """
    for result in run_programs((program, {"env": {"GOMAXPROCS": n}}) for n in PROCS):
        assert result.returncode == 1
        assert "all goroutines are asleep - deadlock!" in result.stderr
        assert "locked to thread" in result.stderr


@pytest.mark.parametrize("procs", PROCS)
def test_ctrl_c_reaches_main_beside_a_locked_goroutine(procs, start_program):
    program = start_program(
        """
        from gopy import Chan, go, runtime

        ready = Chan()

        def owner():
            runtime.lock_os_thread()
            ready.send(None)
            Chan().recv()

        go(owner)
        ready.recv()
        try:
            print("ready", flush=True)
            Chan().recv(timeout=60)  # not for ever: that is a deadlock, which may be told before the signal comes
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """,
        env={"GOMAXPROCS": procs},
    )
    program.wait_for(lambda: "ready\n" in program.stdout)
    os.kill(program.pid, signal.SIGINT)
    result = program.finish()
    assert (result.returncode, result.stdout) == (0, "ready\ninterrupted\n")


def test_go_locked_takes_what_go_takes():
    got = Chan(3)

    def plain(a, *, b):
        got.send((a, b))

    async def coroutine(a):
        await got.asend(a)

    def generator(a):
        yield got.asend(a)

    for g in (
        runtime.go_locked(plain, 1, b=2),
        runtime.go_locked(coroutine, 3),
        runtime.go_locked(generator(4)),
    ):
        assert isinstance(g, type(go(int)))
        g.join()
    assert sorted(map(str, (got.recv() for _ in range(3)))) == ["(1, 2)", "3", "4"]  # they start together


@pytest.mark.parametrize("args", [(), (1,), ("f",)])
def test_go_locked_refuses(args):
    with pytest.raises(TypeError, match="`fn`"):
        runtime.go_locked(*args)
