"""Profiles: where goroutines are, and where they use the CPU."""

import io
import json
import sys
from decimal import Decimal

import pytest

from gopy import Chan, debug, go, runtime
from gopy.debug import _profile, _snapshot


def test_goroutine_profile_puts_equal_ones_together(until):
    ch = Chan()

    def body():
        ch.recv()

    goroutines = []
    for _ in range(50):
        goroutines.append(go(body))
    until(lambda: all(g.state == "chan receive" for g in goroutines))
    file = io.StringIO()
    text = debug.goroutine_profile(file)
    assert file.getvalue() == text
    line = body.__code__.co_firstlineno
    assert "50 @ chan receive" in text
    assert f"{__file__}:{line + 1} in test_goroutine_profile_puts_equal_ones_together.<locals>.body\n" in text
    assert f"created by test_goroutine_profile_puts_equal_ones_together at {__file__}:{line + 5}\n" in text
    ch.close()
    for g in goroutines:
        g.join()


def one(id, creator, name="f", state="select", line=1):
    created = _snapshot.Created("maker", "m.py", 7, creator) if creator is not None else None
    frames = [("f.py", line, name)]
    return _snapshot.One(
        id=id, name=name, state=state, waited=0.0, locked=False, frames=frames, created=created
    )


def test_tree():
    """Equal ones with equal ones below them are one node, below whichever parent."""
    found = [
        one(1, None, "main", "running"),
        one(2, 1, "server"),
        one(3, 1, "server"),
        *(one(id, 2 + id % 2, "handler") for id in range(4, 10)),
        one(10, 99, "orphan"),
        one(11, 0, "of a thread"),
    ]
    assert _snapshot.tree(found) == (
        "main (1) [running] f.py:1 in main\n"
        "└─ 2 x server (2, 3) [select] f.py:1 in server; created at m.py:7\n"
        "   └─ 6 x handler (4, 6, 8, 5, 7, ...) [select] f.py:1 in handler; created at m.py:7\n"
        "orphan (10) [select] f.py:1 in orphan; created at m.py:7 by goroutine 99, which has ended\n"
        "of a thread (11) [select] f.py:1 in of a thread; created at m.py:7 by a thread\n"
    )


