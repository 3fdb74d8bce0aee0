"""The standard library in a bubble of gopy.testing."""

import pytest

PROCS = pytest.mark.parametrize("procs", [1, pytest.param(2, marks=pytest.mark.soak), 8])
ONCE = pytest.mark.parametrize("procs", [*(pytest.param(n, marks=pytest.mark.soak) for n in (1, 8)), 2])
IMPORTS = """
import queue, threading, time
from concurrent.futures import ThreadPoolExecutor
from gopy import runtime, testing

now, real_sleep, real_now = time.monotonic, monkey.original("time", "sleep"), monkey.original("time", "monotonic")

def took(fn, *args):
    before = now()
    return now() - before if (result := told(fn, *args)) is None else (result, now() - before)

def until(condition):  # for threads, which the bubble's clock does not wait for
    while not condition():
        real_sleep(0.0005)
"""


@PROCS
def test_the_clocks_and_what_waits_for_them(ok, procs):
    ok(
        """
import asyncio

def body():
    assert (time.monotonic(), time.time()) == (0, 946684800)
    time.sleep(5)
    assert (time.monotonic_ns(), time.time_ns()) == (5 * 10**9, 946684805 * 10**9)
    event = threading.Event()
    thread = threading.Thread(target=event.set)  # a thread is outside: the clock waits for it
    thread.start()
    assert event.wait(20)
    thread.join()
    assert event.wait(0.001) and threading.Event().wait(0.001) is False
    assert time.monotonic() == 5

    async def coroutine():
        await asyncio.sleep(0.001)

    asyncio.run(coroutine())
    time.sleep(5)
    assert time.monotonic() == 10

testing.synctest(body)
assert real_now() <= time.monotonic() <= real_now() and time.time() > 10**9
print("done")
""",
        procs,
        "done",
    )


@PROCS
def test_waits_with_a_timeout_are_on_the_bubbles_clock(ok, procs):
    ok(
        """
def body():
    lock, rlock, condition, full = threading.Lock(), threading.RLock(), threading.Condition(), queue.Queue(1)
    lock.acquire()
    full.put(1)
    stays = go(lambda: (rlock.acquire(), time.sleep(1000)))
    testing.wait()
    with condition:
        print(took(condition.wait, 1), took(condition.wait_for, lambda: None, 2))
    print(took(lock.acquire, True, 3), took(rlock.acquire, True, 4), took(threading.Event().wait, 5))
    print(took(threading.Semaphore(0).acquire, True, 6), took(threading.Barrier(2).wait, 7))
    print(took(queue.Queue().get, True, 8), took(full.put, 2, True, 9), took(queue.SimpleQueue().get, True, 10))
    print(took(queue.PriorityQueue().get, True, 0.5), took(queue._PySimpleQueue().get, True, 0.25))

testing.synctest(body)
testing.synctest(body, seed=1)
""",
        procs,
        *(
            "(False, 1.0) 2.0",
            "(False, 3.0) (False, 4.0) (False, 5.0)",
            "(False, 6.0) ('BrokenBarrierError: ', 7.0)",
            "('Empty: ', 8.0) ('Full: ', 9.0) ('Empty: ', 10.0)",
            "('Empty: ', 0.5) ('Empty: ', 0.25)",
        )
        * 2,
    )


@ONCE
def test_what_is_left_of_a_timeout_is_left_on_the_bubbles_clock(ok, procs):
    """Who is woken in vain waits again."""
    ok(
        """
def body():
    condition, items = threading.Condition(), queue.Queue()
    def wakes():
        for _ in range(5):
            time.sleep(1)
            with condition:
                condition.notify_all()
    go(wakes)
    with condition:
        print(took(condition.wait_for, lambda: None, 3.5))

    def loser(_):
        print(took(items.get, True, 7.5))
    def puts():
        with items.not_empty:
            time.sleep(1)
            items.not_empty.notify_all()
        time.sleep(1)
        items.put(1)
    wg = gopy.sync.WaitGroup()
    for _ in range(2):
        wg.go(loser, 0)
    testing.wait()  # both wait, before it takes their lock
    go(puts)
    wg.wait()
    print(now())

testing.synctest(body)
""",
        procs,
        "3.5",
        "(1, 2.0)",
        "('Empty: ', 7.5)",
        "11.0",
    )


