"""gopy.monkey: threading.Condition and Event, and queue.SimpleQueue."""

import pytest

PROCS = pytest.mark.parametrize("procs", [1, pytest.param(2, marks=pytest.mark.soak), 8])
IMPORTS = "import gc, os, queue, signal, sys, threading, time, weakref"


@PROCS
def test_what_a_condition_says(ok, procs):
    ok(
        """
for kind in (threading.Lock, threading.RLock):
    condition = threading.Condition(kind())
    print(told(condition.wait), told(condition.notify), told(condition.notify_all))
    with condition:
        print(told(condition.wait, "x"), told(condition.wait, 1e100), told(condition.wait, 1, 2)[:30])
        print(told(condition.notify, "x"), told(condition.notify, -1), told(condition.notify, 1 << 400), condition.notify(n=2))
        print(condition.wait(0), condition.wait(-1), condition.wait(timeout=0.001), repr(condition)[-5:])
    print(condition._lock.acquire(False), condition.release())
with condition, condition:
    print(condition.wait(0.001), condition._is_owned(), condition.release(), condition._is_owned(), condition.acquire())
    other = threading.Thread(target=lambda: print(told(condition.wait), told(condition.notify)))
    other.start()
    other.join()
print(condition._is_owned(), isinstance(condition, threading.Condition), threading.Condition.wait.__name__)
""",
        procs,
        *(
            "RuntimeError: cannot wait on un-acquired lock RuntimeError: cannot notify on un-acquired lock "
            "RuntimeError: cannot notify on un-acquired lock",
            "TypeError: must be real number, not str OverflowError: timeout value is too large "
            "TypeError: Condition.wait() ta",
            "TypeError: must be real number, not str None None None",
            "False False False , 0)>",
            "True None",
        )
        * 2,
        "False True None True True",
        "RuntimeError: cannot wait on un-acquired lock RuntimeError: cannot notify on un-acquired lock",
        "False True wait",
    )


@PROCS
@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_the_one_that_has_waited_longest_comes_first(ok, procs, kind):
    ok(
        f"""
condition, order = threading.Condition(threading.{kind}()), []
def waiter(i):
    with condition:
        order.append((i, condition.wait(30)))
def until(n):
    while True:
        with condition:
            if len(condition._waiters) == n:
                return
        time.sleep(0.0005)
threads = []
def notified(n, left):
    with condition:
        condition.notify(n)
    until(left)
    while len(order) < 6 - left:
        time.sleep(0.0005)
    print(sorted(order))
for i in range(6):  # goroutines and threads, in turn
    if i % 2:
        go(waiter, i)
    else:
        threads.append(threading.Thread(target=waiter, args=(i,)))
        threads[-1].start()
    until(i + 1)
notified(1, 5)
order_was = list(order)
notified(2, 3)
with condition:
    condition.notify_all()
[thread.join() for thread in threads]
while len(order) < 6:
    time.sleep(0.0005)
print(order_was, sorted(order) == [(i, True) for i in range(6)], len(condition._waiters))
""",
        procs,
        "[(0, True)]",
        "[(0, True), (1, True), (2, True)]",
        "[(0, True)] True 0",
    )


@PROCS
def test_a_wait_that_times_out_takes_no_notification(ok, procs):
    """The library's own would: its waiter is on the list until it has the lock again."""
    ok(
        """
from gopy import testing
def body():
    condition = threading.Condition(threading.Lock())
    def waiter(timeout):
        with condition:
            print(timeout, condition.wait(timeout), time.monotonic())
    for timeout in (1, 30):
        go(waiter, timeout)
        testing.wait()
    with condition:
        time.sleep(2)  # the short one gives up, and cannot have the lock
        print(len(condition._waiters))
        condition.notify()
testing.synctest(body)
""",
        procs,
        "1",
        "1 False 2.0",
        "30 True 2.0",
    )


