"""Each marked line has an error that type checkers must find, and no other line has one."""

from typing import assert_never

from gopy import (
    Chan,
    aselect,
    context,
    default,
    go,
    http,
    recv,
    runtime,
    select,
    send,
    singleflight,
    sync,
    time,
)


def function(x: int, y: str = "") -> None: ...


numbers, texts = Chan[int](), Chan[str](3)


def forgets_a_case() -> None:
    match select(recv(numbers), send(texts, "x"), default):
        case (0, _, _):
            pass
        case (1, _, _):
            pass
        case never:
            assert_never(never)  # error


def takes_one_for_the_other() -> None:
    match select(recv(numbers), recv(texts)):
        case (0, number, _):
            print(number.upper())  # error
        case (1, text, _):
            print(text + 1)  # error


async def awaits_one_for_the_other() -> None:
    match await aselect(recv(numbers), recv(texts)):
        case (0, number, _):
            print(number.upper())  # error
        case (1, text, _):
            print(text.upper())


def starts() -> None:
    go(function)  # error
    go(function, "x")  # error
    go(function, 1, z=1)  # error
    go(1)  # error
    runtime.go_locked(function)  # error
    wg = sync.WaitGroup()
    wg.go(function)  # error
    context.after_func(context.background(), function)  # error
    time.after_func(1, function)  # error
    time.after_func(1, function, "x")  # error
    time.after_func("1", function, 1)  # error
    time.after_func(1, function, 1, z=1)  # error
    context.after_func(context.background(), function, "x")  # error


def zeros() -> None:
    Chan(zero=0).send("x")  # error


def sends() -> None:
    send(numbers, "x")  # error
    select(1)  # error


def shares(group: singleflight.Group[str, bytes]) -> None:
    group.do("key", lambda: 1)  # error
    group.do(1, lambda: b"")  # error


def asks(client: http.Client) -> None:
    http.get("http://x/", timeout=1)  # error
    client.get("http://x/", headers={})  # error
    client.post("http://x/", "text/plain", "text")  # error
    client.post("http://x/", "text/plain", b"", header={"A": "b"}, ctx=1)  # error
