"""gopy.monkey: what patch_all() says of itself, bad use, patching late, and `python -m gopy`."""

import py_compile
import re
import subprocess
import sys
import zipfile

import pytest

PATCH = "from gopy import monkey\nmonkey.patch_all()\n"


def run_gopy(*arguments, cwd):
    """python -m gopy"""
    command = [sys.executable, "-W", "error", "-m", "gopy", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def says(run_program, source, *args, **options):
    done = run_program(source, *args, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


# What it says of itself


def test_is_patched_and_original(run_program):
    assert says(
        run_program,
        """
        import time, threading
        before = time.sleep, threading.Lock, threading.Thread
        from gopy import monkey
        print(monkey.is_patched("time"), monkey.is_patched("threading.Lock"))
        monkey.patch_all()
        print(monkey.is_patched("time"), monkey.is_patched("threading.Lock"), monkey.is_patched("threading.Thread"))
        print(monkey.is_patched("threading.Barrier"), monkey.is_patched("nothing"))
        print(monkey.original("time", "sleep") is before[0], time.sleep is not before[0])
        print(monkey.original("threading", "Lock") is before[1], threading.Lock is not before[1])
        print(threading.Thread is before[2], monkey.original("threading", "Thread") is not before[2])
        print(monkey.original("time", "gmtime") is time.gmtime)
        """,
    ) == ["False False", "True True True", "False False", "True True", "True True", "True True", "True"]


def test_flags_add_up(run_program):
    assert says(
        run_program,
        """
        from gopy import monkey
        others = dict.fromkeys("socket ssl select queue subprocess dns os clients".split(), False)
        monkey.patch_all(threading=False, time=True, **others)
        print(monkey.is_patched("time"), monkey.is_patched("threading"))
        monkey.patch_all(time=False, **others)
        print(monkey.is_patched("time"), monkey.is_patched("threading"), monkey.is_patched("queue"))
        import time
        sleep = time.sleep
        monkey.patch_all()
        monkey.patch_all()
        print(monkey.is_patched("queue"), time.sleep is sleep)
        """,
    ) == ["True False", "True True False", "True True"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("patch_all(sockets=True)", "TypeError: .*unexpected keyword argument 'sockets'"),
        ("patch_all(socket=1)", "TypeError: `socket` must be a bool, got int"),
        ("patch_all(True)", "TypeError: "),
        ("patch_all(socket=False)", "ValueError: `ssl` needs `socket`: .*ssl=False"),
        ("patch_all(threading=False)", "ValueError: `queue` needs `threading`: .*queue=False"),
        ("patch_all(threading=False, queue=False)", "ValueError: `subprocess` needs `threading`"),
        ("is_patched(1)", "TypeError: `name` must be a str, got int"),
        ("original('time', 1)", "TypeError: `name` must be a str, got int"),
        ("original('time', 'nothing')", "LookupError: module 'time' has no 'nothing'"),
        ("original('nothing', 'at_all')", "LookupError: there is no module 'nothing'"),
    ],
)
def test_bad_use(run_program, call, error):
    done = run_program(f"from gopy import monkey\nmonkey.{call}\n")
    assert done.returncode == 1
    assert re.search(f"^{error}", done.stderr.splitlines()[-1])


def test_off_the_main_thread(run_program):
    assert says(
        run_program,
        """
        import threading
        from gopy import monkey

        def off():
            try:
                monkey.patch_all()
            except RuntimeError as exc:
                print(exc)

        thread = threading.Thread(target=off)
        thread.start()
        thread.join()
        print(monkey.is_patched("time"))
        """,
    ) == [
        "patch_all() must be called on the main thread, before others are started: python -m gopy",
        "False",
    ]


def test_in_a_goroutine_of_the_main_thread(run_program):
    source = """
        import warnings
        from gopy import _preempt, go, monkey
        warnings.simplefilter("ignore", monkey.PatchWarning)
        thread_ident = _preempt._thread_ident  # a thread's, also when patched
        main = thread_ident()
        done = []

        def patch():
            if thread_ident() == main:
                monkey.patch_all()
                done.append(_preempt._wanted)

        while not done:
            go(patch).join()
        print(done)
        """
    assert says(run_program, source, env={"GOPY_PREEMPT": None, "GOMAXPROCS": "1"}) == ["[0.01]"]


def test_once_patched_it_may_be_called_anywhere(run_program):
    assert says(
        run_program,
        PATCH
        + """
import threading
from gopy import go
for call in (monkey.patch_all, lambda: monkey.patch_all(socket=False, ssl=False)):
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    go(call).join()
print("ok")
""",
    ) == ["ok"]


def test_it_starts_no_thread(run_program):
    assert says(
        run_program,
        PATCH + "import os\nprint(len(os.listdir('/proc/self/task')), monkey._registry.parts != set())\n",
    ) == ["1 True"]


def test_preempt_is_on_once_patched(run_program):
    program = PATCH + "from gopy import _preempt\nprint(_preempt._wanted)\n"
    assert says(run_program, program, env={"GOPY_PREEMPT": None}) == ["0.01"]
    assert says(run_program, program, env={"GOPY_PREEMPT": "0"}) == ["None"]
    assert says(run_program, program, env={"GOPY_PREEMPT": "0.02"}) == ["0.02"]


# Late


def test_late_references_are_replaced(run_program):
    assert says(
        run_program,
        """
        import time
        from time import sleep
        from threading import Lock, get_ident, current_thread

        class Holder:
            nap = sleep
            def __init__(self):
                self.nap = sleep

        class Slotted:
            __slots__ = ("nap",)

        def default(nap=sleep, *, also=sleep):
            return nap is time.sleep and also is time.sleep

        def closure():
            nap = sleep
            return lambda: nap is time.sleep

        inside, holder, listed, slotted = closure(), Holder(), [sleep], Slotted()
        slotted.nap = sleep
        from gopy import monkey
        monkey.patch_all()
        import threading
        print(sleep is time.sleep, Lock is threading.Lock, get_ident is threading.get_ident)
        print(current_thread is threading.current_thread)
        print(Holder.nap is time.sleep, holder.nap is time.sleep, listed[0] is time.sleep, slotted.nap is time.sleep)
        print(default(), inside())
        print(monkey.original("time", "sleep") is not time.sleep)
        """,
    ) == ["True True True", "True", "True True True True", "True True", "True"]


def test_late_locks_are_exchanged(run_program):
    assert says(
        run_program,
        """
        import logging, threading
        lock, rlock = threading.Lock(), threading.RLock()
        condition, event = threading.Condition(), threading.Event()
        logger = logging.StreamHandler()

        class Slotted:
            __slots__ = ("lock",)

        slotted, listed = Slotted(), [threading.Lock()]
        slotted.lock = threading.Lock()
        from gopy import monkey, _core
        monkey.patch_all()
        print(type(lock) is _core.Lock, type(rlock) is _core.RLock)
        print(type(condition._lock) is _core.RLock, condition.acquire.__self__ is condition._lock)
        print(type(event._cond._lock) is _core.Lock, type(logger.lock) is _core.RLock)
        print(type(slotted.lock) is _core.Lock, type(listed[0]) is _core.Lock)
        with condition:
            condition.notify_all()
        event.set()
        """,
    ) == ["True True", "True True", "True True", "True True"]


def test_late_queues_are_exchanged(run_program):
    """What is in them, too. One of another class stays, and is told of."""
    assert says(
        run_program,
        """
        import queue, warnings
        warnings.simplefilter("always")
        there, held = queue.SimpleQueue(), [queue.SimpleQueue()]
        there.put(1)
        there.put(2)
        from gopy import monkey, _core
        monkey.patch_all()
        print(type(there) is type(held[0]) is _core.SimpleQueue, there.qsize(), there.get(), there.get(), held[0].empty())
        """,
    ) == ["True 2 1 2 True"]
    source = """
        import queue, warnings
        class Mine(queue.SimpleQueue):
            pass
        mine = Mine()
        from gopy import monkey
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            monkey.patch_all()
        print(len(caught), "a queue (<__main__.Mine object at" in str(caught[0].message))
        """
    assert says(run_program, source) == ["1 True"]


def test_late_conditions_of_a_class_of_their_own(run_program):
    """Their lock is exchanged, and their __init__ is not called for that."""
    assert says(
        run_program,
        """
        import threading
        class Named(threading.Condition):
            def __init__(self, name, *, lock=None):
                super().__init__(lock)
                self.name = name
        named = Named("x")
        from gopy import monkey, _core
        monkey.patch_all()
        print(named.name, type(named._lock) is _core.RLock, named.acquire.__self__ is named._lock)
        with named:
            print(named.wait(0.001), type(named._waiters).__name__)
        """,
    ) == ["x True True", "False Waiters"]


def test_what_is_not_repaired_is_told_once(run_program):
    source = """
        import threading, warnings
        warnings.simplefilter("always")
        from gopy import monkey
        held, free, started, over = threading.Lock(), threading.Lock(), threading.Event(), threading.Event()
        held.acquire()

        def other():
            with over:
                pass

        end = threading.Lock()
        end.acquire()
        thread = threading.Thread(target=end.acquire, name="other-thread")
        thread.start()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            monkey.patch_all()
        end.release()
        thread.join()
        print(len(caught), caught[0].category.__name__, caught[0].filename == __file__)
        print(caught[0].message)
        """
    first, second = says(run_program, source)
    assert first == "1 PatchWarning True"
    assert "a lock that is held" in second
    assert "threads that run already (other-thread)" in second
    assert second.endswith("or run the program by `python -m gopy`")


def test_early_there_is_no_warning(run_program):
    says(run_program, PATCH)


# python -m gopy


def test_a_script(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "beside.py").write_text("value = 7\n")
    script = tmp_path / "sub" / "script.py"
    script.write_text(
        "import sys, time, gopy.monkey, beside\n"
        "print(__name__, sys.argv[1:], sys.argv[0] == __file__, beside.value)\n"
        "print(gopy.monkey.is_patched('time'), sys.modules['__main__'].__dict__ is globals())\n"
        "sys.exit(3)\n"
    )
    done = run_gopy("sub/script.py", "--no-time", "x", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == "__main__ ['--no-time', 'x'] True 7\nTrue True\n"


@pytest.mark.parametrize("kind", ["folder", "archive", "compiled"])
def test_a_script_that_is_no_source(tmp_path, kind):
    source = tmp_path / "folder" / "__main__.py"
    source.parent.mkdir()
    source.write_text(
        "import sys; from gopy import monkey; print(__name__, sys.argv, monkey.is_patched('os'))\n"
    )
    path = tmp_path / kind
    if kind == "archive":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(source, "__main__.py")
    elif kind == "compiled":
        py_compile.compile(str(source), str(path))
    done = run_gopy(path, "x", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"__main__ ['{path}', 'x'] True\n"


def test_a_script_that_is_not_there(tmp_path):
    done = run_gopy("nowhere.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "python -m gopy: there is no file 'nowhere.py'\n"


def test_a_module(tmp_path):
    (tmp_path / "mod.py").write_text("import sys\nprint(__name__, sys.argv, __spec__.name)\n")
    done = run_gopy("-m", "mod", "x", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"__main__ ['{tmp_path}/mod.py', 'x'] mod\n"


def test_code(tmp_path):
    code = "import sys; from gopy import monkey; print(sys.argv, monkey.is_patched('queue'), __name__)"
    done = run_gopy("--no-queue", "-c", code, "x", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "['-c', 'x'] False __main__\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "there is no program to run"),
        (["--no-nonsense", "x.py"], "unknown option --no-nonsense"),
        (["-x"], "unknown option -x"),
        (["-m"], "argument expected for the -m option"),
        (["--no-socket", "x.py"], "`ssl` needs `socket`"),
    ],
)
def test_bad_arguments(tmp_path, arguments, problem):
    done = run_gopy(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"python -m gopy: {problem}")
    assert "script.py" in done.stderr


def test_help(tmp_path):
    done = run_gopy("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--no-subprocess" in done.stdout