@PROCS
@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_an_interrupted_wait_has_the_lock(ok, procs, kind):
    """A signal's handler raises: while main waits for a notification; and while it has one and waits for the lock."""
    ok(
        f"""
condition, held, go_on = threading.Condition(threading.{kind}()), threading.Event(), threading.Event()
class Stop(Exception):
    pass
raised = []
def handler(*args):
    raised.append(1)
    raise Stop
signal.signal(signal.SIGUSR1, handler)
def waits(n):
    while True:
        with condition:
            if len(condition._waiters) == n:
                return
        time.sleep(0.0005)
def first():
    waits(1)
    os.kill(os.getpid(), signal.SIGUSR1)
threading.Thread(target=first).start()
with condition:
    print(told(condition.wait), condition._is_owned(), len(condition._waiters))
print(condition._lock.acquire(False), condition.release())

also = []
def second():
    with condition:
        also.append(condition.wait(30))
go(second)
def third():
    waits(2)
    with condition:
        condition._waiters_were = len(condition._waiters)
        condition.notify()
        os.kill(os.getpid(), signal.SIGUSR1)
        while len(raised) < 2:  # main has been told of both, and waits for the lock
            time.sleep(0.001)
    go_on.set()
with condition:
    starter = threading.Thread(target=third)
    starter.start()
    print(told(condition.wait), condition._is_owned())
starter.join()
with condition:  # main was first or second in the queue: whoever was not, has been notified
    if len(condition._waiters):
        condition.notify()
while not also:
    time.sleep(0.001)
print(also, len(raised))
""",
        procs,
        "Stop:  True 0",
        "True None",
        "Stop:  True",
        "[True] 2",
    )


@PROCS
def test_subclasses_and_other_locks_are_the_library_s(ok, procs):
    ok(
        """
class Counting(threading.Condition):
    saved = 0
    def _release_save(self):
        Counting.saved += 1
        return super()._release_save()
class Own(threading.Condition):
    def wait(self, timeout=None):
        return ("mine", super().wait(timeout))
class Bare:
    def __init__(self):
        self.inner = threading.Lock()
        self.acquire, self.release, self.calls = self.inner.acquire, self.inner.release, []
    def __enter__(self):
        self.calls.append("enter")
        return self.acquire()
    def __exit__(self, *args):
        self.calls.append(len(args))
        self.release()
    def locked(self):
        return self.inner.locked()
    def _at_fork_reinit(self):
        self.inner._at_fork_reinit()
bare = Bare()
for condition in (Counting(threading.Lock()), Own(), threading.Condition(bare)):
    got = []
    def waiter():
        with condition:
            got.append(condition.wait(30))
    waits = go(waiter)
    while not condition._waiters:
        time.sleep(0.0005)
    with condition:
        condition.notify_all()
    waits.join()
    with condition:
        print(type(condition._waiters).__name__, got, condition.wait(0.001))
print(Counting.saved > 0, bare.calls.count("enter") == bare.calls.count(3) > 1)
class Plain(threading.Condition):
    extra = 1
print(type(Plain()._waiters).__name__, type(threading.Event()._cond._waiters).__name__, type(queue.Queue().not_empty._waiters).__name__)
""",
        procs,
        "deque [True] False",
        "deque [('mine', True)] ('mine', False)",
        "deque [True] False",
        "True True",
        "Waiters Waiters Waiters",
    )


