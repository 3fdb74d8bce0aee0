"""What only a parked goroutine refers to stays alive: through collections, at every kind of blocking point.

On free-threaded 3.14 and 3.15 frames refer to functions, code and types without counting, and it is for
csrc/python/pyframes.c to show the collector those of parked goroutines. Elsewhere the same programs show that nothing of the kind is needed.
A failure is a wrong answer or a crash, so each program runs in a process of its own.
"""

import gc
import sys
import sysconfig
import weakref

import pytest

from gopy import Chan, go, runtime

NEEDS_REMEDY = bool(sysconfig.get_config_var("Py_GIL_DISABLED")) and sys.version_info[:2] in (
    (3, 14),
    (3, 15),
)

# Every goroutine takes a function, a type or a method from its module's globals into a local, parks, and uses it when
# the name has long been rebound and other objects have taken the memory.
PROGRAM = """
import functools, gc, sys
from gopy import Chan, default, go, recv, runtime, select, send
from gopy import time as gotime

n, freeze = int(sys.argv[1]), sys.argv[2] == "freeze"
if freeze:
    gc.disable()

gate, answers, nobody, empty = Chan(), Chan(n), Chan(), Chan()
gone = go(gate.recv)

def closed(action):
    from gopy import ClosedChannelError
    try:
        action()
    except ClosedChannelError:
        pass

def iterates():
    for _ in gate:
        pass

def sleeps():
    while not select(recv(gate), default)[0] == 0:
        gotime.sleep(0.01)

def yields():
    while not select(recv(gate), default)[0] == 0:
        runtime.gosched()
        gotime.sleep(0.005)

def times_out():
    try:
        empty.recv(timeout=0.05)
    except TimeoutError:
        gate.recv()

class Descriptor:
    def __get__(self, instance, owner):
        gate.recv()

class Attribute:
    parks = Descriptor()
    def __getattr__(self, name):
        gate.recv()
    def __len__(self):
        gate.recv()
        return 1
    def __eq__(self, other):
        gate.recv()
        return True
    __hash__ = None
    def __enter__(self):
        gate.recv()
    def __exit__(self, *exc):
        pass
    def __del__(self):
        gate.recv()

def with_statement():
    with Attribute():
        pass

def deletes():
    thing = Attribute()
    thing = None

def in_generator():
    def generates():
        local = functools.partial
        yield gate.recv()
        assert local is functools.partial
    for _ in generates():
        pass

def in_handler():
    try:
        raise KeyError
    except KeyError:
        gate.recv()

def in_class():
    class Body:
        gate.recv()

WAYS = [
    gate.recv,
    gate.recv_ok,
    functools.partial(closed, lambda: nobody.send(None)),
    lambda: select(recv(gate)),
    lambda: select(recv(gate), recv(empty)),
    functools.partial(closed, lambda: select(recv(gate), send(nobody, 1))),
    lambda: gate.recv(timeout=60),
    gone.join,
    iterates,
    sleeps,
    yields,
    times_out,
    lambda: Attribute().parks,
    lambda: Attribute().other,
    lambda: len(Attribute()),
    lambda: [Attribute()].index(3),
    lambda: sorted([1, 2], key=lambda _: gate.recv() or 0),
    lambda: [gate.recv() for _ in range(2)],
    lambda: exec("gate.recv()"),
    with_statement,
    deletes,
    in_generator,
    in_handler,
    in_class,
]

def deeper(depth, park):
    local = lambda: depth
    if depth == 0:
        park()
    else:
        deeper(depth - 1, park)
    assert local() == depth

MAKE = '''
def function{i}(x={i}):
    return {i}, x
class Type{i}:
    def method(self):
        return {i}
async def coroutine{i}():
    return {i}
def body{i}():
    function, type, method, new = function{i}, Type{i}, Type{i}.method, lambda: {i}
    coroutine, code, park = coroutine{i}, function{i}.__code__, park{i}
    started.append({i})
    deeper({i} % 13, park)
    driven = coroutine()
    try:
        driven.send(None)
    except StopIteration as stop:
        driven = stop.value
    if not (function() == ({i}, {i}) and type().method() == method(None) == new() == driven == {i}
            and code.co_name == "function{i}" and type.__name__ == "Type{i}"):
        answers.send({i})
    else:
        answers.send(None)
'''
started = []
space = {"__name__": "space", "deeper": deeper, "answers": answers, "started": started}
for i in range(n):
    space[f"park{i}"] = WAYS[i % len(WAYS)]
    exec(MAKE.format(i=i), space)
for i in range(n):
    go(space[f"body{i}"])
while len(started) < n or runtime.stats()["parked"] < n * 9 // 10:  # some of them wake now and then
    gotime.sleep(0.001)
if freeze:
    gc.freeze()
for i in range(n):
    for name in (f"function{i}", f"Type{i}", f"coroutine{i}", f"body{i}", f"park{i}"):
        del space[name]
rounds = 3
while rounds:
    gc.collect()
    other = {}
    for i in range(n):
        exec(MAKE.replace("{i}", f"{i + 10_000_000}"), other)
    rounds -= 1
nobody.close()
gate.close()
wrong = [answer for _ in range(n) if (answer := answers.recv()) is not None]
print(len(wrong), wrong[:10])
"""


