"""Which line has started a goroutine, and which goroutine: in dumps, panics and Deadlock reports."""

import re
import threading

import pytest

from gopy import Chan, _core, errgroup, go, runtime, sync


def starts(fn, *args):
    return go(fn, *args)  # this line


LINE = starts.__code__.co_firstlineno + 1


def created_by(goroutine):
    code, line, creator = _core.created_by(goroutine)
    return code.co_qualname, line, creator


def test_the_line_and_the_creator(in_goroutine):
    ch = Chan()
    first = starts(ch.recv)
    assert created_by(first) == ("starts", LINE, 1)
    creator, second = in_goroutine(lambda: (runtime.current().id, starts(ch.recv)))
    assert created_by(second) == ("starts", LINE, creator)
    text = first.stack()
    assert "created by starts in goroutine 1:\n" in text
    assert f"line {LINE}, in starts\n    return go(fn, *args)  # this line\n" in text
    ch.close()
    first.join()
    second.join()
    assert created_by(first) == ("starts", LINE, 1)  # what has ended is told of, too


def test_main_was_started_by_nobody():
    main = runtime.goroutines()[0]
    assert main.id == 1
    assert _core.created_by(main) is None
    assert "\ncreated by" not in main.stack()


def test_stackless_and_locked_ones():
    async def body():
        await ch.arecv()

    ch = Chan()
    goroutines = starts(body), starts(body()), runtime.go_locked(ch.recv)
    assert [created_by(each)[0] for each in goroutines] == [
        "starts",
        "starts",
        "test_stackless_and_locked_ones",
    ]
    ch.close()
    for each in goroutines:
        each.join()


def test_a_plain_thread_starts_one():
    made = []
    thread = threading.Thread(target=lambda: made.append(starts(int)))
    thread.start()
    thread.join()
    assert created_by(made[0]) == ("starts", LINE, 0)
    assert "created by starts on a plain thread:\n" in made[0].stack()
    made[0].join()


def test_gopys_own_frames_do_not_count():
    """errgroup's go() is Python, WaitGroup's is C: both show the line of the program."""
    group, wg, found = errgroup.Group(), sync.WaitGroup(), []

    def body():
        found.append(created_by(runtime.current()))

    group.go(body)
    group.wait()
    wg.go(body)
    wg.wait()
    first = body.__code__.co_firstlineno + 3
    assert found == [
        ("test_gopys_own_frames_do_not_count", first, 1),
        ("test_gopys_own_frames_do_not_count", first + 2, 1),
    ]


def test_a_goroutine_of_c_starts_one():
    """No Python code has: what started it is go() itself."""
    made = Chan(1)
    go(lambda fn: None, 1).join()
    go(_core.go, made.send, 1).join()
    assert made.recv() == 1


def test_a_long_function():
    """The call lies beyond what the offset can tell by one byte, or two."""
    for lines in (300, 30_000):
        source = "x = 0\n" + "x += 1\n" * lines + "made = go(int)\n"
        namespace = {"go": go}
        exec(compile(source, "<long>", "exec"), namespace)
        assert created_by(namespace["made"])[1] == lines + 2
        namespace["made"].join()


def test_the_code_is_kept_and_let_go(until):
    import gc
    import weakref

    namespace = {"go": go}
    exec("def f(): return go(int)", namespace)
    code = weakref.ref(namespace["f"].__code__)
    goroutine = namespace["f"]()
    goroutine.join()
    namespace.clear()
    gc.collect()
    assert code() is not None
    assert _core.created_by(goroutine)[0] is code()
    del goroutine
    until(lambda: gc.collect() >= 0 and code() is None)


@pytest.mark.parametrize("gomaxprocs", "128")
def test_a_panic_is_told_once(gomaxprocs, run_program):
    """Its traceback has no frame of gopy's own, and its goroutine's maker is named, also if no line of its own was
    reached."""
    done = run_program(
        """
from gopy import Chan, go, sync
def bad():
    1 / 0
def maker():
    go(sync.once_func(bad))
go(maker)
Chan().recv()
""",
        env={"GOMAXPROCS": gomaxprocs},
    )
    assert done.returncode == 1
    assert done.stderr.count("ZeroDivisionError: division by zero\n") == 2  # the panic, and what it has ended
    assert done.stderr.count("1 / 0") == 1
    assert "sync.py" not in done.stderr
    assert re.search(
        r"created by maker in goroutine \d+:\n  File .*\n    go\(sync\.once_func\(bad\)\)\n", done.stderr
    )


def test_a_panic_without_a_frame(run_program):
    done = run_program("from gopy import Chan, go\ngo(int, 'x')\nChan().recv()")
    assert done.returncode == 1
    assert "    go(int, 'x')\n" in done.stderr


def test_a_program_with_an_excepthook_gets_the_whole(run_program):
    done = run_program(
        """
import sys
from gopy import Chan, go
def hook(cls, exc, tb):
    print(cls.__name__, type(exc.__cause__).__name__)
sys.excepthook = hook
go(int, 'x')
Chan().recv()
"""
    )
    assert (done.returncode, done.stdout) == (1, "GoroutinePanic ValueError\n")


def test_a_deadlock_says_who_started_them(run_program):
    done = run_program("from gopy import Chan, go\ngo(Chan().recv)\nChan().recv()")
    assert done.returncode == 1
    assert "created by <module> in goroutine 1:\n" in done.stderr
