"""runtime.leaked() and stackful goroutines: what their frames refer to is accounted for, and nobody is accused wrongly."""

import pytest

EACH_P = pytest.mark.parametrize("procs", ["1", "2", "8"])

# Each of ACCUSED starts goroutines whose name is its own, all of them leaked; each of INNOCENT one that is not.
PROGRAM = """
import atexit, contextvars, functools, gc, os, signal, sys, threading, weakref
from gopy import Chan, aselect, context, go, nilchan, recv, runtime, select, semaphore, send, sync, time
from gopy import signal as gosignal
from gopy.runtime import gosched

STACKFUL_ENDS = []
kept = []  # reachable by all
gate = Chan()


def start(fn, *args):
    goroutine = go(fn, *args)
    goroutine.name = sys._getframe(1).f_code.co_name
    return goroutine


def receives(ch):
    ch.recv()


def deep(ch, depth):
    local = [ch, depth]
    if depth:
        deep(ch, depth - 1)
    else:
        local[0].recv()


class Worker:
    def __init__(self):
        self.ch = Chan()

    def run(self):
        while True:
            self.ch.recv()


ACCUSED = []
INNOCENT = []
accused, innocent = ACCUSED.append, INNOCENT.append


@accused
def receive():
    start(receives, Chan())


@accused
def bound_method():
    start(Chan().recv)


@accused
def sending():
    start(Chan().send, [1])


@accused
def sending_a_local():
    def sends(ch):
        value = {"a": Chan()}
        ch.send(value)

    start(sends, Chan())


@accused
def loop():
    def loops(ch):
        for i in range(3):
            for value in ch:
                pass

    start(loops, Chan(2))


@accused
def selecting():
    def selects(a, b):
        while True:
            index, value, ok = select(recv(a), send(b, [a]), recv(nilchan))

    start(selects, Chan(), Chan())


@accused
def no_cases():
    start(select)


@accused
def nil():
    start(nilchan.recv)


@accused
def below_others():
    start(deep, Chan(), 20)


@accused
def closure():
    ch = Chan()
    start(lambda: ch.recv())


@accused
def method():
    start(Worker().run)


@accused
def in_an_expression():
    def adds(ch):
        return [ch, (ch, len([ch])), ch.recv() + 1, f"{ch.recv()}"]

    start(adds, Chan())


@accused
def within_with_and_try():
    def body(ch):
        with sync.Mutex():
            try:
                raise KeyError
            except KeyError:
                pass
            try:
                for _ in [1, 2]:
                    ch.recv()
            finally:
                ch = None

    start(body, Chan())


@accused
def each_other():
    def waits(mine, other):
        mine.recv()
        other.send(1)

    a, b = Chan(), Chan()
    start(waits, a, b)
    start(waits, b, a)


@accused
def chain():
    def first(mine, others):
        mine.recv()
        others.close()

    def last(ch, goroutine):
        goroutine.join()
        ch.close()

    a, b = Chan(), Chan()
    start(last, Chan(), start(first, a, b))
    start(receives, b)


@accused
def request_and_reply():
    requests, reply = Chan(), Chan()
    start(requests.send, reply)
    start(receives, reply)


@accused
def stackless_for_stackful():
    async def arecv(mine, others):
        await mine.arecv()
        await others.asend(1)

    a, b = Chan(), Chan()
    start(arecv, a, b)
    start(receives, b)


@accused
def stackless_selects():
    async def selects(a, b):
        await aselect(recv(a), send(b, [a]))

    start(selects, Chan(), Chan())


@accused
def mutex():
    mu = sync.Mutex()
    mu.lock()
    start(mu.lock)


@accused
def mutex_in_a_with():
    def takes(mu):
        with mu:
            pass

    mu, rw = sync.Mutex(), sync.RWMutex()
    mu.lock()
    rw.lock()
    start(takes, mu)
    start(takes, mu)
    start(takes, rw)


@accused
def rwmutex():
    mu = sync.RWMutex()
    mu.lock()
    start(mu.rlock)
    start(mu.lock)


@accused
def waitgroup():
    wg = sync.WaitGroup()
    ch = Chan()
    wg.go(receives, ch)
    runtime.goroutines()[-1].name = "waitgroup"
    start(wg.wait)


@accused
def cond():
    def waits(cond):
        with cond.L:
            cond.wait()

    start(waits, sync.Cond(sync.Mutex()))


@accused
def of_a_context():
    def waits(ctx, cancel):
        ctx.done().recv()

    start(waits, *context.with_cancel(context.background()))


# What must not be accused.


def known_to(holder):
    ch = Chan()
    holder(ch)
    goroutine = go(receives, ch)
    goroutine.name = sys._getframe(1).f_code.co_name


@innocent
def timer():
    start(lambda: time.after(1000).recv())


@innocent
def timeout():
    start(lambda: Chan().recv(timeout=1000))


@innocent
def select_with_timeout():
    start(lambda: select(recv(Chan()), timeout=1000))


@innocent
def select_with_timer():
    start(lambda: select(recv(Chan()), recv(time.after(1000))))


@innocent
def mutex_in_a_with_of_which_a_method_is_known():
    def takes(mu):
        with mu:
            pass

    mu = sync.Mutex()
    mu.lock()
    start(takes, mu)
    start(takes, mu)
    METHODS.append(mu.__exit__)


@innocent
def sleep():
    start(time.sleep, 1000)


@innocent
def deadline():
    ctx, cancel = context.with_timeout(context.background(), 1000)
    start(lambda: ctx.done().recv())


@innocent
def cancelled_from_elsewhere():
    ctx, cancel = context.with_cancel(context.background())
    kept.append(cancel)
    start(lambda: context.with_value(ctx, "a", 1).done().recv())


@innocent
def after_func():
    known_to(lambda ch: time.after_func(1000, lambda: ch.close()))


@innocent
def ticker():
    def ticks(ch, ticker):
        while True:
            ticker.c.recv()
            ch.send(1)

    known_to(lambda ch: go(ticks, ch, time.Ticker(1000)))


@innocent
def descriptor():
    def reads(ch, fd):
        runtime.wait_read(fd)
        ch.send(1)

    r, w = os.pipe()
    known_to(lambda ch: go(reads, ch, r))


@innocent
def blocking_call():
    from gopy import blocking

    event = threading.Event()
    STACKFUL_ENDS.append(event.set)
    known_to(lambda ch: go(blocking, lambda: event.wait() and ch.close()))


@innocent
def plain_thread():
    event = threading.Event()
    STACKFUL_ENDS.append(event.set)

    def runs(ch):
        event.wait()
        ch.close()

    def begin(ch):
        thread = threading.Thread(target=runs, args=[ch], daemon=True)
        thread.start()

    known_to(begin)


@innocent
def plain_thread_that_waits():
    ch, other = Chan(), Chan()

    def runs():
        other.recv()
        ch.close()

    threading.Thread(target=runs, daemon=True).start()
    start(receives, ch)


@innocent
def global_list():
    known_to(kept.append)


@innocent
def attribute():
    class Holder:
        pass

    holder = Holder()
    kept.append(holder)
    known_to(lambda ch: setattr(holder, "ch", ch))


@innocent
def class_attribute():
    class Holder:
        pass

    kept.append(Holder())
    known_to(lambda ch: setattr(Holder, "ch", ch))


@innocent
def module():
    known_to(lambda ch: setattr(sync, "for_a_test", ch))


@innocent
def in_another_channel():
    box = Chan(1)
    kept.append(box)
    known_to(lambda ch: box.send(ch.send_only()))


@innocent
def weak_reference():
    known_to(lambda ch: kept.append(weakref.ref(ch)))


@innocent
def weak_values():
    weak = weakref.WeakValueDictionary()
    kept.append(weak)
    known_to(lambda ch: weak.__setitem__("key", ch))


@innocent
def callback_of_a_weak_reference():
    class Thing:
        pass

    thing = Thing()
    kept.append(thing)
    known_to(lambda ch: kept.append(weakref.ref(thing, lambda _: ch.close())))


@innocent
def at_exit():
    known_to(lambda ch: atexit.register(ch.send_only))


@innocent
def signal_handler():
    known_to(lambda ch: signal.signal(signal.SIGUSR1, lambda *_: ch.close()))


@innocent
def notified():
    known_to(lambda ch: gosignal.notify(ch, signal.SIGUSR2))


@innocent
def context_variable():
    variable = contextvars.ContextVar("variable")

    def waits():
        gate.recv()

    def begin(ch):
        variable.set(ch)
        go(waits)
        variable.set(None)

    known_to(begin)


@innocent
def caught_exception():
    def waits(box):
        try:
            raise KeyError(box.pop())
        except KeyError:
            gate.recv()

    known_to(lambda ch: go(waits, [ch]))


@innocent
def generator():
    def generates(ch):
        yield 1
        ch.close()

    def begin(ch):
        made = generates(ch)
        next(made)
        kept.append(made)

    known_to(begin)


@innocent
def running_generator():
    def generates(ch):
        gate.recv()
        yield ch.close()

    known_to(lambda ch: go(list, generates(ch)))


@innocent
def behind_c():
    def waits(_):
        gate.recv()

    known_to(lambda ch: go(lambda box: sorted([box.pop()], key=waits), [ch]))
    known_to(lambda ch: go(lambda box: list(map(waits, [box.pop()])), [ch]))
    known_to(lambda ch: go(functools.partial(functools.partial, waits)(ch)))
    known_to(lambda ch: go(lambda box: gate.recv_ok(*box[:0]) and box, [ch]))


@innocent
def argument_of_another():
    def waits(ch):
        gate.recv()

    known_to(lambda ch: go(waits, ch))
    known_to(lambda ch: go(waits, {"ch": [ch]}))


@innocent
def in_the_frame_of_who_looks():
    known_to(NOT_STARTED.append)


@innocent
def yields():
    def goes_on(ch):
        while not gate_is_closed:
            gosched()
        ch.close()

    known_to(lambda ch: go(goes_on, ch))


@innocent
def mutex_that_is_held():
    mu = sync.Mutex()
    mu.lock()

    def unlocks():
        gate.recv()
        mu.unlock()

    go(unlocks)
    start(mu.lock)


@innocent
def group():
    wg = sync.WaitGroup()
    wg.go(gate.recv)
    start(wg.wait)


@innocent
def join():
    start(go(gate.recv).join)


@innocent
def cond_that_is_known():
    cond = sync.Cond(sync.Mutex())

    def waits():
        with cond.L:
            cond.wait()

    kept.append(cond.signal)
    start(waits)


@innocent
def greenlet_of_its_own():
    import greenlet

    def body(box):
        inner = greenlet.greenlet(lambda ch: gate.recv())
        inner.switch(box.pop())

    known_to(lambda ch: go(body, [ch]))


@innocent
def greenlet_that_is_suspended():
    import greenlet

    def body(box):
        inner = greenlet.greenlet(lambda ch: inner.parent.switch())
        inner.switch(box.pop())
        gate.recv()

    known_to(lambda ch: go(body, [ch]))


@innocent
def what_is_sent():
    ch = Chan()
    start(gate_out.send, ch)
    start(receives, ch)


NOT_STARTED, METHODS, gate_is_closed, gate_out = [], [], [], Chan()


def settled():
    waiting = [g for g in runtime.goroutines() if g.state in ("runnable", "running") and g.name != "yields.<locals>.goes_on"]
    return len(waiting) <= 1  # this one


def begin(make):
    for each in make:
        each()
    while not settled():
        time.sleep(0.001)


def look(local, method):
    # Both are in this frame, and nowhere else.
    return sorted(g.name for g in runtime.leaked())
"""

