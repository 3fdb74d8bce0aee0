"""Ctrl-C and other signals: they reach the main goroutine whatever it waits for, and whoever else runs."""

import signal

import pytest

PRELUDE = """
import os, signal, sys, threading
import time as pytime
import gopy
from gopy import Chan, default, go, nilchan, recv, runtime, select, send, time

main = runtime.current()

def interrupt_when(condition, signum=signal.SIGINT):
    '''On a plain thread: send the signal to this process when the condition holds.'''
    def body():
        while not condition():
            pytime.sleep(0.001)
        os.kill(os.getpid(), signum)
        sent.append(signum)
    sent = []
    threading.Thread(target=body).start()
    return sent

def elsewhere(fn, *args):
    '''go(fn, *args), on another thread than this one.'''
    def body():
        idents.append(threading.get_ident())
        started.set()
        fn(*args)
    started, idents = threading.Event(), []
    goroutine = go(body)
    started.wait()  # in C: another M starts it
    assert idents[0] != threading.get_ident()
    return goroutine

def here(fn, *args):
    '''Park the main goroutine in a receive while fn(*args) runs in another one on this very thread.'''
    def body():
        if threading.current_thread() is threading.main_thread():
            fn(*args)
        else:
            again.send(None)  # it was handed on, as main's thread stood still before it could run the goroutine
    again = Chan()
    while True:
        go(body)
        again.recv()
"""
ONE = {"GOMAXPROCS": "1"}  # what the main goroutine starts last runs on its own thread when it parks


def program(text):
    lines = text.split("\n")
    return PRELUDE + "\n".join(line.removeprefix("        ") for line in lines)


def all_fine(results, returncode=0, stdout=""):
    for result in results:
        assert (result.returncode, result.stdout, result.stderr) == (returncode, stdout, "")


def test_interrupt_of_each_wait(run_programs):
    """It is raised in main at once, and what main waited for knows nothing of it any more."""
    source = program(
        """
        ch, other, stuck = Chan(), Chan(), Chan()
        goroutine = go(stuck.recv)
        background = [] if sys.argv[1] == "quiet" else [Chan(), Chan()]

        def ball(a, b):
            try:
                for value in a:
                    b.send(value, timeout=1000)
            except KeyboardInterrupt:
                pass  # if its thread stands still for 30 ms, main could not take it meanwhile

        if background:
            go(ball, *background)
            go(ball, *background[::-1])
            background[0].send("ball")
        for state, wait in [
            ("chan receive", ch.recv),
            ("chan receive", ch.recv_ok),
            ("chan receive", lambda: ch.recv(timeout=100)),
            ("chan receive", lambda: list(ch)),
            ("chan receive (nil chan)", nilchan.recv),
            ("chan send", lambda: ch.send(1)),
            ("chan send", lambda: ch.send(1, timeout=100)),
            ("select", lambda: select(recv(ch), send(other, 1))),
            ("select", lambda: select(recv(ch), recv(nilchan), timeout=100)),
            ("select (no cases)", select),
            ("sleep", lambda: time.sleep(100)),
            (None, goroutine.join),
            (None, lambda: goroutine.join(100)),
        ]:
            if state is None:
                interrupt_when(lambda: main.state not in ("running", "runnable"))
            else:
                interrupt_when(lambda: main.state == state)
            begun = pytime.monotonic()
            try:
                wait()
            except KeyboardInterrupt:
                assert pytime.monotonic() - begun < 20  # what waits for a time waits for 100 s
            else:
                raise AssertionError(state)
            for c in (ch, other):
                for left in (lambda: c.send(2, timeout=0), lambda: c.recv(timeout=0)):
                    try:
                        left()
                    except TimeoutError:
                        continue
                    raise AssertionError("its wait is still queued: " + state)
        stuck.send(None)
        goroutine.join()
        go(ch.send, "sound")
        assert ch.recv() == "sound"
        """
    )
    runs = [(how, n) for how in ("quiet", "busy") for n in "14"]
    all_fine(
        run_programs(
            (source.replace("sys.argv[1]", repr(how)), {"env": {"GOMAXPROCS": n}}) for how, n in runs
        )
    )


@pytest.mark.slow
def test_interrupt_at_the_very_moment_when_main_goes_to_sleep(run_programs):
    """main is parked a little before its thread sleeps: what comes in between must wake it too."""
    source = program(
        """
        def body():
            while main.state != "chan receive":
                pass
            os.kill(os.getpid(), signal.SIGINT)

        ch = Chan()
        go(int).join()
        ends = pytime.monotonic() + 3
        for i in range(200):
            if i > 20 and pytime.monotonic() > ends:
                break
            thread = threading.Thread(target=body)
            thread.start()
            try:
                ch.recv(timeout=10)
            except KeyboardInterrupt:
                pass
            except TimeoutError:
                raise AssertionError(f"lost in round {i}")
            thread.join()
        """
    )
    all_fine(run_programs((source, {"env": {"GOMAXPROCS": n}}) for n in "14"))