@PROCS
def test_the_clock_goes_on_while_they_wait(ok, procs):
    ok(
        """
def body():
    items, simple, event = queue.Queue(), queue.SimpleQueue(), threading.Event()
    semaphore, barrier, lock = threading.Semaphore(0), threading.Barrier(2), threading.Lock()
    def wakes():
        time.sleep(1); items.put(1)
        time.sleep(1); simple.put(1)
        time.sleep(1); event.set()
        time.sleep(1); semaphore.release()
        time.sleep(1); barrier.wait()
        with lock:
            time.sleep(1)
    go(wakes)
    for wait in items.get, simple.get, event.wait, semaphore.acquire, barrier.wait:
        wait()
        print(now(), end=" ")
    testing.wait()
    with lock:
        print(now())
    go(items.get)
    testing.wait()  # returns, since that one waits durably

try:
    testing.synctest(body)
except gopy.Panic as panic:
    print(str(panic).partition(chr(10))[0], "sync.Cond.Wait" in str(panic))
""",
        procs,
        "1.0 2.0 3.0 4.0 5.0 6.0",
        "deadlock: main bubble goroutine has exited but blocked goroutines remain True",
    )


@PROCS
def test_all_end_when_one_panics(ok, procs):
    ok(
        """
def body():
    ended, lock, event, items = [], threading.RLock(), threading.Event(), queue.SimpleQueue()
    condition = threading.Condition(lock)
    def waits(wait):
        try:
            wait()
        finally:
            ended.append(1)
    def waits_with():
        with condition:
            waits(condition.wait)
    for _ in range(10):
        go(waits, event.wait)
        go(waits, items.get)
        go(waits_with)
    testing.wait()
    try:
        with lock:
            go(lambda: 1 / 0)
            items.get()
    finally:
        results.append(ended)

results = []
print(told(testing.synctest, body), len(results[0]), runtime.num_goroutine())
""",
        procs,
        "ZeroDivisionError: division by zero 30 1",
    )


@ONCE
def test_what_was_made_outside_is_awaited_in_real_time(ok, procs):
    ok(
        """
lock, items, simple, event, semaphore = (threading.Lock(), queue.Queue(), queue.SimpleQueue(), threading.Event(),
                                         threading.Semaphore(0))
lock.acquire()
gate = Chan(1)

def body():
    print(lock.acquire(timeout=0.001), told(items.get, True, 0.001), told(simple.get, True, 0.001), event.wait(0.001))
    print(semaphore.acquire(timeout=0.001), now())
    gate.send(None)
    print(lock.acquire(), items.get(), event.wait(), now())  # no deadlock, though all others wait as well

def outside():
    gate.recv()
    lock.release()
    items.put(1)
    event.set()

go(outside)
testing.synctest(body)
""",
        procs,
        "False Empty:  Empty:  False",
        "False 0.0",
        "True 1 True 0.0",
    )


@PROCS
def test_a_thread_may_wake_what_began_to_wait_before_it(ok, procs):
    """All wait, and for nothing but the bubble's own things: this is no deadlock while the thread may know them."""
    ok(
        """
def body():
    items, me = queue.Queue(), runtime.current()
    consumer = go(lambda: print(items.get(), now()))
    testing.wait()
    def worker():
        until(lambda: me.state == "join")
        items.put("from a thread")
    thread = threading.Thread(target=worker)
    thread.start()
    consumer.join()
    thread.join()
    print(threading.Event().wait(0.001), now())  # real time, from here on

testing.synctest(body)
""",
        procs,
        "from a thread 0.0",
        "False 0.0",
    )


