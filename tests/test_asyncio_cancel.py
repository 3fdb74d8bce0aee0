"""Asyncio tasks that are cancelled at any moment in calls made of several waits: nothing is lost, and nobody holds what
is nobody's."""

import asyncio
import random

import pytest

from gopy import Chan, context, errgroup, go, net, runtime, semaphore, singleflight, sync, time


@pytest.fixture
def run(new_event_loop):
    def run(main):
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(main)

    return run


async def turns(n):
    for _ in range(n):
        await asyncio.sleep(0)


async def cancel(task):
    """Whether it was cancelled before it had ended."""
    task.cancel()
    await asyncio.wait([task])
    return task.cancelled()


async def churn(rand, make, seconds=0.3, n=5):
    """Tasks that await make(), cancelled at random and replaced."""
    tasks = [asyncio.create_task(make()) for _ in range(n)]
    end = time.now() + seconds
    while time.now() < end:
        await turns(rand.randrange(6))
        if rand.random() < 0.1:
            await asyncio.sleep(0.0002)
        i = rand.randrange(n)
        if not await cancel(tasks[i]):
            tasks[i].result()
        tasks[i] = asyncio.create_task(make())
    for task in tasks:
        await cancel(task)


@pytest.mark.parametrize("seed", range(3))
def test_a_semaphore_is_whole_after_any_cancellation(run, seed):
    rand, sem = random.Random(seed), semaphore.Weighted(3)

    async def take():
        n = rand.randrange(4)
        await sem.aacquire(n)
        try:
            await turns(rand.randrange(3))
        finally:
            sem.release(n)

    def beside(rand):
        while not end.try_lock():
            n = rand.randrange(1, 4)
            sem.acquire(n)
            runtime.gosched()
            sem.release(n)
            runtime.gosched()
        end.unlock()

    end = sync.Mutex()
    end.lock()
    goroutines = [go(beside, random.Random(i)) for i in range(2)]
    run(churn(rand, take))
    end.unlock()
    for goroutine in goroutines:
        goroutine.join()
    assert sem.try_acquire(3)
    assert not sem._waiters


def test_a_unit_handed_over_as_the_task_is_cancelled_goes_to_the_next(run):
    async def main():
        for n in range(8):
            sem = semaphore.Weighted(1)
            sem.acquire()
            task = asyncio.create_task(sem.aacquire())
            await turns(3)
            behind = go(sem.acquire)
            while len(sem._waiters) < 2:
                await time.asleep(0)
            sem.release()
            await turns(n)
            if await cancel(task):
                await behind.ajoin()
                sem.release()
            else:
                sem.release()
                await behind.ajoin()
                sem.release()
            assert sem.try_acquire()

    run(main())


def test_a_semaphore_and_a_context(run):
    async def main():
        sem = semaphore.Weighted(1)
        await sem.aacquire(ctx=context.background())
        ctx, stop = context.with_cancel(context.background())
        task = asyncio.create_task(sem.aacquire(1, ctx))
        await turns(3)
        stop()
        with pytest.raises(context.Canceled):
            await task
        with pytest.raises(TypeError, match="`n` must be an int"):
            await sem.aacquire("1")
        sem.release()
        assert sem.try_acquire()

    run(main())


@pytest.mark.parametrize("seed", range(3))
def test_a_limited_group_has_all_its_places_after_any_cancellation(run, seed):
    rand, group = random.Random(seed), errgroup.Group()
    group.set_limit(2)

    async def start():
        await group.ago(time.asleep if rand.random() < 0.5 else time.sleep, 1e-5)

    run(churn(rand, start))
    group.wait()
    group.set_limit(0)  # none is taken


def test_a_place_handed_over_as_the_task_is_cancelled_is_free(run):
    async def main():
        for n in range(8):
            group, end = errgroup.Group(), Chan()
            group.set_limit(1)
            group.go(end.recv_ok)
            task = asyncio.create_task(group.ago(int))
            await turns(3)
            end.close()
            await turns(n)
            await cancel(task)
            await group.await_()
            group.set_limit(0)

    run(main())


def test_a_group_that_is_awaited(run):
    class Oops(Exception):
        pass

    async def fail():
        await time.asleep(0)
        raise Oops

    async def main():
        with pytest.raises(Oops):
            async with errgroup.Group(context.background()) as group:
                await group.ago(fail)
        assert isinstance(context.cause(group.ctx), Oops)
        with pytest.raises(KeyError) as caught:
            async with errgroup.Group() as group:
                await group.ago(fail)
                raise KeyError
        assert isinstance(caught.value.__context__, Oops)
        end = Chan()
        group = errgroup.Group()
        group.go(end.recv_ok)
        task = asyncio.create_task(group.await_())
        await turns(3)
        assert await cancel(task)
        end.close()
        await group.await_()

    run(main())


# singleflight and once: whoever makes the call is cancelled.


