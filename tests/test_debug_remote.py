"""python -m gopy ps|stacks|profile PID, and GOPY_DUMP."""

import concurrent.futures
import json
import os
import signal
import subprocess
import sys
from typing import NamedTuple

import pytest

from gopy.debug import _command, _remote

PARKED = """
from gopy import Chan, go
ch = Chan()
def worker():
    ch.recv()
for _ in range(5):
    go(worker)
while not all(g.state == "chan receive" for g in __import__("gopy").runtime.goroutines()[1:]):
    __import__("gopy").runtime.gosched()
print("ready", flush=True)
"""
ENDS = {
    "parked": "import gopy; gopy.time.sleep(60)",
    "computes": "while True: pass",
    "in_c": "import time\nwhile True: time.sleep(0.01)",
}


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """The machine may be busy."""
    monkeypatch.setattr(_remote, "PATIENCE", 40.0)


def files_of(pid):
    """What is left in the folder of questions to that process, or of its answers. Other tests have theirs."""
    folder = _remote.FOLDER.format(uid=os.geteuid())
    return [name for name in os.listdir(folder) if name.partition(".")[0] == str(pid)]


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def ask(capsys):
    """python -m gopy, without a process of its own."""

    def ask(*arguments):
        try:
            status = _command.main([str(argument) for argument in arguments])
        except SystemExit as exc:
            status = exc.code
        return Done(status, *capsys.readouterr())

    return ask


def run_module(*arguments):
    command = [sys.executable, "-m", "gopy", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def started(start_program):
    def started(source, **options):
        program = start_program(source, **options)
        program.wait_for(lambda: "ready\n" in program.stdout)
        return program

    return started


by_exec = pytest.param(
    {},
    marks=pytest.mark.skipif(not hasattr(sys, "remote_exec"), reason="sys.remote_exec is 3.14's"),
    id="exec",
)


@pytest.mark.parametrize("env", [pytest.param({"GOPY_DUMP": "SIGQUIT"}, id="signal"), by_exec])
@pytest.mark.parametrize("end", ENDS)
def test_the_goroutines_of_a_process(env, end, ask, started):
    program = started(PARKED + ENDS[end], env=env)
    done = run_module("ps", program.pid) if end == "parked" else ask("ps", program.pid)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["ID", "STATE", "WAITED", "BY", "NAME", "WHERE"]
    assert sum("chan receive" in line and "in worker" in line for line in lines) == 5
    done = ask("stacks", program.pid)
    assert (done.returncode, done.stderr) == (0, "")
    assert "5 @ chan receive" in done.stdout
    done = ask("stacks", program.pid, "--tree")
    assert (done.returncode, done.stderr) == (0, "")
    assert "└─ 5 x worker (2, 3, 4, 5, 6) [chan receive" in done.stdout
    found = json.loads(ask("ps", program.pid, "--json").stdout)
    assert [one["name"] for one in found] == ["main"] + ["worker"] * 5
    assert program.stderr == ""
    assert not files_of(program.pid)
    program.kill()


def test_gopy_dump_writes_stacks(started):
    """A signal that nobody asks a question by."""
    program = started(PARKED + ENDS["parked"], env={"GOPY_DUMP": "SIGQUIT"})
    os.kill(program.pid, signal.SIGQUIT)
    program.wait_for(lambda: "created by" in program.stderr)
    assert "SIGQUIT: goroutine dump" in program.stderr
    program.kill()


def test_a_signal_of_dump_on(ask, started):
    source = "import signal\nfrom gopy import runtime\nruntime.dump_on(signal.SIGUSR2)\n" + PARKED
    program = started(source + ENDS["parked"])
    done = ask("ps", program.pid, "--signal", "USR2")
    assert (done.returncode, done.stderr) == (0, "")
    done = ask("ps", program.pid, "--signal", "USR1")
    assert done.returncode == 1
    assert done.stderr == (
        f"python -m gopy ps: process {program.pid} has no handler for SIGUSR1, which would end it\n"
    )
    program.kill()


def test_a_profile(ask, started, until):
    source = "from gopy import go\ndef burns():\n  while True: pass\nprint('ready', flush=True)\nburns()"
    program = started(source, env={"GOPY_DUMP": "SIGUSR1"})

    def is_seen():
        done = ask("profile", program.pid, "--seconds", "0.3", "--format", "collapsed")
        assert (done.returncode, done.stderr) == (0, "")
        return "burns (" in done.stdout

    until(is_seen, seconds=40)
    program.kill()


def test_a_process_that_ends(ask, started):
    """While it is asked, or before; whether or not its parent has noticed."""
    source = """
import os, time
from gopy.debug import _remote
_remote.QUESTIONS["profile"] = lambda request: os._exit(0)
print("ready", flush=True)
while True: time.sleep(0.01)
"""
    program = started(source, env={"GOPY_DUMP": "SIGUSR1"})
    done = ask("profile", program.pid, "--seconds", "60")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"python -m gopy profile: process {program.pid} has ended\n"
    done = ask("ps", program.pid)
    assert done.stderr == f"python -m gopy ps: there is no process {program.pid}\n"


def test_several_ask_at_once(started):
    program = started(PARKED + ENDS["computes"], env={"GOPY_DUMP": "SIGQUIT"})
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: _remote.ask(program.pid, "snapshot"), range(8)))
    assert [len(answer) for answer in answers] == [6] * 8
    assert program.stderr == ""
    program.kill()


