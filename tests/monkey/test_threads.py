"""gopy.monkey: time, threading and queue."""

import pytest

PROCS = pytest.mark.parametrize("procs", [1, pytest.param(2, marks=pytest.mark.soak), 8])
IMPORTS = "import gc, os, queue, sys, threading, time, weakref"


@PROCS
def test_sleep_parks(ok, procs):
    ok(
        """
order = []
def f(i):
    time.sleep(0)
    order.append(i)
    time.sleep(0.3)
begun = time.monotonic()
all_of(f, 100)
print(len(order), time.monotonic() - begun < 15)
for bad in (-1, float("nan"), "x"):
    try:
        time.sleep(bad)
    except (ValueError, TypeError) as exc:
        print(type(exc).__name__)
""",
        procs,
        "100 True",
        "ValueError",
        "ValueError",
        "TypeError",
    )


@PROCS
def test_a_lock_held_across_a_park(ok, procs):
    """The thread would block for ever on a lock of its own."""
    ok(
        """
lock, rlock, inside, most = threading.Lock(), threading.RLock(), [0], [0]
def f(i):
    with lock:
        time.sleep(0.0005)
        with rlock, rlock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.0005)
            inside[0] -= 1
all_of(f, 50)
def g(i):
    with rlock:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.0005)
        inside[0] -= 1
threads = [threading.Thread(target=all_of, args=(g, 10)) for _ in range(3)]
[t.start() for t in threads]
all_of(g, 20)
[t.join() for t in threads]
print(most[0], inside[0], lock.locked(), repr(rlock)[:30])
""",
        procs,
        "1 0 False <unlocked _thread.RLock object",
    )


def test_what_the_locks_say(ok):
    ok(
        """
lock, rlock = threading.Lock(), threading.RLock()
def error(fn, *args, **kwargs):
    try:
        print(fn(*args, **kwargs))
    except Exception as exc:
        print(f"{type(exc).__name__}: {exc}")
error(lock.release)
error(rlock.release)
error(lock.acquire, False, 1)
error(lock.acquire, timeout=-2)
error(lock.acquire, timeout=1e100)
print(lock.acquire(), lock.acquire(False), lock.acquire(timeout=0.001), lock.acquire(True, 0), lock.locked())
print(rlock.acquire(), rlock.acquire(blocking=0), rlock._is_owned(), rlock._recursion_count())
state = rlock._release_save()
print(state[0], state[1] == threading.get_ident(), rlock._is_owned())
rlock._acquire_restore(state)
rlock.release(); rlock.release()
error(rlock._release_save)
class Sub(threading.RLock().__class__):
    pass
print(Sub().acquire(), weakref.ref(lock)() is lock, isinstance(lock, threading.Lock if isinstance(threading.Lock, type) else object))
rlock.acquire()
other = threading.Thread(target=lambda: print(rlock.acquire(False), rlock._is_owned()))
other.start(); other.join()
""",
        1,
        "RuntimeError: release unlocked lock",
        "RuntimeError: cannot release un-acquired lock",
        "ValueError: can't specify a timeout for a non-blocking call",
        "ValueError: timeout value must be a non-negative number",
        "OverflowError: timeout value is too large",
        "True False False False True",
        "True True True 2",
        "2 True False",
        "RuntimeError: cannot release un-acquired lock",
        "True True True",
        "False False",
    )


@PROCS
def test_what_stands_on_the_locks(ok, procs):
    ok(
        """
q, event, barrier, semaphore = queue.Queue(3), threading.Event(), threading.Barrier(11), threading.Semaphore(2)
got, most, inside, counting = [], [0], [0], threading.Lock()
def consumer(i):
    event.wait()
    while (item := q.get()) is not None:
        got.append(item)
        with semaphore:
            with counting:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            time.sleep(0)
            with counting:
                inside[0] -= 1
    barrier.wait()
def producer():
    for i in range(300):
        q.put(i)
    for i in range(10):
        q.put(None)
thread = threading.Thread(target=producer)
thread.start()
go(lambda: (time.sleep(0.01), event.set()))
go(barrier.wait)
all_of(consumer, 10)
thread.join()
print(sorted(got) == list(range(300)), most[0] <= 2)
try:
    q.get(timeout=0.01)
except queue.Empty:
    print("empty")
""",
        procs,
        "True True",
        "empty",
    )


