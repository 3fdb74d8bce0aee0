"""Programs that type checkers must accept; what they infer is asserted. It is checked, and never run."""

from collections.abc import Generator
from typing import assert_never, assert_type

from gopy import (
    Chan,
    aselect,
    context,
    default,
    errgroup,
    go,
    net,
    recv,
    runtime,
    select,
    semaphore,
    send,
    singleflight,
    sync,
    time,
)


def function(x: int, y: str = "") -> None: ...
async def coroutine(x: int) -> None: ...
def generator(x: int) -> Generator[None, None, None]:
    yield


numbers, texts = Chan[int](), Chan[str](3)


def narrows() -> str:
    match select(recv(numbers), send(texts, "x"), default):
        case (0, number, ok):
            assert_type(number, int)
            assert_type(ok, bool)
            return "received"
        case (1, nothing, _):
            assert_type(nothing, None)
            return "sent"
        case (2, _, _):
            return "neither"


def is_complete(ctx: context.Context) -> None:
    match select(recv(texts), recv(ctx.done()), timeout=1.5):
        case (0, text, True):
            assert_type(text, str)
        case (0, _, _):
            pass
        case (1, _, _):
            pass
        case never:
            assert_never(never)


def of_six() -> None:
    n, t = recv(numbers), recv(texts)
    match select(n, t, n, t, n, t):
        case (0 | 2 | 4, number, _):
            assert_type(number, int)
        case (1 | 3 | 5, text, _):
            assert_type(text, str)


def of_any_number() -> None:
    index, value, ok = select(*[recv(numbers) for _ in range(10)], timeout=None)
    assert_type(index, int)
    assert_type(ok, bool)
    print(value)


async def waits() -> None:
    match await aselect(recv(numbers), recv(texts)):
        case (0, number, _):
            assert_type(number, int)
        case (1, text, _):
            assert_type(text, str)


def starts() -> None:
    go(function, 1)
    go(function, 1, y="z")
    go(coroutine, 1)
    go(coroutine(1))
    go(generator, 1)
    go(generator(1))
    go(print, 1, 2, sep="")
    go(lambda: None)
    runtime.go_locked(function, 1, "z")
    wg = sync.WaitGroup()
    wg.go(function, 1)
    wg.go(coroutine(1))
    wg.go(function, x=1)
    context.after_func(context.background(), function, 1)
    context.after_func(context.background(), function, x=1, y="z")
    context.after_func(context.background(), coroutine(1))
    time.after_func(1, function, 1)
    time.after_func(1, function, 1, "z")
    time.after_func(1, function, x=1)
    time.after_func(1, coroutine(1))
    time.after_func(1, coroutine, 1)
    time.after_func(1, wg.done)


@go
def decorated() -> None: ...


def zeros() -> None:
    assert_type(Chan(zero=0), Chan[int])
    assert_type(Chan(3, zero=""), Chan[str])
    optional: Chan[int | None] = Chan(zero=None)
    optional.send(None)


def shares() -> None:
    group: singleflight.Group[str, bytes] = singleflight.Group()
    assert_type(group.do("key", lambda: b"value"), tuple[bytes, bool])
    assert_type(group.do_chan("key", bytes).recv().val, bytes | None)


async def awaits() -> None:
    group: singleflight.Group[str, bytes] = singleflight.Group()

    async def value() -> bytes:
        return b"value"

    assert_type(await group.ado("key", value), tuple[bytes, bool])
    assert_type(await group.ado("key", lambda: b"value"), tuple[bytes, bool])
    assert_type(await sync.aonce_value(value)(), bytes)
    assert_type(await sync.aonce_value(bytes)(), bytes)
    assert_type(await sync.aonce_func(value)(), None)
    assert_type(await net.adial("tcp", "localhost:80", timeout=1), net.Conn)
    tasks = errgroup.Group()
    await tasks.ago(function, 1, y="z")
    await tasks.ago(coroutine(1))
    assert_type(await semaphore.Weighted(1).aacquire(1, context.background()), None)