@PROCS
def test_a_pool_from_outside(ok, procs):
    """What is put into its queue may have the bubble's things with it."""
    ok(
        """
pool = ThreadPoolExecutor(1)
pool.submit(int).result()
requests = queue.Queue()

def serves():
    for reply, me in iter(requests.get, None):
        until(lambda: me.state == "sync.Cond.Wait")
        reply.put("reply")

def body():
    me = runtime.current()
    print(pool.submit(until, lambda: me.state == "sync.Cond.Wait").result(), now())

def asks():
    reply = queue.Queue()
    requests.put((reply, runtime.current()))
    print(reply.get(), now())

thread = threading.Thread(target=serves)
thread.start()
testing.synctest(body)
testing.synctest(asks)
requests.put(None)
thread.join()
pool.shutdown()
""",
        procs,
        "None 0.0",
        "reply 0.0",
    )


@PROCS
def test_a_timer_in_a_bubble_is_a_goroutine(ok, procs):
    ok(
        """
class Repeats(threading.Timer):
    def run(self):
        while not self.finished.wait(self.interval):
            self.function()

def body():
    me = []
    timer = threading.Timer(5, lambda: me.append(threading.current_thread()))
    print(told(timer.join), timer.is_alive())
    timer.start()
    print(timer.is_alive(), took(timer.join, 2), timer.is_alive(), took(timer.join), timer.is_alive())
    print(me == [timer], told(timer.start), now())
    cancelled = threading.Timer(5, print, ["never"])
    cancelled.start()
    cancelled.cancel()
    print(took(cancelled.join))
    ticks = []
    repeats = Repeats(10, lambda: ticks.append(now()))
    repeats.start()
    time.sleep(35)
    repeats.cancel()
    print(took(repeats.join), ticks)
    threading.excepthook = lambda args: print(args.exc_type.__name__, args.thread is fails)
    fails = threading.Timer(1, lambda: 1 / 0)
    fails.start()
    fails.join()
    print(threading.active_count(), took(threading.Event().wait, 1))

testing.synctest(body)
outside = threading.Timer(0.001, print, ["outside"])
outside.start()
outside.join()
print(outside.is_alive())
""",
        procs,
        "RuntimeError: cannot join thread before it is started False",
        "True 2.0 True 3.0 False",
        "True RuntimeError: threads can only be started once 5.0",
        "0.0",
        "0.0 [15.0, 25.0, 35.0]",
        "ZeroDivisionError True",
        "1 (False, 1.0)",
        "outside",
        "False",
    )


@ONCE
def test_explore_finds_a_lost_wake_up_of_a_condition(ok, procs):
    ok(
        """
def body():
    condition, ready = threading.Condition(), []
    def waiter():
        if not ready:
            with condition:
                condition.wait()
    def notifier():
        with condition:
            ready.append(True)
            condition.notify()
    go(waiter)
    go(notifier)

def seed_of():
    try:
        testing.explore(body)
    except gopy.Panic as panic:
        return panic.__notes__[-1]

note = seed_of()
print("replays it" in note, note == seed_of())
""",
        procs,
        "True True",
    )


@ONCE
def test_a_child_that_is_forked_in_a_bubble(ok, procs):
    ok(
        """
import os

def body():
    event, lock = threading.Event(), threading.Lock()
    lock.acquire()
    go(event.wait)
    testing.wait()
    pid = os.fork()
    if pid == 0:
        lock._at_fork_reinit()
        event._at_fork_reinit()
        lock.acquire()
        ok = (took(event.wait, 5), took(lock.acquire, True, 6)) == ((False, 5), (False, 6))
        os._exit(0 if ok else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    event.set()

testing.synctest(body)
""",
        procs,
        "0",
        flags=["-W", "ignore::DeprecationWarning"],
    )