def test_a_tree_of_many():
    found = [one(1, None, "main"), *(one(id, id // 2) for id in range(2, 30_000))]
    assert len(_snapshot.tree(found).splitlines()) < 200
    chain = [one(1, None, "main"), *(one(id, id - 1) for id in range(2, 1_000))]
    assert len(_snapshot.tree(chain).splitlines()) == 999


def test_a_snapshot_goes_through_json():
    found = _snapshot.snapshot()
    assert _snapshot.from_json(json.loads(json.dumps(found)))[0]["id"] == found[0]["id"]
    assert _snapshot.listed(found).startswith("ID ")


SAMPLES = [
    _profile.Sample(name="a;b", frames=[("x.py", 1, "f"), ("x.py", 2, "g")], seconds=0.5),
    _profile.Sample(name="c", frames=[("x.py", 1, "f")], seconds=0.25),
]


def test_formats():
    assert _profile.collapsed(SAMPLES) == "a:b;f (x.py:1);g (x.py:2) 500000\nc;f (x.py:1) 250000\n"
    found = json.loads(_profile.speedscope(SAMPLES))
    assert found["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    profile = found["profiles"][0]
    frames = found["shared"]["frames"]
    assert profile["type"] == "sampled"
    assert profile["weights"] == [0.5, 0.25]
    assert profile["endValue"] == 0.75
    assert [[frames[i]["name"] for i in stack] for stack in profile["samples"]] == [
        ["goroutine a;b", "f", "g"],
        ["goroutine c", "f"],
    ]
    assert frames[1] == {"name": "f", "file": "x.py", "line": 1}


@pytest.mark.slow
def test_the_cpu_profile_of_what_runs(until):
    """Who computes is seen, under its name; who is parked is not."""
    over: list[bool] = []
    parked: Chan[int] = Chan()

    def burns():
        while not over:
            sum(range(200))
            runtime.gosched()

    def waits():
        parked.recv()

    goroutines = go(burns), go(waits)
    goroutines[0].name = "burner"
    until(lambda: goroutines[1].state == "chan receive")
    lines: list[str] = []

    def burner_is_seen():
        file = io.BytesIO()
        debug.cpu_profile(file, 0.1, format="collapsed")
        lines.extend(file.getvalue().decode().splitlines())
        return any(line.startswith("burner;") and "burns" in line for line in lines)

    until(burner_is_seen, seconds=40)
    over.append(True)
    parked.close()
    for goroutine in goroutines:
        goroutine.join()
    assert not any("waits" in line for line in lines)


def test_more_looks_than_there_is_time_for():
    file = io.BytesIO()
    debug.cpu_profile(file, 0.01, hz=10**9)
    assert file.getvalue()


@pytest.mark.quiet
def test_the_cpu_profile_is_accurate(run_program):
    """Three functions that take 70, 20 and 10 percent, by what they count themselves."""
    done = run_program(
        """
import io, json, time as clock
from gopy import debug, go, runtime

def work(share):
    end = clock.thread_time() + share
    while clock.thread_time() < end:
        pass

def seventy(): work(0.07)
def twenty(): work(0.02)
def ten(): work(0.01)

over = []
def body():
    while not over:
        seventy(); twenty(); ten()
        runtime.gosched()
goroutine = go(body)
file = io.BytesIO()
debug.cpu_profile(file, 5, hz=200, format="collapsed")
over.append(1)
goroutine.join()
shares = {"seventy": 0, "twenty": 0, "ten": 0}
for line in file.getvalue().decode().splitlines():
    for name in shares:
        if f";{name} " in line:
            shares[name] += int(line.rpartition(" ")[2])
total = sum(shares.values())
print(json.dumps({name: 100 * share / total for name, share in shares.items()}))
""",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    shares = json.loads(done.stdout)
    assert abs(shares["seventy"] - 70) < 3, shares
    assert abs(shares["twenty"] - 20) < 3, shares
    assert abs(shares["ten"] - 10) < 3, shares


def test_arguments():
    with pytest.raises(TypeError, match="`file` must be a binary file, got int"):
        debug.cpu_profile(1, 1)
    for seconds in (0, -1):
        with pytest.raises(ValueError, match="`seconds` must be positive"):
            debug.cpu_profile(io.BytesIO(), seconds)
    with pytest.raises(TypeError, match="`file` must be a binary file, got StringIO"):
        debug.cpu_profile(io.StringIO(), 10_000)
    with pytest.raises(TypeError, match="`seconds`"):
        debug.cpu_profile(io.BytesIO(), "1")
    debug.cpu_profile(io.BytesIO(), Decimal("0.01"), hz=10**400)
    with pytest.raises(ValueError, match="`hz`"):
        debug.cpu_profile(io.BytesIO(), 1, hz=0)
    with pytest.raises(ValueError, match="`format` must be one of speedscope, collapsed, got 'x'"):
        debug.cpu_profile(io.BytesIO(), 1, format="x")
    with pytest.raises(TypeError, match="`format` must be a str, got list"):
        debug.cpu_profile(io.BytesIO(), 1, format=[])
    with pytest.raises(TypeError, match="`file`"):
        debug.goroutine_profile(1)


def test_who_is_interrupted_leaves_nothing_behind(run_program):
    """No thread goes on looking for a profile that nobody gets."""
    done = run_program(
        """
import io, os, signal, threading
from gopy import debug
from gopy.debug import _profile

begun, ended = threading.Event(), threading.Event()
real = _profile.sample

def sample(*arguments):
    begun.set()
    real(*arguments)
    ended.set()

def interrupts():
    begun.wait()
    os.kill(os.getpid(), signal.SIGINT)

_profile.sample = sample
threading.Thread(target=interrupts).start()
try:
    debug.cpu_profile(io.BytesIO(), 10_000)
except KeyboardInterrupt:
    ended.wait()
    print("ended")
"""
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "ended\n")


@pytest.mark.skipif(not hasattr(sys, "_is_gil_enabled"), reason="with a GIL nobody comes between")
def test_the_collector_stays_as_the_program_has_set_it(run_program):
    """Whoever looks at goroutines does not turn on again what another thread has turned off."""
    done = run_program(
        """
import gc, threading
from gopy import debug, go, runtime, _core

over = []

def looks():
    while not over:
        _core.sample()
        runtime.stack(all=True)

def starts():
    while not over:
        go(int).join()

threads = [threading.Thread(target=looks) for _ in range(2)]
threads += [threading.Thread(target=starts) for _ in range(2)]
for thread in threads:
    thread.start()
lost = 0
for _ in range(3000):
    gc.disable()
    runtime.gosched()
    lost += gc.isenabled()
    gc.enable()
over.append(True)
for thread in threads:
    thread.join()
print("lost", lost)
""",
        env={"GOMAXPROCS": "8"},
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "lost 0\n")
