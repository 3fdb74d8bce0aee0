"""One body, run in a bubble by every kind of goroutine: see kinds.py for how bodies are written."""

import pytest
from kinds import Awaiting, Blocking, finish, generator

from gopy import go, testing


class _Starting:
    """Besides, `go` starts a body as a goroutine of the same kind, and `pause` is testing.wait()."""

    def go(self, body, *args):
        return go(self.function(body, *args))

    async def pause(self):
        await self.call(testing, "wait")


class Stackful(_Starting, Blocking):
    def function(self, body, *args):
        return lambda: finish(body(self, *args))


class Async(_Starting, Awaiting):
    def function(self, body, *args):
        async def run():
            await body(self, *args)

        return run


class Generator(_Starting, Awaiting):
    def function(self, body, *args):
        def run():
            yield from generator(body(self, *args))

        return run


WAYS = {"stackful": Stackful(), "async": Async(), "generator": Generator()}
EACH_WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
EACH_P = pytest.mark.parametrize("procs", [1, 2, 8])


def run(way, body, *args, **kwargs):
    """body(way, *args) in a bubble."""
    return testing.synctest(way.function(body, *args), **kwargs)
