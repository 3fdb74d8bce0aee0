"""gopy.signal: signals on channels, whoever runs or waits; and what happens to a signal before and after."""

import errno
import os
import signal
import threading

import pytest

from gopy import Chan, Panic, default, go, nilchan, recv, runtime, select
from gopy import signal as gosignal

PRELUDE = """
import os, signal, sys, threading
import time as pytime
from gopy import Chan, Deadlock, default, go, recv, runtime, select, time
from gopy import signal as gosignal

def kill(signum=signal.SIGUSR1):
    os.kill(os.getpid(), signum)

def masks():
    '''What the kernel says: blocked, ignored, caught.'''
    with open("/proc/self/status") as file:
        found = dict(line.split() for line in file if line.startswith(("SigBlk", "SigIgn", "SigCgt")))
    return {name: int(mask, 16) & ~(3 << 31) for name, mask in found.items()}  # 32 and 33 are the C library's

def nothing(ch):
    '''Whatever has been sent has been delivered; there is none for ch.'''
    flush()
    return select(recv(ch), default)[0] == 1

def flush():
    other = Chan(1)
    gosignal.notify(other, signal.SIGURG)
    kill(signal.SIGURG)
    assert other.recv(timeout=10) == signal.SIGURG
    gosignal.stop(other)
"""
NO_FORK_WARNING = ["-W", "ignore::DeprecationWarning"]


def program(text):
    lines = text.split("\n")
    return PRELUDE + "\n".join(line.removeprefix("        ") for line in lines)


def all_fine(results, returncode=0, stdout=""):
    for result in results:
        assert (result.returncode, result.stdout, result.stderr) == (returncode, stdout, "")


def kill(signum):
    os.kill(os.getpid(), signum)


@pytest.fixture
def ch():
    ch = Chan(1)
    yield ch
    gosignal.stop(ch)


def test_the_value_is_the_signal(ch):
    gosignal.notify(ch, signal.SIGUSR1, 12)
    kill(signal.SIGUSR1)
    assert ch.recv(timeout=10) is signal.SIGUSR1
    kill(12)
    assert ch.recv(timeout=10) is signal.SIGUSR2
    gosignal.notify(ch, signal.SIGRTMIN + 1)  # more than before; it has no name
    kill(signal.SIGRTMIN + 1)
    assert ch.recv(timeout=10) == signal.SIGRTMIN + 1
    kill(signal.SIGUSR1)
    assert ch.recv(timeout=10) is signal.SIGUSR1


def test_it_never_blocks(ch, until):
    """No room, no receiver, closed: dropped. Others get theirs."""
    closed, unbuffered, other = Chan(1), Chan(), Chan(10)
    closed.close()
    for each in (ch, closed, unbuffered, other):
        gosignal.notify(each, signal.SIGUSR1)
    try:
        for i in range(3):
            kill(signal.SIGUSR1)
            until(lambda i=i: len(other) == i + 1)
        assert (len(ch), len(unbuffered)) == (1, 0)
        receiver = go(unbuffered.recv)
        until(lambda: receiver.state == "chan receive")
        kill(signal.SIGUSR1)
        receiver.join(10)
    finally:
        for each in (closed, unbuffered, other):
            gosignal.stop(each)


def test_from_goroutines_and_plain_threads(ch, until):
    def run(body):
        gosignal.notify(ch, signal.SIGUSR1)
        kill(signal.SIGUSR1)
        got.append(ch.recv(timeout=10))
        gosignal.stop(ch)

    got = []
    go(run, 0).join()
    thread = threading.Thread(target=run, args=(0,))
    thread.start()
    until(lambda: not thread.is_alive())
    thread.join()
    run(0)
    assert got == [signal.SIGUSR1] * 3