@PROCS
def test_events(ok, procs):
    ok(
        """
event = threading.Event()
print(event.is_set(), event.wait(0), event.wait(0.001), event.wait(timeout=-1), told(event.wait, "x"), told(event.wait, 1, 2)[:26])
print(event._cond.acquire(False), event._cond.release())
got = []
def waiter(*args):
    got.append(event.wait(*args))
threads = [threading.Thread(target=waiter, args=args) for args in ((), (None,), (30,))]
[thread.start() for thread in threads]
waiters = [go(waiter), go(waiter, 30)]
while len(event._cond._waiters) < 5:
    time.sleep(0.0005)
event.set()
[each.join() for each in threads + waiters]
print(got, event.is_set(), event.wait(0), event.set(), event.clear(), event.is_set(), repr(event)[-7:])
class Telling(threading.Event):
    def set(self):
        print("told")
        super().set()
telling = Telling()
timer = threading.Timer(0.001, telling.set)
timer.start()
print(telling.wait(30))
timer.join()
event._cond = threading.Condition(gopy.monkey.original("threading", "Lock")())
thread = threading.Thread(target=lambda: (time.sleep(0.001), event.set()))  # a goroutine might yield while it has that lock
thread.start()
while not event.wait(0.0001):
    time.sleep(0.0001)
thread.join()
print(type(event._cond._waiters).__name__, event.clear(), event.wait(0.001))
try:
    threading.Event.set(7)
except TypeError as exc:
    print("TypeError")
""",
        procs,
        "False False False False TypeError: must be real number, not str TypeError: Event.wait() ta",
        "True None",
        "[True, True, True, True, True] True True None None False  unset>",
        "told",
        "True",
        "deque None False",
        "TypeError",
    )


@PROCS
def test_a_forked_child_has_no_waiters(ok, procs):
    ok(
        """
import warnings
warnings.simplefilter("ignore")
condition = threading.Condition()
def waiter():
    with condition:
        condition.wait()
go(waiter)
while True:
    with condition:  # so the waiter has let go of it
        if len(condition._waiters):
            break
    time.sleep(0.0005)
sys.stdout.flush()
pid = os.fork()
if pid == 0:
    try:
        with condition:
            condition.notify()
            before = len(condition._waiters)
        condition._at_fork_reinit()
        got = []
        def child():
            with condition:
                got.append(condition.wait(30))
        thread = threading.Thread(target=child)
        thread.start()
        while not len(condition._waiters):
            time.sleep(0.0005)
        with condition:
            condition.notify_all()
        thread.join()
        os._exit(7 if (got, before) == ([True], 0) else 8)
    finally:
        os._exit(9)
print(os.waitpid(pid, 0)[1] >> 8)
with condition:
    condition.notify()
""",
        procs,
        "7",
        flags=("-W", "ignore"),
    )


@PROCS
def test_conditions_against_a_model(ok, procs):
    """Tokens that goroutines and threads put and take, with timeouts: none is lost, nobody waits while there is one."""
    ok(
        """
import random
seed = random.randrange(1 << 30)
lock = threading.RLock()
some, none = threading.Condition(lock), threading.Condition(lock)
state = {"tokens": 0, "taken": 0, "given": 0}
def giver(i):
    chance = random.Random(seed + i)
    for _ in range(60):
        with none:
            while state["tokens"] >= 5:
                none.wait(chance.choice([None, 0.002, 30]))
            state["tokens"] += 1
            state["given"] += 1
            chance.choice([some.notify, lambda: some.notify(2), some.notify_all])()
def taker(i):
    chance = random.Random(seed - i)
    for _ in range(60):
        with lock, some:
            while not state["tokens"]:
                some.wait(chance.choice([None, 0.002, 30, 0]))
                if not state["tokens"]:
                    time.sleep(0.0001)
            state["tokens"] -= 1
            state["taken"] += 1
            none.notify()
threads = [threading.Thread(target=fn, args=(i,)) for fn in (giver, taker) for i in range(2)]
[thread.start() for thread in threads]
all_of(lambda i: (giver if i % 2 else taker)(i), 8)
[thread.join() for thread in threads]
print(state, len(some._waiters), len(none._waiters), lock._is_owned(), lock.acquire(False)) if state["taken"] == 360 else print(seed, state)
""",
        procs,
        "{'tokens': 0, 'taken': 360, 'given': 360} 0 0 False True",
    )


@PROCS
def test_a_simple_queue_in_the_midst_of_itself(ok, procs):
    """A finalizer that puts, while the collector runs within another put() or get()."""
    ok(
        """
q = queue.SimpleQueue()
class Cycle:
    def __init__(self):
        self.me = self
    def __del__(self):
        q.put("again")
gc.set_threshold(2)
for i in range(3000):
    Cycle()
    q.put([i])
gc.set_threshold(700)
gc.collect()
got = [q.get() for _ in range(q.qsize())]
print(got.count("again"), [item for item in got if item != "again"] == [[i] for i in range(3000)], q.empty())
""",
        procs,
        "3000 True True",
    )


