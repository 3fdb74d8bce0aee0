"""golang.org/x/sync/semaphore: a weighted semaphore.

Who has to wait puts a channel of its own into `_waiters`, with its weight; who lets it in takes it out and
closes it. So a waiter that is no longer in `_waiters` holds its weight.
"""

from collections import OrderedDict, deque

from gopy import context
from gopy._arguments import check_int
from gopy._core import Chan, RecvChan, aselect, block_on, default, nilchan, recv, select
from gopy._panic import Panic
from gopy.sync import Mutex

__all__ = ["Weighted"]


def _raise_done(ctx: context.Context) -> None:
    if isinstance(ctx, context.Context):
        ctx.raise_if_done()
    raise ctx.err() or context.Canceled()


def _checked(n: int, ctx: context.Context | None) -> tuple[int, RecvChan[None]]:
    n = check_int("n", n, least=0)
    if ctx is None:
        return n, nilchan
    context._check_parent(ctx, "ctx")
    return n, ctx.done()


class _Locked:
    """with _Locked(semaphore): its lock is held. Who has given up meanwhile is let go when it is unlocked."""

    __slots__ = ("_semaphore",)

    def __init__(self, semaphore: "Weighted") -> None:
        self._semaphore = semaphore

    def __enter__(self) -> None:
        self._semaphore._mu.lock()

    def __exit__(self, *exc_info: object) -> None:
        self._semaphore._mu.unlock()
        self._semaphore._settle()


class Weighted:
    """A number n of units, of which anybody may hold some. Who waits is let in first come, first served, so
    that one who wants much is not starved by those who want little. For goroutines and threads at once."""

    __slots__ = ("_abandoned", "_cur", "_mu", "_size", "_waiters")

    def __init__(self, n: int) -> None:
        n = check_int("n", n, least=0)
        self._size = n
        self._cur = 0
        self._mu = Mutex()
        self._waiters: OrderedDict[Chan[None], int] = OrderedDict()
        self._abandoned: deque[tuple[Chan[None], int]] = deque()

    def acquire(self, n: int = 1, ctx: context.Context | None = None) -> None:
        """Take n units; park until there are that many and nobody is waiting in front.

        If ctx ends first, also if it has ended before, raise its error and take nothing. More than there will
        ever be is waited for until then, and holds nobody up.
        """
        n, done = _checked(n, ctx)
        if not self._take(n, done):
            block_on(self._wait(n, ctx, done))

    async def aacquire(self, n: int = 1, ctx: context.Context | None = None) -> None:
        """acquire() for those who await. A task that is cancelled takes nothing."""
        n, done = _checked(n, ctx)
        if not self._take(n, done):
            await self._wait(n, ctx, done)

    def _take(self, n: int, done: RecvChan[None]) -> bool:
        with _Locked(self):
            if self._size - self._cur < n or self._waiters or select(recv(done), default)[0] == 0:
                return False
            self._cur += n
            return True

    async def _wait(self, n: int, ctx: context.Context | None, done: RecvChan[None]) -> None:
        ready: Chan[None] = Chan()
        acquired = False
        try:
            with _Locked(self):
                if n <= self._size:
                    self._waiters[ready] = n
                    self._notify()  # there may be enough by now
            await aselect(recv(ready), recv(done))
            acquired = select(recv(done), default)[0] != 0
        finally:  # also if it was Ctrl-C that ended the wait, or the task is cancelled
            if not acquired:
                self._abandon(ready, n)
        if not acquired and ctx is not None:
            _raise_done(ctx)

    def _abandon(self, ready: Chan[None], n: int) -> None:
        """A waiter gives up. So does one whose coroutine the collector closes, in the midst of any of these
        methods: then who holds the lock lets the waiter go when it unlocks."""
        self._abandoned.append((ready, n))
        self._settle()

    def _settle(self) -> None:
        """Let go of the waiters that have given up, unless somebody holds the lock, who will do it."""
        while self._abandoned and self._mu.try_lock():
            try:
                while self._abandoned:
                    self._forget(*self._abandoned.popleft())
            finally:
                self._mu.unlock()

    def _forget(self, ready: Chan[None], n: int) -> None:
        if ready in self._waiters:
            was_front = next(iter(self._waiters)) is ready
            del self._waiters[ready]
            if was_front:
                self._notify()
        elif select(recv(ready), default)[0] == 0:  # let in meanwhile
            self._cur -= n
            self._notify()

    def try_acquire(self, n: int = 1) -> bool:
        """Take n units if they are there and nobody waits; else take nothing and return False."""
        n = check_int("n", n, least=0)
        with _Locked(self):
            if self._size - self._cur < n or self._waiters:
                return False
            self._cur += n
            return True

    def release(self, n: int = 1) -> None:
        """Give n units back. Panic: that is more than are held, and changes nothing."""
        n = check_int("n", n, least=0)
        with _Locked(self):
            if n > self._cur:
                raise Panic("semaphore: released more than held")
            self._cur -= n
            self._notify()

    def _notify(self) -> None:
        """Let in who waits in front, as long as there is enough for it: not one behind it that wants less,
        or it might starve."""
        while self._waiters:
            ready, n = next(iter(self._waiters.items()))
            if self._size - self._cur < n:
                return
            self._cur += n
            del self._waiters[ready]
            ready.close()