def test_a_view_is_its_channel(ch):
    gosignal.notify(ch.send_only(), signal.SIGUSR1)
    kill(signal.SIGUSR1)
    assert ch.recv(timeout=10) == signal.SIGUSR1
    before = signal.getsignal(signal.SIGUSR1)
    gosignal.stop(ch.send_only())
    got = []
    signal.signal(signal.SIGUSR1, lambda *args: got.append(args[0]))
    try:
        kill(signal.SIGUSR1)
        assert got == [signal.SIGUSR1]
        assert select(recv(ch), default)[0] == 1
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    ("args", "error", "text"),
    [
        ((1, 10), TypeError, "`ch` must be a SendChan or a Chan, got int"),
        ((Chan(1).recv_only(), 10), TypeError, "`ch` must be a SendChan or a Chan, got gopy.RecvChan"),
        ((Chan(1), "SIGINT"), TypeError, "`signum` must be an int, got str"),
        ((Chan(1), True), TypeError, "`signum` must be an int, got bool"),
        ((Chan(1), 0), ValueError, "`signum` must be a signal's number, got 0"),
        ((Chan(1), signal.SIGUSR1, 65), ValueError, "`signum` must be a signal's number, got 65"),
        ((Chan(1), signal.SIGUSR1, -1), ValueError, "`signum` must be a signal's number, got -1"),
        ((nilchan, signal.SIGUSR1), Panic, "os/signal: Notify using nil channel"),
    ],
)
def test_bad_arguments(args, error, text):
    with pytest.raises(error) as caught:
        gosignal.notify(*args)
    assert str(caught.value) == text
    with open("/proc/self/status") as file:
        caught = next(int(line.split()[1], 16) for line in file if line.startswith("SigCgt"))
    assert not caught >> (signal.SIGUSR1 - 1) & 1  # nothing half done


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
def test_what_cannot_be_caught(signum, ch):
    with pytest.raises(OSError) as caught:
        gosignal.notify(ch, signal.SIGUSR1, signum)
    assert caught.value.errno == errno.EINVAL


def test_stop_of_what_was_not_notified(ch):
    gosignal.stop(ch)
    gosignal.stop(ch)
    gosignal.stop(nilchan)
    with pytest.raises(TypeError, match="`ch` must be a SendChan or a Chan, got NoneType"):
        gosignal.stop(None)


WAITS = {
    "parked": "go(late); got = ch.recv(timeout=20)",
    "sleeping": "go(late); time.sleep(0.2); got = ch.recv(timeout=20)",
    "computing": "threading.Thread(target=late).start()\nwhile not len(ch): pass\ngot = ch.recv()",
    "in_c": "go(watch)\nthreading.Thread(target=late).start()\npytime.sleep(1000)",
    "stuck_in_c": "import ctypes\ngo(watch)\nthreading.Thread(target=late).start()\nstuck()",
}


@pytest.mark.slow
@pytest.mark.parametrize("how", WAITS)
def test_whatever_main_does(how, run_programs):
    """A goroutine that waits for the signal gets it, and can end the program."""
    source = program(
        """
        import ctypes
        ch, got = Chan(1), []

        def late():
            pytime.sleep(0.05)
            kill()

        def watch():
            got.append(ch.recv())
            assert got == [signal.SIGUSR1]
            print("got it", flush=True)
            os._exit(0)

        def stuck():
            '''Never returns to the interpreter, nor when a signal comes.'''
            while True:
                ctypes.CDLL(None).pthread_join(ctypes.c_void_p(pthread), None)

        gosignal.notify(ch, signal.SIGUSR1)
        pthread = threading.get_ident()
        """
    )
    body = WAITS[how]
    if how == "stuck_in_c":  # pthread_join of a thread that does not end
        body = (
            "ended = threading.Event()\nother = threading.Thread(target=ended.wait, daemon=True)\n"
            "other.start()\npthread = other.ident\ngo(watch)\nthreading.Thread(target=late).start()\nstuck()"
        )
    elif how in ("parked", "sleeping", "computing"):
        body += "\nassert got is signal.SIGUSR1\nprint('got it', flush=True)\nos._exit(0)"
    all_fine(run_programs((source + body, {"env": {"GOMAXPROCS": n}}) for n in "12"), stdout="got it\n")