@pytest.mark.parametrize("other", ["ado", "do", "do_chan"])
def test_who_waits_makes_the_call_if_the_one_that_made_it_is_cancelled(run, other, until):
    async def main():
        group, started = singleflight.Group(), asyncio.Event()

        async def slow():
            started.set()
            await asyncio.sleep(1000)

        async def quick():
            await asyncio.sleep(0)
            return 7

        leader = asyncio.create_task(group.ado("key", slow))
        await started.wait()
        if other == "ado":
            waiting = asyncio.create_task(group.ado("key", quick))
            await turns(2)
        elif other == "do":
            ch = Chan(1)
            go(lambda: ch.send(group.do("key", lambda: 7)))
            waiting = asyncio.ensure_future(ch.arecv())
        else:
            waiting = asyncio.ensure_future(group.do_chan("key", lambda: 7).arecv())
        while group._calls["key"].dups < 1:
            await asyncio.sleep(0)
        assert await cancel(leader)
        result = await asyncio.wait_for(waiting, 20)
        assert (result.val if other == "do_chan" else result[0]) == 7
        while group._calls:
            await asyncio.sleep(0)

    run(main())


def test_who_waits_is_cancelled_alone(run):
    async def main():
        group, go_on = singleflight.Group(), asyncio.Event()

        async def slow():
            await go_on.wait()
            return 7

        leader = asyncio.create_task(group.ado("key", slow))
        await turns(2)
        waiting = asyncio.create_task(group.ado("key", slow))
        await turns(2)
        assert await cancel(waiting)
        go_on.set()
        assert (await leader)[0] == 7
        with pytest.raises(ZeroDivisionError):
            await group.ado("key", lambda: 1 / 0)
        assert not group._calls

    run(main())


def test_a_first_call_that_is_cancelled_does_not_count(run):
    async def main():
        started, calls = asyncio.Event(), []

        async def first():
            calls.append("first")
            started.set()
            await asyncio.sleep(1000 if len(calls) == 1 else 0)
            return len(calls)

        once, value, nothing = sync.Once(), sync.aonce_value(first), sync.aonce_func(first)
        for call in (lambda: once.ado(first), value, nothing):
            calls.clear()
            started.clear()
            leader = asyncio.create_task(call())
            await started.wait()
            waiting = asyncio.create_task(call())
            await turns(3)
            assert await cancel(leader)
            assert await waiting == (2 if call is value else None)
            await call()
            assert len(calls) == 2
        assert value.__name__ == "first"

    run(main())


def test_once_value_of_one_that_fails(run):
    async def fail():
        await time.asleep(0)
        raise KeyError("x")

    async def main():
        for fn in (fail, lambda: {}["x"]):
            value = sync.aonce_value(fn)
            for _ in range(3):
                with pytest.raises(KeyError):
                    await value()

    run(main())


# Connections


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("seed", range(2))
def test_no_byte_is_lost_to_readers_that_are_cancelled(run, secure, seed, certificates):
    rand = random.Random(seed)
    data = rand.randbytes(200_000)
    tls = certificates.context(server_side=True) if secure else None
    listener = net.listen("tcp", "127.0.0.1:0", tls=tls)

    def send():
        with listener.accept() as conn:
            at, mine = 0, random.Random(seed)
            while at < len(data):
                n = mine.choice([1, 100, 5000])
                conn.write(data[at : at + n])
                at += n
                if mine.random() < 0.2:
                    time.sleep(1e-4)

    async def main():
        client = certificates.context() if secure else None
        conn = await net.adial("tcp", f"localhost:{listener.addr.port}", tls=client)
        got = bytearray()

        async def read():
            left = len(data) - len(got)
            how = rand.randrange(3)
            if how == 0:
                got.extend(await conn.aread_full(min(rand.choice([1, 1000, 20_000]), left)))
            elif how == 1:
                buffer = bytearray(rand.choice([1, 300]))
                n = await conn.aread_into(buffer)
                got.extend(buffer[:n])
            else:
                got.extend(await conn.aread(rand.choice([1, 1000, 65536])))

        while len(got) < len(data):
            task = asyncio.create_task(read())
            await turns(rand.randrange(5))
            if not await cancel(task):
                task.result()
            if rand.random() < 0.5:
                await read()
        assert got == data
        await conn.aclose()

    sender = go(send)
    run(main())
    sender.join()
    listener.close()


@pytest.mark.parametrize("seed", range(2))
def test_no_connection_is_lost_to_accepts_that_are_cancelled(run, seed):
    rand, accepted, n = random.Random(seed), [], 50

    async def main():
        listener = await net.alisten("tcp", "127.0.0.1:0")
        dialling = go(lambda: [net.dial("tcp", str(listener.addr)).write(b"%d;" % i) for i in range(n)])

        async def accept():
            accepted.append(await listener.aaccept())

        while len(accepted) < n:
            tasks = [asyncio.create_task(accept()) for _ in range(2)]
            await turns(rand.randrange(6))
            if rand.random() < 0.3:
                await asyncio.sleep(0.0005)
            for task in tasks:
                await cancel(task)
        assert sorted([int((await conn.aread()).strip(b";")) for conn in accepted]) == list(range(n))
        await dialling.ajoin()
        for conn in accepted:
            await conn.aclose()
        listener.close()

    run(main())
