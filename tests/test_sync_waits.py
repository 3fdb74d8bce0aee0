"""Package sync: what interrupts, deadlocks and forks do to all waits of the package."""

import pytest


def test_ctrl_c_ends_waits_of_the_main_goroutine(run_program):
    """Of every primitive; a Cond has its lock again, a mutex has not."""
    done = run_program(
        """
        import os, signal
        from gopy import go, runtime, sync
        from gopy.time import sleep

        main = runtime.current()

        def interrupt(reason):
            while main.state != reason:
                sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)

        m, rw, wg, once = sync.Mutex(), sync.RWMutex(), sync.WaitGroup(), sync.Once()
        cond = sync.Cond(m)

        def interrupted(reason, call):
            g = go(interrupt, reason)
            try:
                call()
            except KeyboardInterrupt:
                print(reason)
            g.join()

        m.lock()
        interrupted("sync.Cond.Wait", cond.wait)
        assert m.locked()
        interrupted("sync.Mutex.Lock", m.lock)
        m.unlock()
        assert m.try_lock()
        m.unlock()
        rw.lock()
        interrupted("sync.RWMutex.Lock", rw.lock)
        interrupted("sync.RWMutex.RLock", rw.rlock)
        rw.unlock()
        assert rw.try_lock()
        wg.add()
        interrupted("sync.WaitGroup.Wait", wg.wait)
        wg.done()
        wg.wait(timeout=0)

        # A Cond whose lock another one has when Ctrl-C comes: not before it is free again.
        def holder():
            m.lock()
            interrupt("sync.Cond.Wait")
            while main.state != "sync.Mutex.Lock":
                sleep(0.001)
            print("waits for its lock")
            m.unlock()

        m.lock()
        go(holder)
        try:
            cond.wait()
        except KeyboardInterrupt:
            print("locked" if m.locked() else "unlocked")
        """
    )
    assert done.stderr == ""
    assert done.stdout.split("\n") == [
        "sync.Cond.Wait",
        "sync.Mutex.Lock",
        "sync.RWMutex.Lock",
        "sync.RWMutex.RLock",
        "sync.WaitGroup.Wait",
        "waits for its lock",
        "locked",
        "",
    ]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("m.lock(); m.lock()", "sync.Mutex.Lock"),
        ("rw.lock(); rw.rlock()", "sync.RWMutex.RLock"),
        ("rw.rlock(); rw.lock()", "sync.RWMutex.Lock"),
        ("wg.add(); wg.wait()", "sync.WaitGroup.Wait"),
        ("m.lock(); sync.Cond(m).wait()", "sync.Cond.Wait"),
        ("o.do(lambda: o.do(print))", "sync.Mutex.Lock"),
    ],
)
def test_waiting_for_nobody_is_a_deadlock(run_program, call, reason):
    done = run_program(
        f"""
        from gopy import sync, runtime
        m, rw, wg, o = sync.Mutex(), sync.RWMutex(), sync.WaitGroup(), sync.Once()
        {call}
        """
    )
    assert done.returncode == 1
    assert "all goroutines are asleep - deadlock!" in done.stderr
    assert reason in done.stderr


def test_in_the_child_of_a_fork(run_program):
    """Waiters of the parent are not there; a mutex that was free, or is the forking goroutine's, works."""
    done = run_program(
        """
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads may run
        from gopy import go, runtime, sync
        from gopy.time import sleep

        m, wg = sync.Mutex(), sync.WaitGroup()
        m.lock()
        waiters = [go(m.lock) for _ in range(3)]
        while not all(g.state == "sync.Mutex.Lock" for g in waiters):
            sleep(0.001)
        pid = os.fork()
        if pid == 0:
            m.unlock()
            for i in range(4):
                def body():
                    with m:
                        runtime.gosched()
                wg.go(body)
            wg.wait(timeout=10)
            m.lock(timeout=0)
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")
