"""Questions of another process about this one: `python -m gopy ps|stacks|trace|profile PID`.

Whoever asks writes a request, a JSON file named by the process's number, into a folder that belongs to the
process's user and to nobody else, and has the process's main thread look at it: by a signal for which
runtime.dump_on() has installed its handler (GOPY_DUMP does), or by sys.remote_exec(). The answer is another
file there. A request is data: it names one of a few questions, and never runs code.

There is one request at a time: whoever asks holds the folder's lock until the request has been taken, so that
each poke finds its own. Until the answer has come, whoever asks holds another lock, by which the process sees
whether anybody waits for it still.

Both sides are here: ask() is called by the one process, answer() in the other.
"""

import contextlib
import fcntl
import functools
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from gopy import blocking, go
from gopy.debug._snapshot import snapshot

FOLDER = "/tmp/gopy-{uid}"  # not tempfile's: both processes must mean the same one
PATIENCE = 10.0  # seconds for an answer to come, besides those that the question itself takes


class RemoteError(Exception):
    """Why there is no answer, for people."""


def _folder(uid: int) -> str:
    """The folder of that user, made if need be. OSError: it is not theirs alone."""
    path = FOLDER.format(uid=uid)
    try:
        os.mkdir(path, 0o700)
        if uid != os.geteuid():
            os.chown(path, uid, -1)
    except FileExistsError:
        pass
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        raise OSError(f"{path} must be a folder that only user {uid} may use")
    return path


def _remove(*names: str) -> None:
    for name in names:
        with contextlib.suppress(OSError):
            os.unlink(name)


# ---- in the process that is asked ----


def _is_waited_for(request: dict[str, Any]) -> bool:
    try:
        with open(request["reply"] + ".asks") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _profile(request: dict[str, Any]) -> Any:
    from gopy.debug._profile import sample

    goes_on = functools.partial(_is_waited_for, request)
    return sample(float(request["seconds"]), int(request["hz"]), goes_on)


def _trace(request: dict[str, Any]) -> Any:
    from gopy import trace

    path, end = request["reply"] + ".trace", time.monotonic() + float(request["seconds"])
    trace.start(path)
    try:
        while time.monotonic() < end and _is_waited_for(request):
            time.sleep(min(0.1, max(end - time.monotonic(), 0)))
    finally:
        trace.stop()
        if not _is_waited_for(request):
            _remove(path)
    return path


QUESTIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "snapshot": lambda request: snapshot(),
    "profile": _profile,
    "trace": _trace,
}
LASTING = ("profile", "trace")  # answered on a thread of their own


def _reply(request: dict[str, Any]) -> None:
    try:
        value = {"value": QUESTIONS[request["question"]](request)}
    except Exception as exc:
        value = {"error": f"{type(exc).__name__}: {exc}"}
    if not _is_waited_for(request):
        _remove(request["reply"] + ".asks")
        return
    with contextlib.suppress(OSError):  # whoever asked has gone
        with open(request["reply"] + ".part", "w") as file:
            json.dump(value, file)
        os.rename(request["reply"] + ".part", request["reply"])


def answer() -> bool:
    """Answer the request that there is, if any. Called on the main thread."""
    folder = FOLDER.format(uid=os.geteuid())
    path = os.path.join(folder, str(os.getpid()))
    try:
        if _folder(os.geteuid()) != folder or os.lstat(path).st_uid not in (0, os.geteuid()):
            return False
        with open(path) as file:
            request = json.load(file)
        os.unlink(path)
        if os.path.dirname(request["reply"]) != folder or request["question"] not in QUESTIONS:
            return False
        if not _is_waited_for(request):  # it was for an earlier signal, or an earlier process of this number
            return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if request["question"] in LASTING:
        go(blocking, _reply, request)
    else:
        _reply(request)
    return True


# ---- in the process that asks ----

SCRIPT = """\
import sys
if "gopy" in sys.modules:
    from gopy.debug import _remote
    _remote.answer()
else:
    import json, os
    with open({reply!r} + ".part", "w") as file:
        json.dump({{"error": "process {pid} does not use gopy"}}, file)
    os.rename({reply!r} + ".part", {reply!r})
"""


def _has_ended(pid: int) -> bool:
    """Also if its parent has not waited for it yet."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # another user's; no Linux
        return False


def _owner(pid: int) -> int:
    """The user of the process, which we may ask. RemoteError: there is none, or it is another user's."""
    if pid <= 0 or _has_ended(pid):
        raise RemoteError(f"there is no process {pid}")
    if sys.platform == "linux":
        uid = os.stat(f"/proc/{pid}").st_uid
    else:
        import psutil  # type: ignore[import-untyped,unused-ignore]

        uid = psutil.Process(pid).uids().effective
    if os.geteuid() not in (0, uid):
        raise RemoteError(f"process {pid} is user {uid}'s: only that user and root may look into it")
    return uid


