"""The block and the mutex profile."""

import io
import json
import threading

import pytest

from gopy import Chan, _core, debug, go, runtime, sync, time
from gopy.debug import _waits

HELD = 0.01  # seconds


@pytest.fixture
def blocked():
    """The profile of blocking, on."""
    debug.block_profile(0)
    yield lambda: _waits.waits(_waits.BLOCK.counts(), {})
    debug.block_profile(None)


@pytest.fixture
def held():
    debug.mutex_profile(0)
    yield lambda: _waits.waits(_waits.MUTEX.counts(), {})
    debug.mutex_profile(None)


def of(found, function, reason):
    """Those whose newest frame is in that function, and that have waited for that."""
    return [
        one
        for one in found
        if one["frames"] and one["frames"][-1][2].endswith(function) and one["name"] == reason
    ]


def line_of(function, offset):
    return function.__code__.co_firstlineno + offset


def plain(ch):
    ch.recv()


async def coroutine(ch):
    await inner(ch)


async def inner(ch):
    await ch.arecv()


def generator(ch):
    yield ch.arecv()


WAITERS = {
    "plain": (plain, ["plain"], 1),
    "coroutine": (coroutine, ["coroutine", "inner"], 1),
    "generator": (generator, ["generator"], 1),
}


@pytest.mark.parametrize("procs", [1, 2, 8])
@pytest.mark.parametrize("kind", WAITERS)
def test_who_waits(kind, procs, gomaxprocs, blocked, until):
    gomaxprocs(procs)
    function, names, offset = WAITERS[kind]
    newest = {"inner": inner}.get(names[-1], function)
    ch = Chan()
    goroutines = [go(function, ch) for _ in range(3)]
    until(lambda: all(g.state == "chan receive" for g in goroutines))
    time.sleep(HELD)
    assert of(blocked(), names[-1], "chan receive") == []  # the waits are not over
    for _ in goroutines:
        ch.send(1)
    for goroutine in goroutines:
        goroutine.join()
    (one,) = of(blocked(), names[-1], "chan receive")
    assert one["count"] == 3
    assert one["seconds"] >= 3 * HELD
    assert HELD <= one["longest"] <= one["seconds"]
    assert one["frames"][-1] == (__file__, line_of(newest, offset), names[-1])
    assert [frame[2] for frame in one["frames"]][-len(names) :] == names


def test_a_thread_that_waits(blocked, until):
    ch = Chan()

    def of_a_thread():
        ch.recv()

    def sent():  # which it is only if somebody waits for it
        try:
            ch.send(1, timeout=0)
        except TimeoutError:
            return False
        return True

    thread = threading.Thread(target=of_a_thread)
    thread.start()
    until(sent)
    thread.join()
    (one,) = of(blocked(), "of_a_thread", "chan receive")
    assert one["count"] == 1


def test_short_waits_do_not_count():
    debug.block_profile(3600)
    ch = Chan()
    goroutine = go(ch.recv)
    ch.send(1)
    goroutine.join()
    assert _waits.BLOCK.counts() == {}
    debug.block_profile(None)
    assert _waits.BLOCK.counts() is None


def test_what_was_before_does_not_count(until):
    ch = Chan()
    goroutine = go(plain, ch)
    until(lambda: goroutine.state == "chan receive")
    time.sleep(HELD)
    begun = time.now()
    debug.block_profile(0)
    ch.send(1)
    goroutine.join()
    longest = time.now() - begun
    (one,) = of(_waits.waits(_waits.BLOCK.counts(), {}), "plain", "chan receive")
    debug.block_profile(None)
    assert one["seconds"] <= longest


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_who_held_a_mutex(procs, gomaxprocs, held, until):
    gomaxprocs(procs)
    mu = sync.Mutex()

    def contends():
        with mu:
            pass

    def lets_go():
        mu.unlock()

    mu.lock()
    goroutine = go(contends)
    until(lambda: goroutine.state == "sync.Mutex.Lock")
    time.sleep(HELD)
    lets_go()
    goroutine.join()
    (one,) = of(held(), "lets_go", "sync.Mutex.Lock")
    assert one["count"] == 1
    assert one["seconds"] >= HELD
    assert one["frames"][-1] == (__file__, line_of(lets_go, 1), lets_go.__qualname__)


def test_who_held_an_rwmutex(held, until):
    rw = sync.RWMutex()

    def reads():
        with rw.rlocker():
            pass

    def lets_go():
        rw.unlock()

    rw.lock()
    goroutines = [go(reads) for _ in range(3)]
    until(lambda: all(g.state == "sync.RWMutex.RLock" for g in goroutines))
    lets_go()
    for goroutine in goroutines:
        goroutine.join()
    (one,) = of(held(), "lets_go", "sync.RWMutex.RLock")
    assert one["count"] == 3