def test_a_request_that_nobody_waits_for(started):
    """Whoever had asked was killed before the process could see it: the next signal is a user's, who wants a dump."""
    program = started(PARKED + ENDS["parked"], env={"GOPY_DUMP": "SIGUSR1"})
    folder = _remote._folder(os.geteuid())
    request = {"question": "snapshot", "reply": f"{folder}/{program.pid}.0.0", "seconds": 0}
    with open(f"{folder}/{program.pid}", "w") as file:
        json.dump(request, file)
    os.kill(program.pid, signal.SIGUSR1)
    program.wait_for(lambda: "SIGUSR1: goroutine dump" in program.stderr)
    assert not files_of(program.pid)
    program.kill()


def test_who_has_asked_is_gone(started):
    """Nobody wants the trace: it ends, and another can begin."""
    source = """
from gopy import time, trace
print("ready", flush=True)
while not trace._record._running: time.sleep(0.001)
print("begun", flush=True)
while trace._record._running: time.sleep(0.001)
print("ended", flush=True)
time.sleep(60)
"""
    program = started(source, env={"GOPY_DUMP": "SIGUSR1"})
    asks = subprocess.Popen([sys.executable, "-m", "gopy", "trace", str(program.pid), "--seconds", "10000"])
    program.wait_for(lambda: "begun\n" in program.stdout)
    asks.kill()
    asks.wait()
    program.wait_for(lambda: "ended\n" in program.stdout)
    program.wait_for(lambda: not files_of(program.pid))
    program.kill()


@pytest.mark.parametrize("command", ["profile", "trace"])
def test_who_has_asked_is_interrupted(command, started):
    """It says nothing, and leaves nothing behind."""
    program = started("import time\nimport gopy\nprint('ready', flush=True)\nwhile True: time.sleep(0.01)",
                      env={"GOPY_DUMP": "SIGUSR1"})  # fmt: skip
    line = [sys.executable, "-m", "gopy", command, str(program.pid), "--seconds", "10000"]
    asks = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    folder = _remote.FOLDER.format(uid=os.geteuid())

    def left():
        return [name for name in os.listdir(folder) if name.startswith(f"{program.pid}.")]

    program.wait_for(lambda: os.path.isdir(folder) and left())
    asks.send_signal(signal.SIGINT)
    assert asks.communicate(timeout=30) == ("", "")
    assert asks.returncode == 130
    program.wait_for(lambda: not left())
    program.kill()


def test_nobody_reads_on(started):
    """As in `python -m gopy ps PID | head -0`."""
    program = started(PARKED + ENDS["parked"], env={"GOPY_DUMP": "SIGUSR1"})
    reads, writes = os.pipe()
    os.close(reads)
    line = [sys.executable, "-m", "gopy", "ps", str(program.pid)]
    done = subprocess.run(line, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, "")
    program.kill()


def test_a_terminal_that_has_not_all_characters(started):
    program = started(PARKED + ENDS["parked"], env={"GOPY_DUMP": "SIGUSR1"})
    line = [sys.executable, "-m", "gopy", "stacks", "--tree", str(program.pid)]
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u2514\\u2500 5 x worker" in done.stdout
    program.kill()


@pytest.mark.parametrize(
    "option", [("--seconds", "nan"), ("--seconds", "-1"), ("--seconds", "1e9"), ("--hz", "0"), ("--hz", "x")]
)
def test_a_bad_number(option, ask):
    done = ask("profile", os.getpid(), *option)
    assert done.returncode == 2
    assert f"argument {option[0]}: it must be a " in done.stderr


def test_an_output_that_cannot_be_written(ask):
    done = ask("profile", os.getpid(), "--seconds", "10000", "-o", "/nowhere/at/all")
    assert done.returncode == 1
    assert "No such file" in done.stderr


def test_what_cannot_be_asked(ask, started):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    done = ask("ps", gone.pid)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"python -m gopy ps: there is no process {gone.pid}\n"
    assert ask("ps", 0).stderr == "python -m gopy ps: there is no process 0\n"
    for wrong in ("x", "-1"):
        assert ask("ps", wrong).returncode != 0
    program = started("print('ready', flush=True)\nimport time\nwhile True: time.sleep(0.01)")
    done = ask("ps", program.pid)
    assert done.returncode == 1
    if hasattr(sys, "remote_exec"):
        assert done.stderr.startswith(f"python -m gopy ps: process {program.pid} ")
    else:
        assert "must have been started with GOPY_DUMP=SIGQUIT" in done.stderr
    program.kill()


def test_another_users_process(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 65533)
    with pytest.raises(_remote.RemoteError, match=r"process \d+ is user \d+'s: only that user and root"):
        _remote.ask(os.getpid(), "snapshot")


def test_a_folder_that_others_may_use(monkeypatch, tmp_path):
    """Whoever could put files there could make us write elsewhere."""
    monkeypatch.setattr(_remote, "FOLDER", str(tmp_path / "{uid}"))
    os.mkdir(tmp_path / str(os.geteuid()), 0o700)
    os.chmod(tmp_path / str(os.geteuid()), 0o755)
    with pytest.raises(_remote.RemoteError, match="must be a folder that only user"):
        _remote.ask(os.getpid(), "snapshot")
    assert not _remote.answer()


def test_a_bad_setting(run_program):
    done = run_program("import gopy", env={"GOPY_DUMP": "SIGNONE"})
    assert done.returncode == 1
    assert (
        "the environment variable GOPY_DUMP must be a signal, such as SIGQUIT, got 'SIGNONE'" in done.stderr
    )