def _environment_signal(pid: int) -> int:
    """The signal that GOPY_DUMP has named in the process's environment; 0: none."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            settings = dict(line.partition(b"=")[::2] for line in file.read().split(b"\0"))
    except OSError:
        return 0
    try:
        return signal_of(settings.get(b"GOPY_DUMP", b"").decode())
    except ValueError:
        return 0


def signal_of(name: str) -> int:
    """SIGQUIT, QUIT or 3 -> 3; "" -> 0. ValueError: there is no such signal."""
    if name in ("", "0"):
        return 0
    if name.isdigit() and int(name) in signal.valid_signals():
        return int(name)
    try:
        return signal.Signals[name if name.startswith("SIG") else f"SIG{name}"].value
    except KeyError:
        raise ValueError(f"there is no signal {name}") from None


def _catches(pid: int, signum: int) -> bool:
    """Does the process have a handler for the signal? One that it does not handle might end it."""
    try:
        with open(f"/proc/{pid}/status") as file:
            caught = next(line for line in file if line.startswith("SigCgt:"))
    except (OSError, StopIteration):
        return True
    return bool(int(caught.split()[1], 16) >> (signum - 1) & 1)


def _poke(pid: int, signum: int, reply: str) -> None:
    """Have the process look at its request."""
    signum = signum or _environment_signal(pid)
    if signum:
        if not _catches(pid, signum):
            name = signal.Signals(signum).name
            raise RemoteError(f"process {pid} has no handler for {name}, which would end it")
        os.kill(pid, signum)
        return
    if not hasattr(sys, "remote_exec"):
        raise RemoteError(
            f"process {pid} cannot be asked: before Python 3.14 it must have been started with "
            "GOPY_DUMP=SIGQUIT in its environment, or have called runtime.dump_on(), whose signal --signal "
            "then names"
        )
    script = reply + ".py"
    with open(script, "w") as file:
        file.write(SCRIPT.format(reply=reply, pid=pid))
    os.chmod(script, 0o644)
    try:
        sys.remote_exec(pid, script)
    except Exception as exc:
        raise RemoteError(f"process {pid} cannot be asked: {exc}") from None


def _wait(pid: int, there: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        if _has_ended(pid):
            raise RemoteError(f"process {pid} has ended")
        if time.monotonic() > deadline:
            raise RemoteError(
                f"process {pid} has not answered for {seconds:.0f} s: it does not use gopy, or its main "
                "thread is in a call of C that does not return (py-spy shows where)"
            )
        time.sleep(0.01)


def _answer(pid: int, reply: str, seconds: float) -> Any:
    _wait(pid, lambda: os.path.exists(reply), seconds)
    with open(reply) as file:
        found = json.load(file)
    if "error" in found:
        raise RemoteError(found["error"])
    return found["value"]


def _give(path: str, uid: int) -> None:
    """The file is to be that user's, and nobody else's."""
    os.chmod(path, 0o600)
    if os.geteuid() != uid:
        os.chown(path, uid, -1)


@contextlib.contextmanager
def _locked(path: str, uid: int) -> Iterator[None]:
    """Hold the lock on the file, which is made if need be. RemoteError: somebody else has it for too long."""
    deadline = time.monotonic() + 2 * PATIENCE
    with open(path, "a") as file:
        _give(path, uid)
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RemoteError("others ask, too, and get no answer") from None
                time.sleep(0.01)
        yield


def _hand_over(pid: int, uid: int, signum: int, request: dict[str, Any]) -> None:
    """Have the process take the request."""
    path = os.path.join(os.path.dirname(request["reply"]), str(pid))
    try:
        with open(path + ".part", "w") as file:
            json.dump(request, file)
        _give(path + ".part", uid)
        os.rename(path + ".part", path)
        _poke(pid, signum, request["reply"])
        _wait(pid, lambda: not os.path.exists(path) or os.path.exists(request["reply"]), PATIENCE)
    finally:
        _remove(path + ".part", path)


def ask(pid: int, question: str, *, signum: int = 0, seconds: float = 0, **settings: Any) -> Any:
    """What the process answers. RemoteError: why it does not."""
    uid = _owner(pid)
    try:
        folder = _folder(uid)
        reply = os.path.join(folder, f"{pid}.{os.getpid()}.{time.monotonic_ns()}")
        request = {"question": question, "reply": reply, "seconds": seconds, **settings}
        try:
            with _locked(reply + ".asks", uid):
                with _locked(os.path.join(folder, "lock"), uid):
                    _hand_over(pid, uid, signum, request)
                return _answer(pid, reply, PATIENCE + seconds)
        finally:
            _remove(reply + ".asks", reply, reply + ".part", reply + ".py")
    except OSError as exc:
        raise RemoteError(str(exc)) from None