def test_interrupt_that_nobody_catches(start_program):
    """From outside, with every goroutine parked: the main thread itself must notice."""
    source = program(
        """
        def body():
            while main.state not in ("chan receive", "sleep"):
                runtime.gosched()
            print("parked", flush=True)
            Chan().recv(timeout=1000)

        go(body)
        Chan().recv() if sys.argv[1] == "recv" else time.sleep(1000)
        """
    )
    children = [start_program(source, how, env={"GOMAXPROCS": n}) for how in ("recv", "sleep") for n in "14"]
    for child in children:
        child.wait_for(lambda: "parked\n" in child.stdout)
        child.process.send_signal(signal.SIGINT)
    for child in children:
        result = child.finish()
        assert result.returncode == -signal.SIGINT
        assert result.stderr.startswith("Traceback (most recent call last):\n")
        assert "in <module>" in result.stderr
        assert result.stderr.endswith("\nKeyboardInterrupt\n")


def test_interrupt_while_a_goroutine_runs_on_the_main_thread(run_programs):
    """The goroutine that happens to run there, and even sends the signal itself, goes on undisturbed."""
    source = program(
        """
        def body():
            begun = pytime.monotonic()
            try:
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(10):
                    runtime.gosched()
                while not caught:
                    runtime.gosched()
            except KeyboardInterrupt:
                assert pytime.monotonic() - begun > 0.03  # for so long its thread stood still: main could not run
            finally:
                told.append("goes on")

        caught, told = [], []
        goroutine = None
        try:
            here(body)
        except KeyboardInterrupt:
            caught.append(1)
        while not told:
            runtime.gosched()
        """
    )
    all_fine(run_programs([(source, {"env": ONE}), (source.replace("here(body)", HERE), {})]))


HERE = "goroutine = go(body); Chan().recv()"  # it may also run on another thread


def test_interrupt_while_a_goroutine_computes_on_the_main_thread(run_programs):
    """main cannot run beside it: so the goroutine is interrupted too, and main gets the KeyboardInterrupt."""
    source = program(
        """
        def compute():
            running.append(1)
            while True:
                pass

        running, caught = [], []
        interrupt_when(lambda: running)
        try:
            here(compute)
        except KeyboardInterrupt:
            caught.append(1)
        assert caught
        ch = Chan()
        go(ch.send, "sound")
        assert ch.recv() == "sound"
        """
    )
    in_c = source.replace("pass", "pytime.sleep(1000)")
    all_fine(run_programs([(source, {"env": ONE}), (in_c, {"env": ONE})]))


def test_interrupt_while_main_computes(run_programs):
    source = program(
        """
        go(Chan().recv)
        runtime.gosched()
        elsewhere(pytime.sleep, 1000)
        def main_sleeps():
            # In the system call: a signal just before it would be seen only after it, as in any Python program. That
            # its thread waits is not enough where the kernel tells for what: it may be for the GIL, which is here.
            with open(f"/proc/self/task/{os.getpid()}/wchan") as wchan:
                where = wchan.read()
            if where not in ("", "0"):
                return "nanosleep" in where
            with open(f"/proc/self/task/{os.getpid()}/stat") as stat:
                return stat.read().rpartition(")")[2].split()[0] == "S"

        def sleep():
            pytime.sleep(100)

        for wait in (int, sleep, runtime.gosched):
            waits = []
            try:
                interrupt_when(lambda: waits and (wait is not sleep or main_sleeps()))
                waits.append(wait)
                while True:
                    wait()
            except KeyboardInterrupt:
                pass
        """
    )
    all_fine(run_programs((source, {"env": {"GOMAXPROCS": n}}) for n in "14"))


def test_a_programs_own_handler_for_sigint(run_programs):
    """Set before gopy starts or later, it replaces the KeyboardInterrupt; SIG_IGN and the default work."""
    source = program(
        """
        def handler(signum, frame):
            assert threading.current_thread() is threading.main_thread()
            told.append(signum)
            ch.send("from the handler")

        told, ch = [], Chan(1)
        if sys.argv[1] == "later":
            runtime.gosched()
            go(int).join()
        signal.signal(signal.SIGINT, handler)
        assert signal.getsignal(signal.SIGINT) is handler
        interrupt_when(lambda: main.state == "chan receive")
        assert ch.recv() == "from the handler"
        assert told == [signal.SIGINT]

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sent = interrupt_when(lambda: main.state == "sleep")
        while not sent:
            time.sleep(0.05)

        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupt_when(lambda: main.state == "chan receive")
        try:
            ch.recv()
        except KeyboardInterrupt:
            told.append("default")
        assert told == [signal.SIGINT, "default"]
        """
    )
    all_fine(run_programs((source.replace("sys.argv[1]", repr(when)), {}) for when in ("before", "later")))