def test_no_keyboard_interrupt_while_notified(run_program):
    source = program(
        """
        before = signal.getsignal(signal.SIGINT), masks()
        one, two = Chan(1), Chan(1)
        gosignal.notify(one, signal.SIGINT)
        gosignal.notify(two, signal.SIGINT, signal.SIGTERM)
        for _ in range(3):
            kill(signal.SIGINT)
            assert one.recv(timeout=10) == two.recv(timeout=10) == signal.SIGINT
        gosignal.stop(one)
        kill(signal.SIGINT)
        assert two.recv(timeout=10) == signal.SIGINT
        assert nothing(one)
        kill(signal.SIGTERM)
        assert two.recv(timeout=10) == signal.SIGTERM
        gosignal.stop(two)
        assert masks() == before[1]
        try:
            kill(signal.SIGINT)
            pytime.sleep(10)
            raise AssertionError("no KeyboardInterrupt")
        except KeyboardInterrupt:
            pass
        try:
            threading.Timer(0.05, kill, [signal.SIGINT]).start()
            Chan().recv(timeout=10)
        except KeyboardInterrupt:
            print("interrupted")
        kill(signal.SIGTERM)
        pytime.sleep(10)
        """
    )
    result = run_program(source)
    assert (result.returncode, result.stdout, result.stderr) == (-signal.SIGTERM, "interrupted\n", "")