ACCUSED = """
begin(ACCUSED)

def compare():
    twice = ["each_other", "request_and_reply", "rwmutex", "stackless_for_stackful", "waitgroup"]
    thrice = ["chain", "mutex_in_a_with"]
    expected = sorted([each.__name__ for each in ACCUSED] + twice + thrice * 2)
    found = look(None, None)
    if found == expected:
        print("all")
    else:
        print("missed:", set(expected) - set(found), "wrongly:", set(found) - set(expected), found)
"""

INNOCENT = """
begin(INNOCENT)

def compare():
    print(*look(NOT_STARTED.pop(), METHODS.pop()))
    gate_is_closed.append(True)
"""

WHO = {
    "goroutine": "goroutine = go(compare)\ngoroutine.join()\n",
    "main": "compare()\n",
    "thread": "thread = threading.Thread(target=compare)\nthread.start()\nwhile thread.is_alive(): time.sleep(0.001)\n",
}


@EACH_P
@pytest.mark.parametrize("who", WHO)
def test_all_are_found(run_program, who, procs):
    done = run_program(PROGRAM + ACCUSED + WHO[who], env={"GOMAXPROCS": procs})
    assert (done.returncode, done.stdout, done.stderr) == (0, "all\n", "")


@EACH_P
@pytest.mark.parametrize("who", WHO)
def test_nobody_is_accused_wrongly(run_program, who, procs):
    done = run_program(PROGRAM + INNOCENT + WHO[who], env={"GOMAXPROCS": procs})
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