@PROCS
def test_what_a_simple_queue_says(ok, procs):
    ok(
        """
q = queue.SimpleQueue()
for call in (
    lambda: q.put(), lambda: q.put_nowait(1, 2), lambda: q.get(timeout="x"), lambda: q.get(timeout=1e100),
    lambda: q.get(timeout=-1), lambda: q.get(False, -1), lambda: q.get(block=True, timeout=0), lambda: q.get_nowait(),
    lambda: queue.SimpleQueue(1),
):
    try:
        print(call())
    except Exception as exc:
        print(type(exc).__name__)
q.put(1, True, None)
q.put(item=2, block=False, timeout=-5)
print(q.qsize(), q.get(), q.get(timeout=5), q.empty(), weakref.ref(q)() is q)
class Mine(queue.SimpleQueue):
    def __init__(self, name):
        self.name = name
print(Mine("x").name, isinstance(Mine("y"), queue.SimpleQueue))
class Big:
    pass
big = Big()
ref, loop = weakref.ref(big), queue.SimpleQueue()
loop.put(loop)
loop.put(big)
del loop, big
gc.collect()
print(ref())
deep = queue.SimpleQueue()
for _ in range(100000):
    outer = queue.SimpleQueue()
    outer.put(deep)
    deep = outer
del deep, outer
print("alive")
""",
        procs,
        *[
            "TypeError",
            "TypeError",
            "TypeError",
            "OverflowError",
            "ValueError",
            "Empty",
            "Empty",
            "Empty",
            "TypeError",
        ],
        "2 1 2 True True",
        "x True",
        "None",
        "alive",
    )


@PROCS
def test_an_interrupted_get(ok, procs):
    ok(
        """
q = queue.SimpleQueue()
class Stop(Exception):
    pass
def handler(*args):
    raise Stop
signal.signal(signal.SIGUSR1, handler)
main = gopy.runtime.current()
def kill():
    while main.state in ("running", "runnable"):
        time.sleep(0.0005)
    os.kill(os.getpid(), signal.SIGUSR1)
killer = threading.Thread(target=kill)
killer.start()
print(told(q.get))
killer.join()
q.put(1)
print(q.get())
""",
        procs,
        "Stop: ",
        "1",
    )


def test_a_simple_queue_and_a_condition_in_a_bubble(ok):
    """What threads use as well belongs to none."""
    ok(
        """
import concurrent.futures
from gopy import testing
def body():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        print(list(pool.map(abs, [-1, -2])))
    q = queue.Queue(1)
    go(lambda: [q.put(i) for i in range(3)])
    print([q.get() for _ in range(3)])
testing.synctest(body)
""",
        8,
        "[1, 2]",
        "[0, 1, 2]",
    )


def test_a_condition_has_what_the_library_gives_it(ok):
    """Attributes and all, whatever lock it is over, and however it is made."""
    ok(
        """
plain = monkey._registry.original("threading", "Condition")
def names(condition):
    return list(vars(condition))
for lock in (threading.Lock, threading.RLock):
    mine = threading.Condition(lock=lock())
    with mine:
        print(names(mine) == names(plain(lock())), mine.acquire.__self__ is mine._lock, mine.acquire(False))
print(names(threading.Condition()) == names(plain()), type(threading.Condition(None)._lock) is type(threading.RLock()))
class Sub(threading.Condition):
    def __init__(self, lock, extra):
        super().__init__(lock)
        self.extra = extra
print(names(Sub(None, 1))[:-1] == names(plain()), type(Sub(threading.Lock(), 1)._waiters).__name__)
print(told(threading.Condition, 1)[:14], told(threading.Condition, 1, 2)[:9], told(lambda: threading.Condition(locks=1))[:9])
""",
        1,
        "True True False",
        "True True True",
        "True True",
        "True Waiters",
        "AttributeError TypeError TypeError",
    )