def test_a_notify_on_a_plain_thread_before_main_uses_gopy(run_program):
    """main then sets its own SIGINT handler, which must wait for the stop."""
    source = program(
        """
        ch = Chan(1)
        thread = threading.Thread(target=gosignal.notify, args=(ch, signal.SIGINT))
        thread.start()
        thread.join()
        runtime.gosched()  # main joins
        kill(signal.SIGINT)
        assert ch.recv(timeout=10) == signal.SIGINT
        gosignal.stop(ch)
        main = runtime.current()
        def interrupt():
            while main.state != "chan receive":
                pytime.sleep(0.001)
            kill(signal.SIGINT)
        threading.Thread(target=interrupt).start()
        try:
            ch.recv(timeout=20)
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    all_fine([run_program(source)], stdout="interrupted\n")


def test_the_former_disposition_comes_back(run_program):
    """A Python handler, SIG_IGN, SIG_DFL; and what signal.signal() sets meanwhile wins and stays."""
    source = program(
        """
        told = []
        def handler(signum, frame):
            told.append("former")
        def later(signum, frame):
            told.append("later")
        ch = Chan(1)
        for disposition in (handler, signal.SIG_IGN):
            signal.signal(signal.SIGUSR1, disposition)
            before = masks()
            gosignal.notify(ch, signal.SIGUSR1)
            assert signal.getsignal(signal.SIGUSR1) is disposition
            kill()
            assert ch.recv(timeout=10) == signal.SIGUSR1
            gosignal.stop(ch)
            assert masks() == before
            kill()
        assert told == ["former"], told

        gosignal.notify(ch, signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, later)
        kill()
        assert told == ["former", "later"] and nothing(ch)
        gosignal.notify(ch, signal.SIGUSR1)
        kill()
        assert ch.recv(timeout=10) == signal.SIGUSR1
        signal.signal(signal.SIGUSR1, later)
        gosignal.stop(ch)
        kill()
        assert told == ["former", "later", "later"] and nothing(ch)
        """
    )
    all_fine([run_program(source)])


def test_all_signals(run_program):
    source = program(
        """
        before = masks()
        ch = Chan(100)
        gosignal.notify(ch)
        numbers = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
        for signum in sorted(numbers):
            kill(signum)
            assert ch.recv(timeout=10) == signum, signum
        gosignal.stop(ch)
        assert masks() == before
        """
    )
    all_fine([run_program(source)])


def test_a_real_fault_is_not_a_message(run_program):
    source = program(
        """
        import ctypes
        ch = Chan(10)
        gosignal.notify(ch)
        kill(signal.SIGSEGV)
        assert ch.recv(timeout=10) is signal.SIGSEGV
        print("on")
        ctypes.string_at(0)
        """
    )
    result = run_program(source)
    assert (result.returncode, result.stdout) == (-signal.SIGSEGV, "on\n")
    assert result.stderr.startswith("Fatal Python error: Segmentation fault")


@pytest.mark.parametrize("wait", ["Chan().recv()", "pytime.sleep(1000)", "compute()", "os.read(r, 1)"])
def test_a_panic_still_reaches_main(wait, run_program):
    """Even from its system call, by a SIGINT of the runtime's own that no channel may see."""
    source = program(
        f"""
        r, w = os.pipe()
        ch = Chan(10)
        gosignal.notify(ch)
        def compute():
            while True:
                pass
        def panics():
            started.set()
            while not waits:
                pytime.sleep(0.001)
            pytime.sleep(0.1)
            raise ValueError("x")
        started, waits = threading.Event(), []
        go(panics)
        started.wait()  # in C: another thread than main's runs it
        try:
            waits.append(True)
            {wait}
        finally:
            flush()
            got = [ch.recv() for _ in range(len(ch))]
            print([signum for signum in got if signum != signal.SIGCONT])  # which a shell may send to anybody
        """
    )
    result = run_program(source)
    assert (result.returncode, result.stdout) == (1, f"[{signal.SIGURG!r}]\n")
    assert "GoroutinePanic: goroutine " in result.stderr


@pytest.mark.parametrize("former", ["SIG_DFL", "SIG_IGN"])
def test_a_handler_that_passes_signals_on(former, run_program):
    """It has saved ours as the former one, and passes on to it what nobody wants any more."""
    source = program(
        f"""
        import faulthandler
        signal.signal(signal.SIGUSR1, signal.{former})
        ch = Chan(1)
        gosignal.notify(ch, signal.SIGUSR1)
        with open(os.devnull, "w") as file:
            faulthandler.register(signal.SIGUSR1, file=file, chain=True)
            kill()
            assert ch.recv(timeout=10) == signal.SIGUSR1
            gosignal.stop(ch)
            kill()
            kill()
            assert len(ch) == 0
        """
    )
    all_fine([run_program(source)], returncode=-signal.SIGUSR1 if former == "SIG_DFL" else 0)


def test_a_system_call_goes_on(run_program):
    """None ends early or fails because a signal has come."""
    source = program(
        """
        import select as pyselect
        ch = Chan(1)
        gosignal.notify(ch, signal.SIGUSR1, signal.SIGINT)
        def signals():
            for _ in range(10):
                pytime.sleep(0.01)
                signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            os.write(w, b"x")
        for wait in (
            lambda: pytime.sleep(0.3),
            lambda: os.read(r, 1),
            lambda: pyselect.select([r], [], []) and os.read(r, 1),
            lambda: threading.Event().wait(0.3),
            lambda: time.sleep(0.3),
        ):
            r, w = os.pipe()
            thread = threading.Thread(target=signals)
            begun = pytime.monotonic()
            thread.start()
            wait()
            assert pytime.monotonic() - begun >= 0.1
            thread.join()
        """
    )
    all_fine([run_program(source)])


def test_no_deadlock_while_notified(run_program):
    source = program(
        """
        ch = Chan(1)
        gosignal.notify(ch, signal.SIGALRM)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        go(Chan().recv)
        assert ch.recv() is signal.SIGALRM
        gosignal.stop(ch)
        try:
            ch.recv()
        except Deadlock:
            print("deadlock")
        """
    )
    all_fine([run_program(source)], stdout="deadlock\n")


@pytest.mark.parametrize("who", ["main", "goroutine", "thread"])
def test_fork(who, run_program):
    """The child is notified too, each of its own signals."""
    source = program(
        f"""
        def forks():
            pid = os.fork()
            if pid == 0:
                for signum in (signal.SIGUSR1, signal.SIGINT) * 3:
                    kill(signum)
                    assert ch.recv(timeout=10) == signum
                other = Chan(1)
                gosignal.notify(other, signal.SIGTERM)
                kill(signal.SIGTERM)
                assert other.recv(timeout=10) == signal.SIGTERM
                gosignal.stop(other)
                gosignal.stop(ch)
                try:
                    Chan().recv()
                except Deadlock:
                    os._exit(23)
                os._exit(1)
            _, status = os.waitpid(pid, 0)
            assert os.waitstatus_to_exitcode(status) == 23, status
            kill()
            assert ch.recv(timeout=10) == signal.SIGUSR1

        ch = Chan(1)
        gosignal.notify(ch, signal.SIGUSR1, signal.SIGINT)
        for _ in range(3):
            if {who!r} == "main":
                forks()
            elif {who!r} == "goroutine":
                go(forks).join()
            else:
                thread = threading.Thread(target=forks)
                thread.start()
                thread.join()
        """
    )
    all_fine([run_program(source, flags=NO_FORK_WARNING)])


def test_exit_in_a_hail_of_signals(run_programs):
    """No crash, no hang, and the exit status is the program's own."""
    source = program(
        """
        import subprocess
        ch = Chan(1)
        gosignal.notify(ch, signal.SIGUSR1, signal.SIGTERM)
        hail = "import os, signal\\nwhile True: os.kill(%d, signal.SIGUSR1)" % os.getpid()
        child = subprocess.Popen([sys.executable, "-c", "try:\\n exec(%r)\\nexcept OSError: pass" % hail])
        def receive():
            for _ in ch:
                pass
        go(receive)
        ch.recv()
        import atexit
        sys.stdout.write("over\\n")
        sys.stdout.flush()
        os.set_inheritable(1, True)
        child.returncode = 0  # not waited for: it ends when there is nobody left to signal
        sys.exit(7)
        """
    )
    all_fine(run_programs((source, {}) for _ in range(4)), returncode=7, stdout="over\n")


def test_a_stopped_channel_is_let_go(run_program):
    source = program(
        """
        import gc, weakref
        for _ in range(3):
            ch = Chan(1)
            gone = weakref.ref(ch)
            gosignal.notify(ch, signal.SIGUSR1)
            kill()
            ch.recv(timeout=10)
            gosignal.stop(ch)
            del ch
            assert gone() is None
        ch = Chan(1)
        refs = sys.getrefcount(ch)
        for _ in range(1000):
            gosignal.notify(ch, signal.SIGUSR1, signal.SIGUSR2)
            gosignal.notify(ch, signal.SIGUSR2)
            gosignal.stop(ch)
        assert sys.getrefcount(ch) == refs
        """
    )
    all_fine([run_program(source)])


def test_idle_costs_nothing(run_program):
    """The thread that waits for signals sleeps: the best of a few tries, a busy wait never passes."""
    source = program(
        """
        gosignal.notify(Chan(1))
        for _ in range(4):
            before = pytime.process_time()
            time.sleep(0.3)
            print(pytime.process_time() - before)
        """
    )
    assert min(map(float, run_program(source).stdout.split())) < 0.05 * 0.3


@pytest.mark.slow
def test_notify_and_stop_at_once(run_programs):
    """From many goroutines and threads, with signals in between: all consistent in the end."""
    source = program(
        """
        signums = [signal.SIGRTMIN + i for i in range(2, 6)]
        for signum in (*signums, signal.SIGUSR1):
            signal.signal(signum, signal.SIG_IGN)  # one may come after its stop
        before = masks()
        stop = []
        def churn(signum):
            for _ in range(200):
                ch = Chan(1)
                gosignal.notify(ch, signum, signal.SIGUSR1)
                kill(signum)
                assert ch.recv(timeout=10) in (signum, signal.SIGUSR1)
                gosignal.stop(ch)
        def hail():
            while not stop:
                kill(signal.SIGUSR1)
                runtime.gosched()
        keep = Chan(1)
        gosignal.notify(keep, signal.SIGUSR1)
        hailing = go(hail)
        threads = [threading.Thread(target=churn, args=(s,)) for s in signums[:2]]
        for t in threads:
            t.start()
        for g in [go(churn, s) for s in signums[2:]]:
            g.join()
        for t in threads:
            t.join()
        stop.append(1)
        hailing.join()
        gosignal.stop(keep)
        assert masks() == before
        """
    )
    all_fine(run_programs((source, {"env": {"GOMAXPROCS": n}}) for n in "14"))


# notify_context


def test_notify_context_ends_with_a_signal(run_program):
    """Below it, too; what comes after the stop has its former effect."""
    source = program(
        """
        from gopy import context
        ctx, stop = gosignal.notify_context(context.background(), signal.SIGINT, signal.SIGTERM)
        child, cancel = context.with_timeout(ctx, 100)
        assert context.with_value(ctx, "k", 1).value("k") == 1
        threading.Timer(0.05, kill, [signal.SIGTERM]).start()
        child.done().recv(timeout=20)
        assert str(child.err()) == "context canceled"
        assert str(context.cause(child)) == "terminated signal received"
        kill(signal.SIGINT)
        flush()
        for _ in range(3):
            stop()
        while runtime.num_goroutine() > 1:
            time.sleep(0.001)
        try:
            kill(signal.SIGINT)
            pytime.sleep(10)
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    all_fine([run_program(source)], stdout="interrupted\n")


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_goroutines_have_the_signal_mask_of_the_program(run_program, procs):
    """Whatever has started their thread: sysmon and the receiver of signals block all signals. A program that a
    goroutine starts inherits the mask."""
    source = program(
        """
        import subprocess
        from gopy import blocking
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        seen = []
        def look():
            seen.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        def run():
            look()
            blocking(look)
            child = subprocess.run(["/bin/sh", "-c", "kill -TERM $$; echo blocked"], capture_output=True)
            assert (child.returncode, child.stdout) == (-signal.SIGTERM, b"")
        async def waits(ch):
            await ch.arecv()
            look()
        ch = Chan(1)
        gosignal.notify(ch, signal.SIGUSR1)
        go(waits, ch)
        while runtime.stats()["parked"] < 1:
            time.sleep(0.001)
        goroutine = go(run)
        while len(seen) < 2:
            pytime.sleep(0.01)  # in C: sysmon has another thread run it
        kill(signal.SIGUSR1)
        while len(seen) < 3:
            pytime.sleep(0.01)
        goroutine.join()
        assert seen == [{signal.SIGUSR2}] * 3, seen
        """
    )
    all_fine([run_program(source, env={"GOMAXPROCS": str(procs)})])


def test_notify_context_bad_arguments():
    from gopy import context

    before = runtime.num_goroutine()
    with pytest.raises(TypeError, match="`ctx` must be a Context, got int"):
        gosignal.notify_context(1, signal.SIGINT)
    with pytest.raises(TypeError, match="`signum` must be an int, got str"):
        gosignal.notify_context(context.background(), "SIGINT")
    with pytest.raises(OSError):
        gosignal.notify_context(context.background(), signal.SIGKILL)
    assert runtime.num_goroutine() == before


def test_notify_context_that_nobody_refers_to(until):
    """Its goroutine keeps it until stop()."""
    from gopy import context

    ctx, stop = gosignal.notify_context(context.background(), signal.SIGUSR1)
    done = ctx.done()
    del ctx
    kill(signal.SIGUSR1)
    assert done.recv_ok(timeout=10) == (None, False)
    stop()


def test_notify_context_in_the_child_of_a_fork(run_program):
    """It goes on there, although the goroutines of the parent do not."""
    source = program(
        """
        from gopy import context
        ctx, stop = gosignal.notify_context(context.background(), signal.SIGTERM)
        stopped, stop_it = gosignal.notify_context(context.background(), signal.SIGTERM)
        stop_it()
        def forks():
            pid = os.fork()
            if pid == 0:
                kill(signal.SIGTERM)
                ctx.done().recv(timeout=10)
                assert str(context.cause(ctx)) == "terminated signal received"
                assert type(context.cause(stopped)) is context.Canceled
                stop()
                kill(signal.SIGTERM)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
            assert ctx.err() is None
        forks()
        go(forks).join()
        thread = threading.Thread(target=forks)
        thread.start()
        thread.join()
        kill(signal.SIGTERM)
        ctx.done().recv(timeout=10)
        stop()
        """
    )
    all_fine([run_program(source, flags=NO_FORK_WARNING)])


@pytest.mark.parametrize(
    ("signum", "name"),
    [
        (signal.SIGTERM, "terminated"),
        (signal.SIGURG, "urgent I/O condition"),
        (signal.SIGXCPU, "CPU time limit exceeded"),
        (signal.SIGUSR1, "user defined signal 1"),
        (signal.SIGRTMIN + 1, f"signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_notify_context_names_the_signal_as_go(signum, name):
    from gopy import context

    ctx, stop = gosignal.notify_context(context.background(), signum)
    assert repr(ctx) == f"signal.NotifyContext(context.Background, [{name}])"
    kill(signum)
    ctx.done().recv(timeout=10)
    assert str(context.cause(ctx)) == f"{name} signal received"
    stop()