@PROCS
def test_simple_queue(ok, procs):
    ok(
        """
q, got = queue.SimpleQueue(), []
def consumer(i):
    while (item := q.get()) is not None:
        got.append(item)
def producer(i):
    for j in range(100):
        q.put((i, j))
threads = [threading.Thread(target=producer, args=(i,)) for i in range(2)]
done = gopy.sync.WaitGroup()
for i in range(5):
    done.go(consumer, i)
[t.start() for t in threads]
all_of(lambda i: producer(i + 2), 3)
[t.join() for t in threads]
[q.put(None) for _ in range(5)]
done.wait()
print(len(got), len(set(got)), q.empty(), q.qsize())
for call in (q.get_nowait, lambda: q.get(timeout=0.001), lambda: q.get(timeout=0)):
    try:
        call()
    except queue.Empty:
        print("empty")
try:
    q.get(timeout=-1)
except ValueError as exc:
    print(exc)
print(queue.SimpleQueue[int])
""",
        procs,
        "500 500 True 0",
        "empty",
        "empty",
        "empty",
        "'timeout' must be a non-negative number",
        "queue.SimpleQueue[int]",
    )


@PROCS
def test_locals_are_a_goroutine_s_own(ok, procs):
    ok(
        """
class Big:
    pass
class Sub(threading.local):
    made = []
    def __init__(self, a):
        self.a = a
        Sub.made.append(a)
plain, sub, refs, bad = threading.local(), Sub(7), [], []
plain.x = "main"
def f(i):
    if hasattr(plain, "x"):
        bad.append(("inherited", i))
    plain.x, plain.big = i, Big()
    refs.append(weakref.ref(plain.big))
    sub.a += i
    time.sleep(0.001)
    if plain.x != i or sub.a != 7 + i:
        bad.append((i, plain.x, sub.a))
all_of(f, 300)
def thread():
    plain.x = "thread"
    all_of(f, 50)
    assert plain.x == "thread"
threads = [threading.Thread(target=thread) for _ in range(3)]
[t.start() for t in threads]
[t.join() for t in threads]
while any(ref() is not None for ref in refs):  # whoever has waited for a goroutine's function may run before its end
    gc.collect()
    time.sleep(0.001)
print(bad, plain.x, len(refs), len(Sub.made))
""",
        procs,
        "[] main 450 451",
    )


@PROCS
def test_locals_of_stackless_goroutines(ok, procs):
    ok(
        """
class Big:
    pass
local, bad, refs = threading.local(), [], []
async def f(i):
    if hasattr(local, "x"):
        bad.append(("inherited", i))
    local.x, local.big = i, Big()
    refs.append(weakref.ref(local.big))
    for _ in range(5):
        await gopy.time.asleep(0.0005)
        await gopy.runtime.agosched()
        if local.x != i:
            bad.append((i, local.x))
async def unfinished():
    local.big = Big()
    refs.append(weakref.ref(local.big))
    await gopy.nilchan.arecv()
all_of(f, 100)
while any(ref() is not None for ref in refs):  # without a GIL the thread that made one frees it, in its own time
    gc.collect()
    time.sleep(0.001)
print(bad, len(refs), hasattr(local, "x"))
""",
        procs,
        "[] 100 False",
    )


def test_a_local_that_goes_before_its_users(ok):
    """Up to 3.12 its entries in the dicts of parked goroutines were found by the next local at its address, and crashed."""
    ok(
        """
class Sub(threading.local):
    pass
made, wake, over, seen = [], Chan(), Chan(), []
def f(i):
    for _ in range(20):
        wake.recv()
        made[0].x = i
        seen.append(hasattr(made[0], "y"))
        made[0].y = 1
        over.send(None)
for _ in range(5):
    go(f, _)
for round in range(20):
    made[:] = [Sub() if round % 2 else threading.local()]
    for _ in range(5):
        wake.send(None)
    for _ in range(5):
        over.recv()
    made.clear()
    gc.collect()
    made.append(threading.local())
print("alive")
""",
        1,
        "alive",
    )


