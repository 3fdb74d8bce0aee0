"""Inside an asyncio loop the a-prefixed calls suspend the task: with asyncio's loop and, if it is there, uvloop's."""

import asyncio
import contextvars
import gc
import threading
import weakref

import pytest

from gopy import Chan, ClosedChannelError, aselect, default, go, nilchan, recv, runtime, send, sync, time


@pytest.fixture
def run(new_event_loop):
    def run(main):
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(main)

    return run


def test_every_call(run):
    async def main():
        ch = Chan(1)
        await ch.asend(1)
        assert await ch.arecv() == 1
        await time.asleep(0.001)
        await time.asleep(0)
        await runtime.agosched()
        assert await aselect(recv(ch), default) == (1, None, True)
        goroutine = go(time.sleep, 0.002)
        await goroutine.ajoin()
        assert goroutine.state == "dead"
        ch.close()
        assert await ch.arecv_ok() == (None, False)
        with pytest.raises(ClosedChannelError):
            await ch.asend(1)
        assert [v async for v in ch] == []

    run(main())


def test_tasks_goroutines_and_threads_meet_on_one_channel(run):
    n = 200

    async def main():
        ch, out = Chan(), Chan(4 * n)

        async def task_send(base):
            for i in range(n):
                await ch.asend(base + i)

        def send_all(base):
            for i in range(n):
                ch.send(base + i)

        async def stackless(base):
            for i in range(n):
                await ch.asend(base + i)

        async def task_receive():
            async for v in ch:
                await out.asend(v)

        receivers = [asyncio.create_task(task_receive()) for _ in range(2)]
        receiver = go(lambda: [out.send(v) for v in ch])
        thread = threading.Thread(target=send_all, args=(0,))
        thread.start()
        goroutines = [go(send_all, n), go(stackless, 2 * n)]
        await task_send(3 * n)
        await asyncio.to_thread(thread.join)
        for goroutine in goroutines:
            await goroutine.ajoin()
        ch.close()
        await asyncio.gather(*receivers)
        await receiver.ajoin()
        out.close()
        return sorted(out)

    assert run(main()) == list(range(4 * n))


def test_waiters_are_served_in_order(run):
    async def main():
        ch, order = Chan(), []

        async def task(i):
            order.append((i, await ch.arecv()))

        tasks = []
        for i in range(10):
            tasks.append(asyncio.create_task(task(i)))
            await asyncio.sleep(0)
        for i in range(10):
            await ch.asend(i)
        await asyncio.gather(*tasks)
        assert sorted(order) == [(i, i) for i in range(10)]

    run(main())


def test_woken_from_another_thread(run):
    async def main():
        ch = Chan()
        for i in range(100):
            thread = threading.Thread(target=ch.send, args=(i,))
            thread.start()
            assert await ch.arecv() == i
            await asyncio.to_thread(thread.join)
        threads = [threading.Thread(target=ch.recv) for _ in range(20)]
        for thread in threads:
            thread.start()
        for i in range(20):
            await ch.asend(i)
        for thread in threads:
            await asyncio.to_thread(thread.join)

    run(main())


# Cancellation.


def test_a_cancelled_task_leaves_its_queue(run):
    async def main():
        ch = Chan()
        operations = [
            lambda: ch.arecv(),
            lambda: ch.arecv_ok(),
            lambda: ch.asend(1),
            lambda: aselect(recv(ch), recv(Chan())),
            lambda: time.asleep(1000),
            lambda: nilchan.arecv(),
            lambda: aselect(),
        ]
        for operation in operations:

            async def body(operation=operation):
                await operation()

            task = asyncio.create_task(body())
            await asyncio.sleep(0.001)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(TimeoutError):
                ch.send(1, timeout=0)
            with pytest.raises(TimeoutError):
                ch.recv(timeout=0)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(operation(), 0.002)

    run(main())


def test_cancelled_before_it_has_begun(run):
    async def main():
        ch = Chan(1)

        async def body():
            await ch.asend(1)

        task = asyncio.create_task(body())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(ch) == 0

    run(main())