@pytest.mark.slow
@pytest.mark.parametrize("procs", [1, 8])
@pytest.mark.parametrize("how", ["plain", "freeze"])
def test_what_only_a_parked_goroutine_refers_to_stays_alive(run_program, procs, how):
    done = run_program(PROGRAM, 600, how, env={"GOMAXPROCS": str(procs)}, timeout=60)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "0 []\n")


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_what_a_goroutine_takes_after_a_freeze_stays_alive(run_program, procs):
    """gc.freeze() makes the collector pass over the greenlets that exist, and these go on and take other objects."""
    done = run_program(
        """
        import gc, weakref
        from gopy import Chan, go, time

        n, gate, go_on, answers = 50, Chan(), Chan(), Chan(50)
        space = {"gate": gate, "go_on": go_on, "answers": answers}
        for i in range(n):
            exec(f"def body{i}():\\n go_on.recv()\\n local = f{i}\\n gate.recv()\\n answers.send(local() == {i})", space)

        def park():
            while not all(g.state == "chan receive" for g in goroutines):
                time.sleep(0.001)

        goroutines = [go(space[f"body{i}"]) for i in range(n)]
        park()
        gc.freeze()
        refs = []
        for i in range(n):
            exec(f"def f{i}(): return {i}", space)
            refs.append(weakref.ref(space[f"f{i}"]))
        for _ in range(n):
            go_on.send(None)
        park()
        for i in range(n):
            del space[f"f{i}"]
        for _ in range(3):
            gc.collect()
            for i in range(n):
                exec(f"def f{i}(): return 'wrong'", {})
        alive = sum(ref() is not None for ref in refs)
        gate.close()
        print(alive, sum(answers.recv() for _ in range(n)))
        """,
        env={"GOMAXPROCS": str(procs)},
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "50 50\n")


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("procs", [1, 2, 8])
def test_what_thousands_of_parked_goroutines_refer_to_stays_alive(run_program, procs):
    for _ in range(5):
        done = run_program(PROGRAM, 5000, "plain", env={"GOMAXPROCS": str(procs)}, timeout=120)
        assert (done.returncode, done.stderr, done.stdout) == (0, "", "0 []\n")


def test_what_the_parked_main_goroutine_refers_to_stays_alive(run_program):
    done = run_program(
        """
        import gc
        from gopy import Chan, go

        def target():
            return "right"

        def collects():
            global target
            del target
            for i in range(20):
                gc.collect()
                exec("def other(): return 'wrong'", {})
            gate.close()

        gate = Chan()

        def main():
            local = target
            go(collects)
            gate.recv()
            print(local())

        main()
        """
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "right\n")


def test_what_is_parked_survives_collections_in_traffic(run_program):
    """Goroutines rebind, park, resume and end while others collect, on several Ms at once.

    On busy cores each collection and each hand-over between Ms takes milliseconds; so they are counted."""
    done = run_program(
        """
        import gc
        from gopy import Chan, go

        gc.set_threshold(500)
        source = "def f(): return {0}\\ndef g(ch, out):\\n h = f\\n out.send(1)\\n for _ in range(3):\\n  ch.recv()\\n out.send(h() == {0})"
        ch, results = Chan(), Chan(150)

        def round(i):
            space, out = {}, Chan()
            exec(source.format(i), space)
            g = space["g"]
            go(g, ch, out)
            del space["g"], g
            out.recv()
            exec(source.format(i + 1), space)
            if i % 5 == 0:
                gc.collect()
            results.send(out.recv())

        def feed():
            while True:
                ch.send(None)

        for _ in range(3):
            go(feed)
        for i in range(150):
            go(round, i)
        print(sum(results.recv() for _ in range(150)))
        """,
        env={"GOMAXPROCS": "4"},
        timeout=50,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "150\n")


def test_a_forked_child_collects_in_peace(run_program):
    done = run_program(
        """
        import gc, os
        from gopy import Chan, go, runtime

        gate, result = Chan(), Chan()

        def forks():
            local = eval("lambda: 42")
            pid = os.fork()
            if pid == 0:
                mine, back = Chan(), Chan()

                def body():
                    inner = eval("lambda: 43")
                    mine.recv()
                    back.send(inner())

                for _ in range(20):
                    go(body)
                runtime.gosched()
                for _ in range(5):
                    gc.collect()
                mine.close()
                os._exit(0 if local() == 42 and {back.recv() for _ in range(20)} == {43} else 1)
            result.send(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

        for _ in range(100):
            go(gate.recv)
        go(forks)
        print(result.recv())
        """,
        flags=["-W", "ignore::DeprecationWarning"],  # of a fork in a process with threads
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "0\n")


@pytest.mark.skipif(
    runtime.stats()["gil"] is False and sys.version_info[:2] == (3, 13),
    reason="3.13t makes functions immortal",
)
def test_garbage_of_goroutines_that_have_ended_is_collected(until):
    gate, refs = Chan(), []

    def start():
        space = {"refs": refs, "gate": gate, "ref": weakref.ref}
        exec("def f(): pass\ndef body():\n g = f\n refs.append(ref(g))\n gate.recv()\n g()", space)
        return go(space["body"])

    goroutines = [start() for _ in range(50)]
    until(lambda: all(g.state == "chan receive" for g in goroutines))
    gc.collect()
    assert all(ref() is not None for ref in refs)
    gate.close()
    for g in goroutines:
        g.join()

    def collected():
        gc.collect()
        return not any(ref() for ref in refs)

    until(collected)


@pytest.mark.skipif(
    not NEEDS_REMEDY, reason="NOT TESTED HERE: the remedy of free-threaded 3.14 and 3.15, which this is not"
)
def test_the_remedy_is_compiled_in():
    assert "gopy_thaw" in [getattr(each, "__name__", "") for each in gc.callbacks]
