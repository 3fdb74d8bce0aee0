"""sysmon: a blocked thread delays only what is bound to it, and what has nothing to do costs nothing."""

import json
import statistics

import pytest


@pytest.mark.quiet
@pytest.mark.parametrize("gomaxprocs", [1, 2])
def test_blocked_main_delays_nobody(gomaxprocs, run_program, machine_delay):
    """main is in the standard library's time.sleep: what it started runs elsewhere within 20 ms."""
    program = """
        import json
        import time as pytime
        from gopy import Chan, go

        def note(begun):
            lateness.append(pytime.monotonic() - begun)

        lateness = []
        for i in range(7):
            started = [go(note, pytime.monotonic()) for _ in range(5)]
            while len(lateness) < 5 * (i + 1):
                pytime.sleep(0.15)
        print(json.dumps(lateness))
    """
    done = run_program(program, env={"GOMAXPROCS": str(gomaxprocs)})
    assert (done.returncode, done.stderr) == (0, "")
    lateness = json.loads(done.stdout)
    assert len(lateness) == 35
    assert statistics.median(lateness) < 0.020 + machine_delay(), lateness


@pytest.mark.quiet
@pytest.mark.parametrize("gomaxprocs", [1, 2])
def test_blocked_goroutine_delays_nobody(gomaxprocs, run_program, machine_delay):
    """A goroutine in the standard library's time.sleep(1): goroutines on other threads go on, within 20 ms.

    The ticker lives on a thread of its own (main's), the blocker on another; what the ticker starts while the
    blocker holds a P may not wait for it either.
    """
    program = """
        import json, threading
        import time as pytime
        from gopy import Chan, go, time

        def block():
            threads.append(threading.get_ident())
            pytime.sleep(1)
            ended.append(pytime.monotonic())

        def note(begun):
            lateness.append(pytime.monotonic() - begun)

        threads, ended, lateness, gaps = [], [], [], []
        blocker = go(block)
        while not threads:
            pytime.sleep(0.001)  # blocks this thread, so that it starts on another
        assert threads[0] != threading.get_ident()
        while not ended:
            begun = pytime.monotonic()
            go(note, begun).join()
            time.sleep(0.002)
            gaps.append(pytime.monotonic() - begun)
        blocker.join()
        print(json.dumps([lateness, gaps]))
    """
    done = run_program(program, env={"GOMAXPROCS": str(gomaxprocs)})
    assert (done.returncode, done.stderr) == (0, "")
    lateness, gaps = json.loads(done.stdout)
    assert len(gaps) > 40 or machine_delay() > 0.010, "it waited for the blocked one"
    lateness.sort()
    gaps.sort()
    assert statistics.median(lateness) < 0.020 + machine_delay()
    assert statistics.median(gaps) < 0.020 + machine_delay()
    assert gaps[len(gaps) * 9 // 10] < 0.030 + 2 * machine_delay(), gaps[-10:]


@pytest.mark.quiet
@pytest.mark.parametrize("gomaxprocs", [1, 2])
def test_blocked_goroutine_on_mains_thread(gomaxprocs, run_program, machine_delay):
    """A goroutine blocks main's own thread: main must wait, but what is bound to other threads need not."""
    program = """
        import json, threading
        import time as pytime
        from gopy import Chan, go, runtime, time

        def tick():
            threads.append(threading.get_ident())
            last = pytime.monotonic()
            while not over:
                time.sleep(0.002)
                now = pytime.monotonic()
                if blocking:
                    gaps.append(now - last)
                last = now

        def block():
            if threading.get_ident() != mains:
                return  # main had lost its P as it started this one
            blocking.append(1)
            pytime.sleep(1)
            blocking.clear()
            over.append(1)

        mains = threading.get_ident()
        threads, gaps, over, blocking = [], [], [], []
        ticker = go(tick)
        while not threads:
            pytime.sleep(0.001)  # blocks this thread, so that it starts on another
        assert threads[0] != mains
        while not over:
            go(block).join()
        ticker.join()
        print(json.dumps(gaps))
    """
    done = run_program(program, env={"GOMAXPROCS": str(gomaxprocs)})
    assert (done.returncode, done.stderr) == (0, "")
    gaps = sorted(json.loads(done.stdout))
    assert len(gaps) > 40 or machine_delay() > 0.010, "it waited for the blocked one"
    assert statistics.median(gaps) < 0.020 + machine_delay()
    assert gaps[len(gaps) * 9 // 10] < 0.030 + 2 * machine_delay(), gaps[-10:]


@pytest.mark.quiet
@pytest.mark.parametrize("gomaxprocs", [1, 2])
def test_many_blocked_goroutines_overlap(gomaxprocs, run_program, machine_delay):
    """Twenty goroutines in time.sleep(0.3) each get a thread: together they take little more than one."""
    program = """
        import time as pytime
        from gopy import go

        begun = pytime.monotonic()
        for goroutine in [go(pytime.sleep, 0.5) for _ in range(20)]:
            goroutine.join()
        print(pytime.monotonic() - begun)
    """
    done = run_program(program, env={"GOMAXPROCS": str(gomaxprocs)})
    assert (done.returncode, done.stderr) == (0, "")
    assert 0.5 <= float(done.stdout) < 2.5 + 20 * machine_delay()


@pytest.mark.parametrize("gomaxprocs", [1, 4])
def test_parked_goroutines_use_no_cpu(gomaxprocs, run_program):
    """With every goroutine parked, some of them on far timers, the process sleeps: no busy waiting."""
    program = """
        import time as pytime
        from gopy import Chan, go, recv, runtime, select, time

        ch = Chan()
        goroutines = [go(ch.recv) for _ in range(1000)]
        goroutines += [go(select, recv(ch), recv(Chan())) for _ in range(100)]
        goroutines += [go(time.sleep, 100) for _ in range(100)]
        while any(g.state in ("runnable", "running") for g in goroutines):
            time.sleep(0.001)
        for _ in range(5):  # sysmon and the idle threads come to rest, spare workers are freed
            used = pytime.process_time()
            time.sleep(0.3)
            print(pytime.process_time() - used)
    """
    done = run_program(program, env={"GOMAXPROCS": str(gomaxprocs)})
    assert (done.returncode, done.stderr) == (0, "")
    assert min(map(float, done.stdout.split())) < 0.020 * 0.3


def test_main_parked_with_a_live_thread_uses_no_cpu(run_program):
    """Nor does the look for a deadlock, while a plain thread keeps the program from being one."""
    program = """
        import threading
        import time as pytime
        from gopy import Chan

        ch = Chan()

        def plain():
            for _ in range(5):
                used = pytime.process_time()
                pytime.sleep(0.3)
                spent.append(pytime.process_time() - used)
            ch.send(min(spent))

        spent = []
        threading.Thread(target=plain).start()
        print(ch.recv())
    """
    done = run_program(program)
    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout) < 0.020 * 0.3


@pytest.mark.quiet
@pytest.mark.parametrize("gomaxprocs", [1, 2])
def test_blocked_goroutine_does_not_delay_a_wakeup_from_a_thread(gomaxprocs, run_program, machine_delay):
    """A plain thread sends to a goroutine on another M while the main goroutine blocks its own."""
    program = """
        import json, threading
        import time as pytime
        from gopy import Chan, go

        def receive():
            ready.set()
            for sent in ch:
                lateness.append(pytime.monotonic() - sent)

        def feed():
            blocking.wait()
            for _ in range(40):
                ch.send(pytime.monotonic())
                pytime.sleep(0.01)
            over.set()

        ch, lateness = Chan(8), []
        ready, blocking, over = threading.Event(), threading.Event(), threading.Event()
        receiver = go(receive)
        ready.wait()  # in C: another M starts it
        threading.Thread(target=feed).start()
        blocking.set()
        while not over.is_set():
            pytime.sleep(0.1)
        ch.close()
        receiver.join()
        print(json.dumps(lateness))
    """
    done = run_program(program, env={"GOMAXPROCS": str(gomaxprocs)})
    assert (done.returncode, done.stderr) == (0, "")
    lateness = sorted(json.loads(done.stdout))
    assert len(lateness) == 40
    assert statistics.median(lateness) < 0.020 + machine_delay()
    assert lateness[len(lateness) * 9 // 10] < 0.030 + 2 * machine_delay(), lateness[-10:]


def test_out_of_memory_while_sysmon_attaches(run_program):
    """Main computes, and a descriptor that another goroutine of its thread waits for has come: that is sysmon's to tell."""
    pytest.importorskip("_testcapi")
    done = run_program(
        """
        import os, threading
        from time import monotonic

        import _testcapi
        from gopy import go, runtime

        def spin():
            end = monotonic() + 0.2
            while monotonic() < end:
                pass

        def wait():
            if threading.get_ident() != mains:
                return  # main had lost its P as it started this one
            runtime.wait_read(inlet)
            os.read(inlet, 1)

        inlet, outlet = os.pipe()
        mains = threading.get_ident()
        for nomemory in (False, True):
            waiting = go(wait)
            while waiting.state != "IO wait":
                if waiting.state == "dead":
                    waiting = go(wait)
                runtime.gosched()
            os.write(outlet, b"x")
            if nomemory:
                _testcapi.set_nomemory(0)
            spin()
            if nomemory:
                _testcapi.remove_mem_hooks()
            waiting.join()
        """,
        env={"GOMAXPROCS": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