@pytest.mark.parametrize("capacity", [0, 1, 3])
@pytest.mark.parametrize("how", ["arecv", "arecv_ok", "aselect", "async for"])
def test_a_value_handed_over_as_the_task_is_cancelled_stays_in_the_channel(run, capacity, how):
    async def main():
        ch, got = Chan(capacity), []

        async def receive():
            if how == "aselect":
                got.append((await aselect(recv(Chan()), recv(ch)))[1])
            elif how == "arecv_ok":
                got.append((await ch.arecv_ok())[0])
            elif how == "arecv":
                got.append(await ch.arecv())
            else:
                async for v in ch:
                    got.append(v)
                    break

        task = asyncio.create_task(receive())
        await asyncio.sleep(0.001)
        ch.send("handed over")  # to the task, which has not run since
        for i in range(capacity):  # and others behind it
            ch.send(i)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert got == []
        extra = go(ch.send, "last")
        assert await ch.arecv() == "handed over"
        assert [await ch.arecv() for _ in range(capacity)] == list(range(capacity))
        assert await ch.arecv() == "last"
        await extra.ajoin()

        # and with another one waiting behind it
        tasks = [asyncio.create_task(receive()) for _ in range(2)]
        await asyncio.sleep(0.001)
        ch.send("again")
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert got == ["again"]

        # and when the channel is closed in between
        task = asyncio.create_task(receive())
        await asyncio.sleep(0.001)
        ch.send("closed")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ch.close()
        assert [v async for v in ch] == ["closed"]
        assert await ch.arecv_ok() == (None, False)

    run(main())


def test_a_lock_handed_over_as_the_task_is_cancelled_is_let_go(run):
    async def main():
        mutex, rw = sync.Mutex(), sync.RWMutex()
        for lock, acquire in [(mutex, mutex.alock), (rw, rw.alock), (rw, rw.arlock)]:
            lock.lock()
            task = asyncio.create_task(wait(acquire))
            await asyncio.sleep(0.001)
            lock.unlock()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not lock.try_lock():
                await asyncio.sleep(0)
            task = asyncio.create_task(wait(acquire))
            await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            lock.unlock()
            assert lock.try_lock()
            lock.unlock()

    async def wait(acquire):
        await acquire()

    run(main())


def test_a_cancelled_wait_on_a_cond_has_its_lock_again(run):
    async def main():
        mutex = sync.Mutex()
        cond = sync.Cond(mutex)
        for held in (False, True):
            held_at_the_end = []

            async def body(held_at_the_end=held_at_the_end):
                async with mutex:
                    try:
                        await cond.await_()
                    finally:
                        held_at_the_end.append(mutex.locked())

            task = asyncio.create_task(body())
            await asyncio.sleep(0.001)
            if held:  # by another one: the cancelled one has to wait for it
                await mutex.alock()
            task.cancel()
            await asyncio.sleep(0.001)
            if held:
                assert not task.done()
                mutex.unlock()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert held_at_the_end == [True]
            assert not mutex.locked()

    run(main())


def test_a_value_given_back_goes_with_its_channel(run):
    class Value:
        pass

    async def main():
        ch = Chan()
        task = asyncio.create_task(take(ch))
        await asyncio.sleep(0.001)
        value = Value()
        ref = weakref.ref(value)
        ch.send(value)
        del value
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        return ref

    async def take(ch):
        await ch.arecv()

    ref = run(main())
    gc.collect()
    assert ref() is None


def test_timeouts_and_task_groups(run):
    async def main():
        ch = Chan()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.002):
                await ch.arecv()
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(wait(ch))
                group.create_task(fail())
        go(ch.send, 5)
        assert await asyncio.wait_for(ch.arecv(), 50) == 5
        assert (await asyncio.gather(ch.asend(1), ch.arecv()))[1] == 1
        assert await asyncio.shield(asyncio.ensure_future(time.asleep(0.001))) is None

    async def wait(ch):
        await ch.arecv()

    async def fail():
        await asyncio.sleep(0.001)
        raise ValueError

    run(main())


