"""Bubbles: a function, and all goroutines that come of it, on a clock of their own (runtime/synctest.h)."""

import _frozen_importlib
import sys
from collections.abc import Callable, Coroutine, Generator, Iterable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from gopy import _core, context, runtime
from gopy._arguments import check_callable, wrong_type
from gopy._core import Goroutine, kind_of
from gopy._panic import Deadlock, Panic, _Goexit

P = ParamSpec("P")
T = TypeVar("T")

ROUNDS = 10  # how often the goroutines that are left are told to end, until they are left as they are
TO_END = 1.0  # seconds that they have for it after Ctrl-C

EXITED = "deadlock: main bubble goroutine has exited but blocked goroutines remain"
BLOCKED = "deadlock: all goroutines in bubble are blocked"

WHAT_TO_DO = """\
In a bubble, use channels and locks that are made in it, net.pipe() instead of sockets, and gopy.time.sleep.
What must wait for something else (a descriptor, blocking(), a thread, a loop of asyncio's) keeps the clock
still until it has ended."""


class Bubble(_core.Bubble):
    """With what has become of its function."""

    __slots__ = ("error", "exited", "result")

    result: Any
    error: BaseException | None
    exited: bool

    def start(self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kind = kind_of(fn, len(args) + len(kwargs), "fn")
        self.result, self.error, self.exited = None, None, False
        run = {"plain": _plain, "generator": _generator, "coroutine": _coroutine}[kind]
        goroutine = self.go(run(self, fn, args, kwargs))
        goroutine.name = getattr(fn, "__qualname__", type(fn).__qualname__)

    def failed(self, exc: BaseException) -> None:
        """The first failure is the test's, and the end of all others."""
        if self.error is None:
            self.error = exc
        self.kill()

    def panicked(self, goroutine: Goroutine, exc: BaseException) -> None:
        if self.error is None:
            exc.add_note(f"in goroutine {goroutine.id} [{goroutine.name}] of the bubble")
        self.failed(exc)

    # The function runs within `with bubble`.
    def __enter__(self) -> None:
        pass

    def __exit__(self, cls: object, exc: BaseException | None, traceback: object) -> bool:
        try:
            if exc is not None and not isinstance(exc, _Goexit):
                self.failed(exc)
        finally:
            self.exited = True
            self.returned()
        return True

    def wait_for_end(self) -> None:
        for _ in range(ROUNDS):
            if self.join(None):
                return
            if self.error is None:
                self.error = self._deadlock()
            self.kill()

    def _deadlock(self) -> Panic:
        goroutines = [goroutine for goroutine, _ in self.goroutines()]
        stacks = runtime._dump(goroutines, sys._getframe())
        return Panic(f"{EXITED if self.exited else BLOCKED}\n\n{stacks}")


def _plain(bubble: Bubble, fn: Any, args: Any, kwargs: Any) -> Callable[[], None]:
    def run() -> None:
        with bubble:
            bubble.result = fn(*args, **kwargs)

    return run


def _generator(bubble: Bubble, fn: Any, args: Any, kwargs: Any) -> Generator[Any, Any, None]:
    with bubble:
        bubble.result = yield from (fn(*args, **kwargs) if callable(fn) else fn)


async def _coroutine(bubble: Bubble, fn: Any, args: Any, kwargs: Any) -> None:
    with bubble:
        bubble.result = await (fn(*args, **kwargs) if callable(fn) else fn)


_OURS = {_generator.__code__, _coroutine.__code__, *_plain.__code__.co_consts}


def _theirs(traceback: TracebackType | None) -> TracebackType | None:
    """Without the frame that has called the function."""
    if traceback is not None and traceback.tb_frame.f_code in _OURS and traceback.tb_next is not None:
        return traceback.tb_next
    return traceback


@overload
def synctest(
    fn: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, seed: int | None, **kwargs: Any
) -> T: ...
@overload
def synctest(fn: Callable[..., T], /, *args: Any, seed: int | None, **kwargs: Any) -> T: ...
@overload
def synctest(fn: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
@overload
def synctest(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
def synctest(fn: Any, /, *args: Any, seed: int | None = None, **kwargs: Any) -> Any:  # type: ignore[misc]
    """Run fn in a bubble and return what it returned.

    The bubble is the goroutine that runs fn and every goroutine, timer and context that is started inside.
    Its clock (time.now, sleep, timers, tickers, every timeout and deadline) begins at 0 and stands still
    while any of its goroutines can run; when all are durably blocked, that is in a channel, select, lock,
    Cond, WaitGroup, Once or timer that was made inside, in sleep() or in a join, it jumps to the next timer.
    A goroutine that waits for anything else is not durably blocked: the clock waits for it. If that takes 10
    real seconds in which nothing happens, stderr is told who waits.

    Parks until every goroutine of the bubble has ended. Raises what fn raised, or what another goroutine of
    the bubble panicked with; the others are then ended, as by goexit(). Panic ("deadlock: ...") with their
    stacks when all are durably blocked and no timer is left. Once fn has returned, tickers stand still, and
    the clock goes on for 24 hours at most. Panic, in whoever does it, for the use of a bubble's channel or
    timer from outside. RuntimeError in a bubble: they do not nest, but may run side by side. fn may be `async
    def`.

    With `seed`, one goroutine runs at a time, may be made to yield at every call into gopy, and which comes
    next, and which case a select takes, is drawn by the seed: the same each time, whatever GOMAXPROCS is.
    """
    __tracebackhide__ = True  # from pytest
    context.in_bubbles = True
    bubble = Bubble(seed)
    try:
        bubble.start(fn, args, kwargs)
        try:
            bubble.wait_for_end()
        except BaseException as exc:  # whoever waits has been interrupted
            if isinstance(exc, Deadlock):
                exc.add_note(WHAT_TO_DO)
            bubble.kill()
            try:
                bubble.join(TO_END)
            except TimeoutError:
                pass
            raise
    finally:
        bubble.close()
    error, bubble.error = bubble.error, None
    if error is None:
        return bubble.result
    try:
        raise error.with_traceback(_theirs(error.__traceback__))
    finally:
        del error


def explore(fn: Any, /, *args: Any, seeds: Iterable[int] = range(1000), **kwargs: Any) -> None:
    """synctest(fn, *args, seed=seed, **kwargs) for each of the seeds, until one fails.

    What is raised then has a note that names the seed: synctest with it does the same again. This finds what
    depends on the order in which goroutines come: lost wake-ups, double closes, checks that no longer hold
    when they are acted upon. Two goroutines change places only in calls into gopy.
    """
    __tracebackhide__ = True
    check_callable("fn", fn, "callable, as it is called for each seed")
    if not isinstance(seeds, Iterable):
        raise wrong_type("seeds", "an iterable of ints", seeds)
    for seed in seeds:
        try:
            synctest(fn, *args, seed=seed, **kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:
            name = getattr(fn, "__qualname__", type(fn).__qualname__)
            exc.add_note(f"explore: seed {seed}; synctest({name}, seed={seed}) replays it")
            raise


def stuck(tag: int) -> None:
    """Called by the core, on sysmon's thread: nothing has happened in a bubble for a while. What is patched
    into _thread by now may start a goroutine, importlib's does not."""
    _frozen_importlib._thread.start_new_thread(_say_stuck, (tag,))  # type: ignore[attr-defined]


def _say_stuck(tag: int) -> None:
    waits = [goroutine for goroutine, durably in _core.bubble_goroutines(tag) if not durably]
    if not waits or sys.stderr is None:
        return
    stacks = runtime._dump(waits, sys._getframe())
    head = "gopy.testing: nothing has happened in a bubble for 10 seconds. Its clock stands still because of"
    runtime._write(sys.stderr, f"{head}\n\n{stacks}\n{WHAT_TO_DO}\n")
