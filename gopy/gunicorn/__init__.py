"""gopy.gunicorn: a worker of gunicorn whose connections are goroutines.

    gunicorn -k gopy.gunicorn.Worker app:app

Importing this patches the standard library (gopy.monkey): gunicorn does so in its master before it loads the
application, which is thus right with --preload, too.
"""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from gopy import monkey

monkey.patch_all()

import errno

from gunicorn.sock import ssl_wrap_socket
from gunicorn.workers.base_async import AsyncWorker

from gopy import _core, context, go
from gopy.monkey._waiting import READ, wait
from gopy.semaphore import Weighted

__all__ = ["Worker"]

_NOBODY_THERE = (errno.EAGAIN, errno.ECONNABORTED)


class _Listener:
    """What a connection's handling needs of its listener, which may be closed by then.

    It stays non-blocking, as the master has made it: other workers have the same one, and any of them may
    take the connection for which this one has woken.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._name = sock.getsockname()

    def getsockname(self) -> Any:
        """Its address."""
        return self._name


class Worker(AsyncWorker):  # type: ignore[misc]
    """A goroutine for each connection, at most --worker-connections of them, which runs gunicorn's own
    handling of it.

    SIGTERM: what has connected is served, for --graceful-timeout seconds at most. A connection on which no
    request comes for --keep-alive seconds is closed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._free = Weighted(self.worker_connections)
        self._local = threading.local()

    def notify(self) -> None:
        """Tell the master that this process lives. Ends it if the master does not."""
        super().notify()
        if self.ppid != os.getppid():
            self.log.info("Parent changed, shutting down: %s", self)
            sys.exit(0)

    @contextlib.contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """While the next request of this goroutine's connection is awaited."""
        client = self._local.client
        client.settimeout(self.cfg.keepalive)
        try:
            yield
        except TimeoutError:  # none has come
            return
        client.settimeout(None)

    def run(self) -> None:
        """The life of the process, in the main goroutine."""
        ctx, stop = context.with_cancel(context.background())
        accepting = []
        for listener in map(_Listener, (each.sock for each in self.sockets)):
            accepting.append((listener, go(self._accept, listener, ctx)))
        while self.alive:
            self.notify()
            time.sleep(1.0)
        until = time.monotonic() + self.cfg.graceful_timeout
        stop()
        for listener, goroutine in accepting:
            _core.fd_closing(listener.sock)  # wakes it
            goroutine.join()
            self._drain(listener, until)
        for each in self.sockets:
            each.close()
        if not self._take(self.worker_connections, until):
            self.log.warning("Worker graceful timeout (pid:%s)", self.pid)

    def _take(self, places: int, until: float) -> bool:
        """Wait until so many connections more may be served, for which all others must have ended at the
        most. Whether they may, in time. Tells the master meanwhile that this process lives.
        """
        while not self._free.try_acquire(places):
            self.notify()
            left = until - time.monotonic()
            if left <= 0:
                return False
            ctx, cancel = context.with_timeout(context.background(), min(left, 1.0))
            try:
                self._free.acquire(places, ctx)
                return True
            except context.DeadlineExceeded:
                continue
            finally:
                cancel()
        return True

    def _accept(self, listener: _Listener, ctx: context.Context) -> None:
        """Start a goroutine for each connection, until ctx ends."""
        with contextlib.suppress(context.Canceled):
            while True:
                self._free.acquire(1, ctx)
                if not self._accept_one(listener):
                    self._free.release(1)
                    self._await(listener)

    def _await(self, listener: _Listener) -> None:
        """Park until somebody connects; for a second at the most, since run() wakes only who is parked."""
        with contextlib.suppress(OSError):  # it is not the time yet, or run() has woken it
            wait(listener.sock.fileno(), READ, 1.0)

    def _drain(self, listener: _Listener, until: float) -> None:
        """Serve those who have connected already. They are first in the kernel's queue, and no more than fit
        there; others who connect meanwhile could go on doing so for ever.
        """
        for _ in range(self.cfg.backlog + 1):
            if not self._take(1, until):
                return
            if not self._accept_one(listener):
                self._free.release(1)
                return

    def _accept_one(self, listener: _Listener) -> bool:
        """Whether there was one that has connected. It is served, and its place is free then."""
        try:
            client, address = listener.sock.accept()
        except OSError as exc:
            if exc.errno not in _NOBODY_THERE:
                self.log.exception("Cannot accept a connection")
                time.sleep(0.1)
            return False
        go(self._serve, listener, client, address)
        return True

    def _serve(self, listener: _Listener, client: socket.socket, address: Any) -> None:
        try:
            client.setblocking(True)
            if self.cfg.is_ssl:
                client = ssl_wrap_socket(client, self.cfg)
            self._local.client = client
            self.handle(listener, client, address)
        except OSError:
            self.log.debug("The connection of %s ended", address, exc_info=True)
            client.close()
        except Exception:  # one connection's fault is not the others'
            self.log.exception("Error in the connection of %s", address)
            client.close()
        finally:
            self._free.release(1)

    def handle_request(self, *args: Any) -> Any:
        """Serve one request."""
        with contextlib.suppress(SystemExit):  # of the application's: it ends the request
            return super().handle_request(*args)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGQUIT, SIGINT: end at once. It sleeps, which a signal handler must not."""
        go(super().handle_quit, sig, frame)

    def handle_usr1(self, sig: int, frame: FrameType | None) -> None:
        """SIGUSR1: reopen the log files, for which it takes their locks."""
        go(super().handle_usr1, sig, frame)