@PROCS
def test_identities_and_current_thread(ok, procs):
    ok(
        """
import signal, logging, io
idents, names = set(), set()
main = threading.get_ident()
def f(i):
    me = threading.current_thread()
    ident = threading.get_ident()
    time.sleep(0.001)
    assert threading.current_thread() is me and threading.get_ident() == ident == me.ident
    assert me is not threading.main_thread() and isinstance(me, threading.Thread)
    assert me.is_alive() and not me.daemon and me.native_id
    assert me.name == f"goroutine-{gopy.runtime.current().id}"
    assert threading.Thread().daemon is False
    idents.add(ident)
    if i == 3:
        me.name = "renamed"
        assert threading.current_thread().name == "renamed"
        for call in (me.start, me.join, lambda: setattr(me, "daemon", True)):
            try:
                call()
            except RuntimeError as exc:
                names.add(str(exc))
    threads.append(me)
threads = []
all_of(f, 20)
print(len(idents), main in idents, sorted(names))
threads[0].join()
print(threads[0].is_alive(), threading.current_thread() is threading.main_thread(), len(threading.enumerate()))
print(threading.get_ident() == main == threading.main_thread().ident)
signal.signal(signal.SIGUSR1, lambda *a: print("signal"))
signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
time.sleep(0)
""",
        procs,
        "20 False ['cannot join current thread', 'cannot set daemon status of active thread', 'threads can only be started once']",
        "False True 1",
        "True",
        "signal",
    )


@PROCS
def test_waiting_for_threads(ok, procs):
    ok(
        """
go_on = threading.Event()
thread = threading.Thread(target=go_on.wait)
thread.start()
joined = []
def f(i):
    thread.join(0.001)
    joined.append(thread.is_alive())
    if len(joined) == 5:
        go_on.set()
    thread.join()
    joined.append(thread.is_alive())
all_of(f, 5)
print(joined.count(True), joined.count(False))
try:
    threading.Thread().join()
except RuntimeError as exc:
    print(exc)
""",
        procs,
        "5 5",
        "cannot join thread before it is started",
    )


@PROCS
def test_a_thread_that_outlives_main_and_needs_a_goroutine(ok, procs):
    ok(
        """
ch, told_so = Chan(), Chan(1)
def feeder():
    told_so.recv()
    time.sleep(0.05)
    ch.send("x")
go(feeder)
threading.Thread(target=lambda: print("got", ch.recv())).start()
print("main ends")
told_so.send(None)
""",
        procs,
        "main ends",
        "got x",
    )


@PROCS
@pytest.mark.filterwarnings("ignore")
def test_fork_in_a_goroutine(ok, procs):
    ok(
        """
import warnings
warnings.simplefilter("ignore")
rlock, out = threading.RLock(), []
def g(i):
    time.sleep(0.005)
    if i == 3:
        sys.stdout.flush()
        with rlock:
            me = threading.get_ident()
            pid = os.fork()
            assert rlock._is_owned() and threading.get_ident() == me
        if pid == 0:
            thread = threading.Thread(target=lambda: out.append(1))
            thread.start()
            thread.join()
            all_of(lambda i: time.sleep(0.01), 10)
            with rlock:
                pass
            ok = threading.main_thread() is threading.current_thread() and out == [1]
            os._exit(7 if ok else 8)
        print(gopy.blocking(os.waitpid, pid, 0)[1] >> 8)
all_of(g, 6)
""",
        procs,
        "7",
    )


@PROCS
def test_off_goroutines_nothing_changes(ok, procs):
    """Before the runtime has started, and on plain threads."""
    ok(
        """
time.sleep(0.001)
lock = threading.Lock()
with lock:
    pass
print(len(os.listdir("/proc/self/task")), gopy.runtime.stats()["ms"])
def body():
    time.sleep(0.001)
    with lock:
        time.sleep(0.001)
    assert threading.current_thread() is thread and thread.name == "plain"
    print(threading.get_ident() == thread.ident, threading.get_ident() < 1 << 62)
thread = threading.Thread(target=body, name="plain")
thread.start()
thread.join()
""",
        procs,
        "1 0",
        "True True",
    )


