"""Whoever takes a function to run in a goroutine takes every kind that go() takes, and refuses what that refuses."""

import functools

import pytest

from gopy import Chan, context, deferring, errgroup, go, net, runtime, sync, time


class Functions:
    """Functions of every kind that send their arguments to `done` after a wait."""

    def __init__(self):
        self.done = Chan(1)

    def plain(self, *args):
        runtime.gosched()
        self.done.send(args)

    async def coroutine(self, *args):
        await runtime.agosched()
        await self.done.asend(args)

    def generator(self, *args):
        yield runtime.agosched()
        yield from self.done.asend(args)

    @classmethod
    async def of_the_class(cls, self, *args):
        await self.coroutine(*args)

    @staticmethod
    def static(self, *args):
        yield from self.generator(*args)


class Plain(Functions):
    def __call__(self, *args):
        self.plain(*args)


class Async(Functions):
    async def __call__(self, *args):
        await self.coroutine(*args)


class Generating(Functions):
    def __call__(self, *args):
        yield from self.generator(*args)


class Partial(functools.partial):
    pass


def functions_of(self):
    async def coroutine(*args):
        await self.coroutine(*args)

    def generator(*args):
        yield from self.generator(*args)

    def called(cls):
        made = cls()
        made.done = self.done
        return made

    return {
        "function": lambda *args: self.plain(*args),
        "method": self.plain,
        "object": called(Plain),
        "partial": functools.partial(self.plain),
        "builtin": functools.partial(Chan.send, self.done, ()),
        "async function": coroutine,
        "async method": self.coroutine,
        "async class method": functools.partial(self.of_the_class, self),
        "async object": called(Async),
        "async object's method": called(Async).__call__,
        "partial of an async function": functools.partial(coroutine),
        "partial of a partial of an async method": functools.partial(functools.partial(self.coroutine)),
        "partial of an async object": functools.partial(called(Async)),
        "subclass of partial": Partial(coroutine),
        "generator function": generator,
        "generator method": self.generator,
        "static generator method": functools.partial(self.static, self),
        "generating object": called(Generating),
        "partial of a generator function": functools.partial(generator),
        "coroutine": coroutine(),
        "generator": generator(),
    }


OBJECTS = ("coroutine", "generator")
NAMES = []
for name, fn in functions_of(Functions()).items():
    NAMES.append(name)
    if name in OBJECTS:
        fn.close()


def taken_by_errgroup(method):
    def take(fn):
        group = errgroup.Group()
        getattr(group, method)(fn)
        group.wait()

    return take


def taken_by_wait_group(fn):
    group = sync.WaitGroup()
    group.go(fn)
    group.wait()


def taken_by_context(fn):
    ctx, cancel = context.with_cancel(context.background())
    context.after_func(ctx, fn)
    cancel()


def taken_by_ended_context(fn):
    ctx, cancel = context.with_cancel(context.background())
    cancel()
    context.after_func(ctx, fn)


TAKERS = {
    "go": go,
    "WaitGroup.go": taken_by_wait_group,
    "errgroup.Group.go": taken_by_errgroup("go"),
    "errgroup.Group.try_go": taken_by_errgroup("try_go"),
    "time.after_func": lambda fn: time.after_func(0.001, fn),
    "context.after_func": taken_by_context,
    "context.after_func, ended": taken_by_ended_context,
}
takers = pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)


@pytest.fixture
def functions():
    made = Functions()
    functions = functions_of(made)
    functions["done"] = made.done
    yield functions
    for name in OBJECTS:
        functions[name].close()


@takers
@pytest.mark.parametrize("name", NAMES)
def test_is_run(take, name, functions):
    take(functions[name])
    assert functions["done"].recv(timeout=10) == ()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OBJECTS and name != "builtin"])
@pytest.mark.parametrize("limit", [None, 1])
def test_serves(name, limit, functions, until):
    with net.listen("tcp", "127.0.0.1:0") as ln:
        server = go(lambda: ln.serve(functions[name], limit=limit))
        for _ in range(2):
            with net.dial("tcp", str(ln.addr)) as conn:
                (served,) = functions["done"].recv(timeout=10)
                assert conn.read() == b""  # it is closed at the end
                assert served.closed
    server.join()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OBJECTS and name != "builtin"])
def test_defers(name, functions):
    go(deferring(functions[name]))
    (defer,) = functions["done"].recv(timeout=10)
    assert type(defer).__name__ == "Defer"


async def async_generator(*args):
    yield


class AsyncGenerating:
    async def __call__(self, *args):
        yield


def generator():
    yield


def ended():
    made = generator()
    list(made)
    return made


@takers
@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: 5, "TypeError: `fn` must be callable, a coroutine or a generator, got int"),
        (lambda: None, "TypeError: `fn` must be callable, a coroutine or a generator, got NoneType"),
        (
            lambda: async_generator(),
            "TypeError: `fn` must be callable, a coroutine or a generator, got async_gen",
        ),
        (lambda: async_generator, "TypeError: `fn` must not be an async generator function: iterate it"),
        (AsyncGenerating, "TypeError: `fn` must not be an async generator function: iterate it"),
        (ended, "ValueError: `fn` is a generator that has ended already"),
    ],
)
def test_is_refused(take, make, error):
    with pytest.raises((TypeError, ValueError)) as info:
        take(make())
    assert f"{info.type.__name__}: {info.value}".startswith(error)


@pytest.mark.parametrize("take", [go, errgroup.Group().go, lambda *args: time.after_func(1000, *args)])
def test_an_object_takes_no_arguments(take):
    made = generator()
    with pytest.raises(TypeError, match="`fn` is a generator, which takes no arguments"):
        take(made, 1)


def test_a_listener_names_its_handler():
    with net.listen("tcp", "127.0.0.1:0") as ln:
        with pytest.raises(TypeError, match="`handler` must not be an async generator function"):
            ln.serve(async_generator)
        made = generator()
        with pytest.raises(TypeError, match="`handler` must be callable, got generator"):
            ln.serve(made)