def test_formats(until):
    with pytest.raises(RuntimeError, match="the block profile is not on"):
        debug.block_profile(0, file=io.BytesIO())
    debug.block_profile(0)
    ch = Chan()
    goroutine = go(plain, ch)
    until(lambda: goroutine.state == "chan receive")
    ch.send(1)
    goroutine.join()
    file = io.BytesIO()
    debug.block_profile(0, file=file, format="collapsed")
    lines = [line for line in file.getvalue().decode().splitlines() if ";plain (" in line]
    assert len(lines) == 1
    assert lines[0].startswith("chan receive;plain (")
    file = io.BytesIO()
    debug.block_profile(None, file=file)
    found = json.loads(file.getvalue())
    assert "plain" in [frame["name"] for frame in found["shared"]["frames"]]
    assert found["profiles"][0]["name"] == "block"
    text = _waits.listed(
        [
            _waits.Waited(name="select", frames=[("x.py", 3, "f")], seconds=0.5, count=2, longest=0.4),
        ]
    )
    assert text == (
        "0.500000 s in 2 waits\n\n0.500000 s in 2 @ select, the longest 0.400000 s\n    x.py:3 in f\n"
    )


def test_arguments():
    for profile in (debug.block_profile, debug.mutex_profile):
        with pytest.raises(TypeError, match="`rate` must be a number of seconds, got str"):
            profile("x")
        for wrong in (-1, float("inf")):
            with pytest.raises(ValueError, match="`rate`"):
                profile(wrong)
        with pytest.raises(TypeError, match="`file` must be a binary file or None, got int"):
            profile(1, file=1)
        with pytest.raises(TypeError, match="`file` must be a binary file or None, got StringIO"):
            profile(1, file=io.StringIO())
        with pytest.raises(ValueError, match="`format` must be one of speedscope, collapsed, got 'x'"):
            profile(1, format="x")


@pytest.mark.parametrize("procs", [1, 8])
def test_on_and_off_while_all_contend(procs, gomaxprocs):
    gomaxprocs(procs)
    over, mu, rw, ch = [], sync.Mutex(), sync.RWMutex(), Chan()

    def contends():
        while not over:
            with mu:
                runtime.gosched()
            with rw.rlocker():
                runtime.gosched()
            with rw:
                pass

    async def receives():
        async for _ in ch:
            pass

    goroutines = [go(contends) for _ in range(20)] + [go(receives) for _ in range(5)]
    for i in range(30):
        for profile in (debug.block_profile, debug.mutex_profile):
            profile(0)
        ch.send(i)
        runtime.gosched()
        _waits.BLOCK.counts()
        _waits.MUTEX.counts()
        for profile in (debug.block_profile, debug.mutex_profile):
            profile(None)
    over.append(True)
    ch.close()
    for goroutine in goroutines:
        goroutine.join()


def test_more_stacks_than_there_is_room_for(blocked):
    """They count together, without their stacks."""

    def deep(n):
        if n:
            deep(n - 1)
        else:
            time.sleep(1e-6)

    functions = []
    for i in range(200):
        scope = {"deep": deep}
        exec(f"def f{i}():\n" + "".join("    deep(100)\n" for _ in range(10)), scope)
        functions.append(scope[f"f{i}"])
    goroutines = [go(function) for function in functions]
    for goroutine in goroutines:
        goroutine.join()
    found = [one for one in blocked() if one["name"] == "sleep"]
    without = sum(one["count"] for one in found if one["frames"] == [])
    assert 0 < without < 2000
    assert sum(one["count"] for one in of(found, "deep", "sleep")) + without == 2000


def test_a_handler_in_the_midst_of_turning_it_on(monkeypatch):
    """A signal may come anywhere, and its handler may turn a profile on and off as well: the last word holds."""
    real = _core.waits
    words = [0, None, 0.5, None]

    def waits(number, rate):
        if words:
            debug.block_profile(words.pop())  # as a handler that runs here would
        real(number, rate)

    monkeypatch.setattr(_core, "waits", waits)
    debug.block_profile(0)
    assert not words
    assert _waits.BLOCK._rate == 0
    assert _waits.BLOCK.counts() is not None
    debug.block_profile(None)
    assert _waits.BLOCK.counts() is None


def test_a_forked_child_counts_anew(run_program):
    done = run_program(
        """
import os
from gopy import Chan, debug, go
from gopy.debug import _waits

def waits(ch): ch.recv()
def once():
    ch = Chan()
    goroutine = go(waits, ch)
    while goroutine.state != "chan receive":
        __import__("gopy").runtime.gosched()
    ch.send(1)
    goroutine.join()

def count():
    found = _waits.waits(_waits.BLOCK.counts(), {})
    return sum(one["count"] for one in found if one["frames"] and one["frames"][-1][2] == "waits")

debug.block_profile(0)
once()
assert count() == 1
if os.fork() == 0:
    assert count() == 0
    once()
    assert count() == 1
    os._exit(0)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
once()
assert count() == 2
""",
        flags=["-W", "ignore::DeprecationWarning"],  # of a fork in a process with threads
    )
    assert (done.returncode, done.stderr) == (0, "")