@PROCS
def test_logging_from_goroutines_and_threads(ok, procs):
    ok(
        """
import io, logging, logging.handlers, re
class Slow(io.StringIO):
    def write(self, text):
        time.sleep(0.0002)
        return super().write(text)
stream = Slow()
handler = logging.StreamHandler(stream)
handler.setFormatter(logging.Formatter("%(threadName)s %(thread)d %(message)s"))
log = logging.getLogger("x")
log.addHandler(handler)
log.propagate = False
def f(i):
    for j in range(3):
        log.warning("m%d-%d", i, j)
threads = [threading.Thread(target=f, args=(100 + i,)) for i in range(5)]
[t.start() for t in threads]
all_of(f, 30)
[t.join() for t in threads]
lines = stream.getvalue().splitlines()
print(len(lines), all(re.fullmatch(r"[-\\w ()]+ \\d+ m\\d+-\\d", line) for line in lines), sum("goroutine-" in line for line in lines))
""",
        procs,
        "105 True 90",
    )


@PROCS
def test_imports_futures_caches_and_context(ok, procs, tmp_path):
    (tmp_path / "slow_module.py").write_text("import time\ntime.sleep(0.02)\nwhole = True\n")
    ok(
        f"""
sys.path.insert(0, {str(tmp_path)!r})
import concurrent.futures, contextvars, decimal, functools, random
whole, calls, var = [], [], contextvars.ContextVar("var", default=None)
class Has:
    @functools.cached_property
    def value(self):
        calls.append(1)
        time.sleep(0.005)
        return 5
@functools.lru_cache
def cached(x):
    time.sleep(0.005)
    return x * 2
has = Has()
pool = concurrent.futures.ThreadPoolExecutor(4)
def f(i):
    import slow_module
    whole.append(slow_module.whole)
    var.set(i)
    with decimal.localcontext() as context:
        context.prec = i + 1
        assert pool.submit(lambda: (time.sleep(0.002), i)[1]).result() == i
        assert decimal.getcontext().prec == i + 1 and var.get() == i
    assert has.value == 5 and cached(i) == 2 * i
    assert 0 <= random.random() < 1
all_of(f, 20)
assert list(pool.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]
pool.shutdown()
print(whole == [True] * 20, var.get())
""",
        procs,
        "True None",
    )


@PROCS
@pytest.mark.parametrize("each", [500, pytest.param(2500, marks=pytest.mark.soak)])
def test_many_goroutines_leave_nothing_behind(ok, procs, each):
    ok(
        f"""
import logging
logging.basicConfig(stream=open(os.devnull, "w"))
class Value:
    pass
local, refs = threading.local(), []
def f(i):
    local.x = Value()
    refs.extend(map(weakref.ref, (local.x, threading.current_thread())))
    logging.warning("%d", i)
    time.sleep(0)
def left():
    gc.collect()
    return sum(ref() is not None for ref in refs), len(gc.get_objects()), sys.getallocatedblocks()
def round():
    all_of(f, {each})
    while left()[0]:  # without a GIL the thread that made one frees it, in its own time
        time.sleep(0.001)
    refs.clear()
round()
_, objects, blocks = left()
for _ in range(3):
    round()
while left()[1] > objects + {each} or left()[2] > blocks + {each} or gopy.runtime.num_goroutine() > 1:
    time.sleep(0.001)
print(len(threading._active), len(threading.enumerate()), gopy.runtime.num_goroutine())
""",
        procs,
        "1 1 1",
    )


@PROCS
@pytest.mark.parametrize("free", [False, True])
def test_locks_against_a_model(ok, procs, free):
    """Goroutines and threads that take and leave locks at random: who is inside is alone, and all come through."""
    ok(
        f"""
import random
seed = random.randrange(1 << 30)
locks = [threading.RLock() if {free} else threading.Lock() for _ in range(3)]
inside, wrong, count = [0] * 3, [], [0] * 3
def worker(i):
    chance = random.Random(seed + i)
    for _ in range(60):
        k = chance.randrange(3)
        if not locks[k].acquire(*chance.choice([(), (True, 30), (True,)])):
            wrong.append("timeout")
            continue
        inside[k] += 1
        if inside[k] != 1:
            wrong.append((seed, k, inside[k]))
        count[k] += 1
        if chance.random() < 0.3:
            time.sleep(chance.choice([0, 0.0001]))
        inside[k] -= 1
        locks[k].release()
threads = [threading.Thread(target=worker, args=(1000 + i,)) for i in range(3)]
[t.start() for t in threads]
all_of(worker, 20)
[t.join() for t in threads]
print(wrong, sum(count))
""",
        procs,
        "[] 1380",
    )