def test_churn_of_cancelled_tasks_loses_nothing(run):
    """Receivers are cancelled at random while goroutines send: what was sent is received, once."""
    import random

    rand = random.Random(1)
    n = 2000

    async def main():
        ch, got = Chan(), []

        async def receive():
            while True:
                got.append(await ch.arecv())

        sender = go(lambda: [ch.send(i) for i in range(n)])
        tasks = [asyncio.create_task(receive()) for _ in range(5)]
        while len(got) < n:
            await asyncio.sleep(rand.choice((0, 0, 0.0002)))
            i = rand.randrange(len(tasks))
            tasks[i].cancel()
            await asyncio.gather(tasks[i], return_exceptions=True)
            tasks[i] = asyncio.create_task(receive())
        await sender.ajoin()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return got

    assert sorted(run(main())) == list(range(n))


def test_context_is_the_tasks(run):
    variable = contextvars.ContextVar("variable")

    async def main():
        async def body(i):
            variable.set(i)
            await time.asleep(0.001)
            assert variable.get() == i
            await Chan(1).asend(1)
            assert variable.get() == i

        await asyncio.gather(*(body(i) for i in range(20)))

    run(main())


def test_a_loop_on_a_plain_thread(run):
    ch, done = Chan(), Chan(1)

    async def main():
        await ch.asend(await ch.arecv() + 1)
        await time.asleep(0.001)

    def body():
        run(main())
        done.send(True)

    thread = threading.Thread(target=body)
    thread.start()
    ch.send(1)
    assert ch.recv() == 2
    assert done.recv()
    thread.join()


def test_a_loop_in_a_goroutine(run, in_goroutine):
    async def main():
        ch = Chan()
        goroutine = go(ch.send, 3)
        value = await ch.arecv()
        await goroutine.ajoin()
        return value

    assert in_goroutine(run, main()) == 3


def test_a_loop_within_a_step(run):
    """It blocks, so it keeps the worker; what it awaits is the loop's, not the goroutine's."""
    done = Chan(1)

    async def inner():
        ch = Chan()
        task = asyncio.create_task(ch_send(ch))
        value = await ch.arecv()
        await task
        return value

    async def ch_send(ch):
        await asyncio.sleep(0.001)
        await ch.asend("inner")

    async def body():
        await runtime.agosched()
        value = run(inner())
        await runtime.agosched()
        await done.asend(value)

    goroutine = go(body)
    assert done.recv() == "inner"
    goroutine.join()


def test_descriptors_and_loops_are_let_go(run, until):
    import os

    def once():
        async def main():
            await time.asleep(0)
            ch = Chan()
            go(ch.send, 1)
            await ch.arecv()

        run(main())

    once()
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        once()
    until(lambda: gc.collect() >= 0 and len(os.listdir("/proc/self/fd")) <= before)


def test_anyio_on_asyncio():
    anyio = pytest.importorskip("anyio")

    async def main():
        ch, got = Chan(), []

        async def receive():
            async for v in ch:
                got.append(v)

        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            go(lambda: [ch.send(i) for i in range(3)] and ch.close())
        with anyio.move_on_after(0.002) as scope:
            await Chan().arecv()
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.002):
                await aselect(send(Chan(), 1))
        return got

    assert anyio.run(main) == [0, 1, 2]


def test_no_descriptor_to_wait_with(run_program):
    """The task that has to wait gets the error, and may go on. One that need not wait needs none."""
    done = run_program(
        """
        import asyncio, os, resource
        from gopy import Chan, aselect, go, recv, sync

        async def main():
            full, empty, cond = Chan(1), Chan(), sync.Cond(sync.Mutex())
            full.send(1)
            await cond.L.alock()
            taken = []
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            try:
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                pass
            for wait in (empty.arecv, lambda: full.asend(2), lambda: aselect(recv(empty)), cond.await_, cond.L.alock):
                try:
                    await wait()
                except OSError as exc:
                    print(exc.strerror)
            assert await full.arecv() == 1
            cond.L.unlock()
            for fd in taken:
                os.close(fd)
            go(empty.send, "value")
            print(await empty.arecv())

        asyncio.run(main())
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["Too many open files"] * 5 + ["value"]