@pytest.mark.slow
@pytest.mark.parametrize("handler", ["own", "SIG_DFL", "SIG_IGN"])
def test_a_panic_does_not_pass_for_an_interrupt(handler, run_programs):
    """However main learns of a panic, no handler for SIGINT is called and no default action taken."""
    source = program(
        f"""
        HANDLER = {handler!r}
        def panics():
            pytime.sleep(0.1)
            raise ValueError("not an interrupt")

        own = lambda signum, frame: print("interrupted")
        signal.signal(signal.SIGINT, own if HANDLER == "own" else getattr(signal, HANDLER))
        elsewhere(panics)
        WAIT
        """
    )
    waits = [
        "pytime.sleep(1)\nwhile True: pass",
        "while True: pass",
        "Chan().recv()",
        "here(pytime.sleep, 1)",
    ]
    for wait, result in zip(waits, run_programs((source.replace("WAIT", w), {}) for w in waits), strict=True):
        assert (result.returncode, result.stdout) == (1, ""), wait
        assert "GoroutinePanic" in result.stderr


def test_handlers_run_while_main_waits_and_do_not_end_its_wait(run_programs):
    source = program(
        """
        def handler(signum, frame):
            told.append(signum)
            before = runtime.num_goroutine(), len(ch), select(recv(ch), default)
            assert before[1:] == (0, (1, None, True)), before

        told, ch, stuck = [], Chan(), Chan()
        goroutine = go(stuck.recv)
        signal.signal(signal.SIGUSR1, handler)
        for state, wait in [
            ("chan receive", ch.recv),
            ("chan send", lambda: Chan().send(1, timeout=0.2)),
            ("select", lambda: select(recv(ch), recv(Chan()))),
            ("sleep", lambda: time.sleep(0.2)),
            (None, goroutine.join),
        ]:
            def signals():
                while main.state != state and (state or main.state in ("running", "runnable")):
                    pytime.sleep(0.001)
                waiting = main.state
                begun.append(True)
                for _ in range(20):
                    before = len(told)
                    os.kill(os.getpid(), signal.SIGUSR1)
                    while len(told) == before:
                        pytime.sleep(0.0005)
                states.append((waiting, main.state))
                if state in ("chan receive", "select"):
                    ch.send(1)
                elif state is None:
                    stuck.send(1)
            begun, states = [], []
            told.clear()
            thread = threading.Thread(target=signals)
            thread.start()
            while not begun:  # what waits for 0.2 s does so again if it was not seen waiting
                since = pytime.monotonic()
                try:
                    wait()
                except TimeoutError:
                    assert state == "chan send"
                assert state not in ("sleep", "chan send") or pytime.monotonic() - since >= 0.2
            thread.join()
            assert len(told) == 20
            if state not in ("sleep", "chan send"):
                assert states[0][0] == states[0][1], states
        """
    )
    all_fine(run_programs((source, {"env": {"GOMAXPROCS": n}}) for n in "14"))


def test_a_handler_may_start_goroutines_and_wake_main(run_programs):
    source = program(
        """
        signal.signal(signal.SIGUSR1, lambda signum, frame: go(ch.send, "by a goroutine"))
        signal.signal(signal.SIGUSR2, lambda signum, frame: ch.close())
        ch = Chan(zero="closed")
        interrupt_when(lambda: main.state == "chan receive", signal.SIGUSR1)
        assert ch.recv() == "by a goroutine"
        interrupt_when(lambda: main.state == "chan receive", signal.SIGUSR2)
        assert ch.recv() == "closed"
        """
    )
    all_fine(run_programs((source, {"env": {"GOMAXPROCS": n}}) for n in "14"))


def test_dump_on_writes_every_stack_and_the_program_goes_on(start_program):
    source = program(
        """
        def outer(ch):
            inner(ch)

        def inner(ch):
            ch.recv()

        def compute():
            print("ready", flush=True)
            while True:
                pass

        runtime.dump_on(signal.SIGQUIT)
        runtime.dump_on(signal.SIGUSR1, file=open("dump", "w"))
        for g in [go(outer, Chan()) for _ in range(3)]:
            while g.state != "chan receive":
                runtime.gosched()
        if sys.argv[1] == "parked":
            threading.Thread(target=lambda: (pytime.sleep(0.05), print("ready", flush=True))).start()
            time.sleep(1000)
        elif sys.argv[1] == "computing":
            compute()
        else:
            here(compute)
        """
    )
    for how in ("parked", "computing", "behind"):
        child = start_program(source, how, env=ONE)
        child.wait_for(lambda: "ready\n" in child.stdout)
        child.process.send_signal(signal.SIGQUIT)
        child.wait_for(lambda: child.stderr.count("goroutine ") >= 4 and child.stderr.endswith("\n"))
        child.process.send_signal(signal.SIGUSR1)
        dump = child.directory / "dump"
        child.wait_for(lambda: dump.read_text().count("goroutine ") >= 4)
        child.process.send_signal(signal.SIGINT)
        result = child.finish()
        assert result.returncode == -signal.SIGINT
        for text in (result.stderr, dump.read_text()):
            assert "goroutine 1 [" in text
            assert text.count(" [chan receive]:\n") >= 3
            assert text.count(", in outer\n") == 3
            assert text.count(", in inner\n") == 3
            assert ", in <module>\n" in text
            assert (", in compute\n" in text) == (how != "parked")
