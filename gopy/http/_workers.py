"""python -m gopy wsgi: a process that keeps workers, each a Server of a WSGI application on one port
(SO_REUSEPORT).

    SIGTERM, SIGINT    workers finish their requests, for `--grace` seconds, and end
    SIGHUP             new workers, with the application imported anew; when they listen, the old ones end
                       as above
    a worker dies      another one is started

A worker that cannot be started, as the system has no process, memory or descriptor left, is tried again after
a pause: the master lives for as long as nobody ends it.

The master only binds the port, so that it is taken and known; of a unix socket it keeps the one listener,
which all workers accept from. A worker says by a byte on a pipe that it listens, and ends when its other pipe
does: with the master, however that died.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal as signals
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from gopy import context, runtime, signal, time
from gopy._core import Chan, NetFD, RecvChan, block_on, default, go, recv, select, send
from gopy.http._server import Server, ServerClosed
from gopy.http._wsgi import import_application, wsgi
from gopy.net._addr import Addr
from gopy.net._listener import Listener, bind_any, listen

log = logging.getLogger("gopy.http")

PAUSE = 1.0  # seconds before a worker that died at once, or that could not be started, is tried again
BOOT_FAILED = 3  # exit status when a worker of the first ones never listened, as gunicorn's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Serve a WSGI application."
    parser.add_argument("app", help="module:attribute")
    parser.add_argument("--bind", "-b", default="127.0.0.1:8000", metavar="HOST:PORT", help="or unix:PATH")
    parser.add_argument("--workers", "-w", type=_positive, default=1, metavar="N", help="processes")
    parser.add_argument("--grace", type=float, default=30.0, metavar="SECONDS", help="for requests under way")
    parser.add_argument("--access-log", action="store_true", help="a line for each request, to stdout")
    parser.add_argument("--lifeline", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ready", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--listener", type=int, help=argparse.SUPPRESS)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text!r}")
    return int(text)


def main(args: argparse.Namespace) -> int:
    logging.basicConfig(format="%(asctime)s [%(process)d] %(message)s", level=logging.INFO)
    return Master(args).run() if args.ready is None else work(args)


# ---- a worker ----


def work(args: argparse.Namespace) -> int:
    stop: Chan[Any] = Chan(1)
    signal.notify(stop, signals.SIGTERM, signals.SIGINT)
    signals.signal(
        signals.SIGHUP, signals.SIG_IGN
    )  # a terminal sends it to all of them: the master's business
    app = import_application(args.app)
    server = Server(
        args.bind, wsgi(app), reuse_port=True, access_log=_print_line if args.access_log else None
    )
    failure: Chan[BaseException] = Chan(1)

    def serve() -> None:
        try:
            if args.listener is None:
                server.listen_and_serve()
            else:
                server.serve(Listener(NetFD(args.listener), args.bind, None, None))
        except (OSError, ServerClosed) as exc:
            failure.send(exc)

    go(serve)
    go(_watch_lifeline, args.lifeline, stop)
    while not server.addrs:
        if select(recv(failure), recv(time.after(0.001)))[0] == 0:
            return 1
    os.write(args.ready, b"r")
    os.close(args.ready)
    if select(recv(stop), recv(failure))[0] == 1:
        return 1
    ctx, cancel = context.with_timeout(context.background(), args.grace)
    try:
        server.shutdown(ctx)
    except context.DeadlineExceeded:
        server.close()
    finally:
        cancel()
    return 0


def _print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _watch_lifeline(fd: int, stop: Chan[Any]) -> None:
    runtime.wait_read(fd)
    select(send(stop, None), default)


# ---- the master ----


@dataclass(eq=False)
class Worker:
    process: subprocess.Popen[bytes]
    started: float
    leaving: bool = False  # it has been told to end
    ready: bool = False


class Master:
    """Keeps as many workers as there should be."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._workers: list[Worker] = []
        self._ready: Chan[Worker] = Chan(64)
        self._wanted: Chan[None] = Chan(64)  # a worker, as often as there is something in it
        self._some_ended: Chan[int] = Chan(1)
        self._lifeline, self._held = os.pipe()  # the workers' end, and ours
        self._listener: int | None = None  # the descriptor that workers inherit
        self._stopping = False

    def run(self) -> int:
        signs: Chan[int] = Chan(16)
        signal.notify(signs, signals.SIGTERM, signals.SIGINT, signals.SIGHUP)
        # One is enough to look at all of them, and takes no thread for each worker to wait in.
        signal.notify(self._some_ended, signals.SIGCHLD)
        try:
            placeholder, bind = self._bind()
        except (OSError, ValueError) as exc:
            log.error("%s: %s", self._args.bind, exc)
            return 1
        self._args.bind = bind
        with placeholder:
            for _ in range(self._args.workers):
                self._start()
            status = self._supervise(signs)
        os.close(self._held)
        os.close(self._lifeline)
        return status

    def _bind(self) -> tuple[Any, str]:
        """A socket that keeps the port, without listening, and the address with it; of a path, a listener."""
        if self._args.bind.startswith("unix:"):
            listener = listen("unix", self._args.bind[5:])
            self._listener = listener.fileno()
            return listener, self._args.bind
        sock, _ = block_on(bind_any("tcp", self._args.bind, socket.SOCK_STREAM, True, lambda _: None))
        host = self._args.bind.rpartition(":")[0].strip("[]")
        return sock, str(Addr(host, sock.getsockname()[1]))

    def _start(self) -> None:
        """Start a worker; if that can't be done, later."""
        try:
            worker, reading = self._spawn()
        except OSError as exc:
            log.error("no worker could be started: %s; trying again in %g seconds", exc, PAUSE)
            self._start_in(PAUSE)
        else:
            self._workers.append(worker)
            go(self._await_ready, worker, reading)

    def _start_in(self, seconds: float) -> None:
        time.after_func(seconds, self._wanted.send, None)

    def _spawn(self) -> tuple[Worker, int]:
        """A process, and the descriptor on which it says that it listens. OSError: there is no room."""
        reading, writing = os.pipe()
        try:
            process = subprocess.Popen(self._command(writing), pass_fds=self._passed(writing))
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return Worker(process, time.now()), reading

    def _command(self, ready: int) -> list[str]:
        args = self._args
        command = [sys.executable, *_flags(), "-m", "gopy", "wsgi", args.app, "--bind", args.bind]
        command += ["--grace", str(args.grace), "--lifeline", str(self._lifeline), "--ready", str(ready)]
        command += ["--access-log"] if args.access_log else []
        return command + ([] if self._listener is None else ["--listener", str(self._listener)])

    def _passed(self, ready: int) -> list[int]:
        return [self._lifeline, ready] + ([] if self._listener is None else [self._listener])

    def _await_ready(self, worker: Worker, fd: int) -> None:
        runtime.wait_read(fd)
        if os.read(fd, 1):
            self._ready.send(worker)
        os.close(fd)

    def _supervise(self, signs: RecvChan[int]) -> int:
        while self._workers or not self._stopping:
            match select(recv(signs), recv(self._ready), recv(self._wanted), recv(self._some_ended)):
                case (0, signum, _):
                    self._on_signal(signum)
                case (1, worker, _):
                    self._on_ready(worker)
                case (2, _, _):
                    if not self._stopping:
                        self._start()
                case _:
                    ended = [each for each in self._workers if each.process.poll() is not None]
                    for worker in ended:
                        if not self._on_end(worker):
                            return BOOT_FAILED
        return 0

    def _on_signal(self, signum: int) -> None:
        if signum == signals.SIGHUP:
            if not self._stopping:
                log.info("reloading")
                for _ in range(self._args.workers):
                    self._start()
            return
        self._stopping = True
        for worker in self._workers:
            self._tell_to_end(worker)

    def _tell_to_end(self, worker: Worker) -> None:
        worker.leaving = True
        worker.process.send_signal(signals.SIGTERM)

    def _on_ready(self, worker: Worker) -> None:
        worker.ready = True
        if self._stopping:
            return
        log.info("worker %d listens on %s", worker.process.pid, self._args.bind)
        serving = [each for each in self._workers if each.ready and not each.leaving]
        for old in serving[: -self._args.workers]:  # those of before a reload
            self._tell_to_end(old)

    def _on_end(self, worker: Worker) -> bool:
        """A worker has ended. False: there is none that has ever come to listen, so give up."""
        self._workers.remove(worker)
        if self._stopping or worker.leaving:
            return True
        status = worker.process.returncode
        log.error("worker %d ended with status %d", worker.process.pid, status)
        if not worker.ready and not any(each.ready for each in self._workers):
            self._stopping = True
            for each in self._workers:
                self._tell_to_end(each)
            return False
        staying = sum(not each.leaving for each in self._workers)
        if staying < self._args.workers:
            self._start_in(0 if time.now() - worker.started > PAUSE else PAUSE)
        return True


def _flags() -> list[str]:
    """The interpreter's own options, for the workers."""
    return subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined, no-any-return]
