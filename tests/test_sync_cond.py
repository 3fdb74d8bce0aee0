"""Package sync: Cond."""

import threading

import pytest

from gopy import Chan, Panic, go, runtime, sync


def in_thread(fn, *args):
    """Start fn(*args) on a thread that gopy does not run."""
    thread = threading.Thread(target=fn, args=args)
    thread.start()
    return thread


def lockers():
    rw = sync.RWMutex()

    class Own:
        """A Locker of one's own, whose unlock parks."""

        def __init__(self):
            self.ch = Chan(1)

        def lock(self):
            self.ch.send(None)

        def unlock(self):
            runtime.gosched()
            self.ch.recv()

    class Sub(sync.Mutex):
        pass

    return [sync.Mutex(), rw, rw.rlocker(), Own(), Sub()]


LOCKERS = pytest.mark.parametrize("which", range(5))


@LOCKERS
def test_cond_with_any_locker(which, until):
    locker = lockers()[which]
    cond, flag, awake = sync.Cond(locker), [], Chan(10)
    assert cond.L is locker

    def waiter():
        locker.lock()
        while not flag:
            cond.wait(timeout=20)
        awake.send(None)
        locker.unlock()

    gs = [go(waiter) for _ in range(5)]
    threads = [in_thread(waiter) for _ in range(2)]
    until(lambda: all(g.state == "sync.Cond.Wait" for g in gs))
    locker.lock()
    flag.append(1)
    cond.broadcast()
    locker.unlock()
    for g in gs + threads:
        g.join()
    assert len(awake) == 7


def test_cond_signals_in_order(until):
    m, got, gs = sync.Mutex(), [], []
    cond = sync.Cond(m)

    def waiter(i):
        with m:
            cond.wait()
            got.append(i)

    for i in range(5):
        gs.append(go(waiter, i))
        until(lambda: gs[-1].state == "sync.Cond.Wait")
    for i in range(3):
        cond.signal()
        gs[i].join()
        assert got == list(range(i + 1))
    cond.broadcast()
    for g in gs:
        g.join()
    assert sorted(got) == list(range(5))  # the last two compete for the mutex


@LOCKERS
def test_cond_timeout_locks_again(which):
    locker = lockers()[which]
    cond = sync.Cond(locker)
    locker.lock()
    for timeout in (0, -1, 0.001):
        with pytest.raises(TimeoutError):
            cond.wait(timeout=timeout)
    locker.unlock()  # it was locked
    cond.signal()


def test_a_signal_is_not_lost_to_one_that_has_timed_out(until):
    m, woken = sync.Mutex(), []
    cond = sync.Cond(m)

    def hasty():
        with m:
            try:
                cond.wait(timeout=0.001)
            except TimeoutError:
                woken.append("timeout")

    def patient():
        with m:
            cond.wait()
            woken.append("signal")

    hasty_ = go(hasty)
    until(lambda: hasty_.state == "sync.Cond.Wait" or woken)
    patient_ = go(patient)
    until(lambda: patient_.state == "sync.Cond.Wait" and woken)
    cond.signal()
    patient_.join()
    hasty_.join()
    assert woken == ["timeout", "signal"]


def test_cond_without_its_lock():
    for locker, message in zip(
        lockers()[:3],
        (
            "sync: unlock of unlocked mutex",
            "sync: Unlock of unlocked RWMutex",
            "sync: RUnlock of unlocked RWMutex",
        ),
        strict=True,
    ):
        cond = sync.Cond(locker)
        with pytest.raises(Panic, match=f"^{message}$"):
            cond.wait()
        cond.signal()  # nobody waits: it is lost, as it should be
        locker.lock()
        with pytest.raises(TimeoutError):
            cond.wait(timeout=0)
        locker.unlock()


def test_cond_arguments():
    for bad in (3, None, threading):
        with pytest.raises(TypeError, match=r"`l` must be a Locker, with lock\(\) and unlock\(\), got"):
            sync.Cond(bad)
    cond = sync.Cond(sync.Mutex())
    with pytest.raises(TypeError, match="must be a Locker"):
        cond.L = 3
    with pytest.raises(AttributeError):
        del cond.L
    other = sync.Mutex()
    cond.L = other
    assert cond.L is other
    with pytest.raises(TypeError):
        sync.Cond()
