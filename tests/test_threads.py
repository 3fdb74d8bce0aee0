"""Threads that gopy does not run, and asyncio: they use the same channels as goroutines."""

import threading

import pytest

from gopy import Chan, ClosedChannelError, Goroutine, default, go, recv, runtime, select, send
from gopy import time as gotime


class Thread(threading.Thread):
    """A plain thread that has started, whose join() returns what fn returned or raises what it raised."""

    def __init__(self, fn, *args):
        super().__init__(daemon=True)
        self.fn, self.args = fn, args
        self.value = self.error = None
        self.start()

    def run(self):
        try:
            self.value = self.fn(*self.args)
        except BaseException as exc:
            self.error = exc

    def join(self, timeout=30):
        """The main goroutine waits in a way that lets goroutines run on the main thread meanwhile."""
        give_up = 0.0
        while self.is_alive():
            assert give_up < timeout, "the thread hangs"
            gotime.sleep(0.001)
            give_up += 0.001
        super().join()
        if self.error is not None:
            raise self.error
        return self.value


# Channels


def test_threads_and_goroutines_meet_on_a_channel():
    ch = Chan()
    thread = Thread(ch.recv)
    ch.send("to the thread")
    assert thread.join() == "to the thread"

    thread = Thread(ch.send, "from the thread")
    assert ch.recv() == "from the thread"
    thread.join()

    thread = Thread(lambda: [ch.recv() for _ in range(3)])
    for i in range(3):
        go(ch.send, i).join()
    assert thread.join() == [0, 1, 2]


def test_two_threads_meet_on_a_channel_while_no_goroutine_looks():
    ch = Chan()
    receiver, sender = Thread(ch.recv), Thread(ch.send, 1)
    sender.join()
    assert receiver.join() == 1


@pytest.mark.parametrize("capacity", [0, 1, 16])
def test_every_value_arrives_once_and_in_order(capacity):
    """Threads and goroutines on both ends; what one sender sent, one receiver sees in order."""
    ch = Chan(capacity)
    senders, receivers, n = 6, 6, 300
    received = [[] for _ in range(receivers)]

    def produce(who):
        for i in range(n):
            ch.send((who, i))

    def consume(into):
        for value in ch:
            into.append(value)

    threads = [Thread(consume, received[i]) for i in range(0, receivers, 2)]
    goroutines = [go(consume, received[i]) for i in range(1, receivers, 2)]
    producing = [Thread(produce, i) for i in range(0, senders, 2)]
    produced = [go(produce, i) for i in range(1, senders, 2)]
    for thread in producing:
        thread.join()
    for goroutine in produced:
        goroutine.join()
    ch.close()
    for thread in threads:
        thread.join()
    for goroutine in goroutines:
        goroutine.join()
    everything = [value for values in received for value in values]
    assert sorted(everything) == [(who, i) for who in range(senders) for i in range(n)]
    for values in received:
        for who in range(senders):
            mine = [i for sender, i in values if sender == who]
            assert mine == sorted(mine)


def test_close_wakes_threads():
    ch = Chan(zero="zero")
    receivers = [Thread(ch.recv_ok) for _ in range(3)]
    iterating = Thread(list, ch)
    choosing = Thread(select, recv(ch), recv(Chan()))
    ch.close()
    assert [thread.join() for thread in receivers] == [("zero", False)] * 3
    assert iterating.join() == []
    assert choosing.join() == (0, "zero", False)


def test_close_fails_the_send_of_a_thread(until):
    ch = Chan()
    thread = Thread(ch.send, 1)
    parked = runtime.num_goroutine()
    failed = []

    def fails():
        try:
            ch.send(2)
        except ClosedChannelError:
            failed.append(2)

    other = go(fails)
    until(lambda: other.state == "chan send")
    assert runtime.num_goroutine() == parked + 1  # a thread that waits is no goroutine
    ch.close()
    with pytest.raises(ClosedChannelError, match="send on closed channel"):
        thread.join()
    other.join()
    assert failed == [2]


def test_timeouts_of_threads():
    ch = Chan()
    for wait in [
        lambda: ch.recv(timeout=0.01),
        lambda: ch.send(1, timeout=0.01),
        lambda: select(recv(ch), timeout=0.01),
        lambda: select(timeout=0.01),
        lambda: ch.recv(timeout=0),
    ]:
        with pytest.raises(TimeoutError):
            Thread(wait).join()
    thread = Thread(ch.recv)
    ch.send("nobody of them waits any more")
    assert thread.join() == "nobody of them waits any more"


def test_select_of_a_thread():
    a, b = Chan(), Chan()
    assert Thread(select, recv(a), send(b, 1), default).join() == (2, None, True)
    thread = Thread(select, recv(a), send(b, 1))
    assert b.recv() == 1
    assert thread.join() == (1, None, True)
    thread = Thread(select, recv(a), send(b, 1))
    a.send(2)
    assert thread.join() == (0, 2, True)


def test_sleep_of_a_thread_blocks_only_that_thread():
    thread = Thread(gotime.sleep, 0.05)
    ch = Chan()
    go(ch.send, 1)
    assert ch.recv() == 1
    assert thread.join() is None
    Thread(gotime.sleep, -1).join()


def test_a_thread_that_waits_does_not_hold_the_gil():
    ch = Chan()
    threads = [Thread(ch.recv) for _ in range(4)]
    assert sum(range(100_000)) == 4999950000
    for i in range(4):
        ch.send(i)
    assert sorted(thread.join() for thread in threads) == [0, 1, 2, 3]


# go and gopy.runtime


def test_go_and_join_on_a_thread():
    ch = Chan()

    def body():
        goroutines = [go(ch.send, i) for i in range(10)]
        received = sorted(ch.recv() for _ in range(10))
        for goroutine in goroutines:
            goroutine.join()
            goroutine.join(0)
        return received, {type(g) for g in goroutines}, {g.state for g in goroutines}

    assert Thread(body).join() == (list(range(10)), {Goroutine}, {"dead"})


def test_join_timeout_on_a_thread():
    ch = Chan()
    goroutine = go(ch.recv)

    def body():
        for timeout in (0, 0.01):
            with pytest.raises(TimeoutError):
                goroutine.join(timeout)
        with pytest.raises(TypeError, match="`timeout`"):
            goroutine.join("1")

    Thread(body).join()
    waiting = Thread(goroutine.join)
    ch.send(None)
    waiting.join()


def test_a_thread_is_not_a_goroutine():
    def body():
        for call in (runtime.current, runtime.goexit, runtime.lock_os_thread, runtime.unlock_os_thread):
            with pytest.raises(RuntimeError):
                call()
        runtime.gosched()
        runtime.gosched()

    before = runtime.num_goroutine()
    Thread(body).join()
    assert runtime.num_goroutine() == before


def test_what_a_thread_may_ask():
    here = (runtime.num_goroutine(), runtime.GOMAXPROCS(), runtime.num_cpu(), set(runtime.stats()))
    assert (
        here
        == Thread(
            lambda: (runtime.num_goroutine(), runtime.GOMAXPROCS(), runtime.num_cpu(), set(runtime.stats()))
        ).join()
    )
    assert runtime.current() in Thread(runtime.goroutines).join()
    text = Thread(runtime.stack, True).join()
    assert text.startswith("goroutine 1 [")
    assert "test_what_a_thread_may_ask" in text
    assert "test_what_a_thread_may_ask" in Thread(runtime.current().stack).join()
    assert "in run" in Thread(runtime.stack).join()


def test_GOMAXPROCS_from_a_thread(gomaxprocs):
    gomaxprocs(3)
    assert Thread(gomaxprocs, 5).join() == 3
    assert gomaxprocs() == 5


def test_threads_come_and_go():
    """A thread leaves nothing behind that the next one on its stack or with its id could trip over."""
    ch = Chan()

    def body(i):
        ch.send(i)
        go(ch.send, i).join()

    for i in range(50):
        threads = [Thread(body, i) for _ in range(4)]
        assert [ch.recv() for _ in range(8)] == [i] * 8
        for thread in threads:
            thread.join()


def test_thread_local_storage_belongs_to_the_thread():
    local = threading.local()
    local.value = "main thread"
    found = Chan()
    go(lambda: found.send((threading.get_ident(), getattr(local, "value", None))))
    ident, value = found.recv()
    assert value == ("main thread" if ident == threading.get_ident() else None)


# Programs of their own


def test_import_on_a_plain_thread(run_programs):
    """gopy works at once on that thread; the main goroutine is the main thread's all the same."""
    program = """
        import sys, threading

        def body():
            import gopy
            from gopy import Chan, go, runtime
            try:
                runtime.current()
            except RuntimeError:
                pass
            else:
                raise AssertionError
            idents = Chan()
            goroutines = [go(lambda: idents.send(threading.get_ident())) for _ in range(10)]
            ran_on.update(idents.recv() for _ in range(10))
            for goroutine in goroutines:
                goroutine.join()
            gopy.time.sleep(0.01)
            assert threading.get_ident() not in ran_on

        ran_on = set()
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()  # the main thread is not there to run any goroutine
        assert ran_on and threading.get_ident() not in ran_on
        from gopy import Chan, Deadlock, go, runtime
        assert runtime.current().id == 1
        assert runtime.num_goroutine() == 1
        ch = Chan()
        go(ch.send, "fine")
        assert ch.recv() == "fine"
        try:
            ch.recv()
        except Deadlock:
            sys.exit(5)
    """
    for result in run_programs((program, {"env": {"GOMAXPROCS": n}}) for n in "14"):
        assert (result.returncode, result.stderr) == (5, "")


def test_a_plain_thread_waits_while_the_main_thread_is_elsewhere(run_programs):
    """The main thread sits in C all the time; timers, goroutines and panics' messages do not need it."""
    program = """
        import threading
        import gopy
        from gopy import Chan, go

        def body():
            ch = Chan()
            def later(i):
                gopy.time.sleep(0.01 * i)
                ch.send(i)
            for i in (3, 1, 2):
                go(later, i)
            received.extend(sorted(ch.recv() for _ in range(3)))
            try:
                ch.recv(timeout=0.01)
            except TimeoutError:
                received.append("timeout")

        received = []
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        assert received == [1, 2, 3, "timeout"], received
    """
    for result in run_programs((program, {"env": {"GOMAXPROCS": n}}) for n in "14"):
        assert (result.returncode, result.stderr) == (0, "")


def test_the_program_ends_though_threads_wait_for_ever(run_program, check_elapsed):
    """Daemon threads parked on channels and in joins neither hold up the exit nor speak up in it."""
    result = run_program(
        """
        import sys, threading
        from gopy import Chan, go, runtime, select, time

        ch = Chan()
        stuck = go(ch.recv)
        for wait in (ch.recv, stuck.join, lambda: select(), lambda: time.sleep(100)):
            threading.Thread(target=wait, daemon=True).start()
        time.sleep(0.05)
        sys.exit(9)
        """
    )
    assert (result.returncode, result.stdout, result.stderr) == (9, "", "")
    check_elapsed(result, 10)


def test_a_panic_in_a_goroutine_that_a_thread_started_ends_the_program(run_program):
    result = run_program(
        """
        import threading
        from gopy import Chan, go

        threading.Thread(target=lambda: go(lambda: 1 / 0)).start()
        Chan().recv()
        """
    )
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr
    assert "GoroutinePanic" in result.stderr


def test_asyncio_in_the_main_goroutine_and_goroutines_feed_each_other(run_programs):
    """The loop blocks the main thread in its selector, also when there is only one P."""
    program = """
        import asyncio
        from gopy import Chan, default, go, runtime, select, send, time

        requests, answers = Chan(100), asyncio.Queue()

        def square(loop):
            for n in requests:
                time.sleep(0.001)
                loop.call_soon_threadsafe(answers.put_nowait, n * n)

        async def ask(numbers):
            for n in numbers:
                requests.send(n)  # there is room: it does not park
                await asyncio.sleep(0)

        async def main():
            loop = asyncio.get_running_loop()
            workers = [go(square, loop) for _ in range(4)]
            await asyncio.gather(ask(range(0, 50)), ask(range(50, 100)))
            found = [await asyncio.wait_for(answers.get(), 10) for _ in range(100)]
            assert sorted(found) == [n * n for n in range(100)]
            assert runtime.current().id == 1
            requests.close()
            for worker in workers:
                await asyncio.to_thread(worker.join)

        for _ in range(2):
            answers = asyncio.Queue()
            asyncio.run(main())
            requests = Chan(100)
        print("done")
    """
    for result in run_programs((program, {"env": {"GOMAXPROCS": n}}) for n in "124"):
        assert (result.returncode, result.stdout, result.stderr) == (0, "done\n", "")


def test_asyncio_in_a_goroutine_and_on_a_thread(run_programs):
    """A loop belongs to the thread it runs on; the goroutine that runs it stays there."""
    program = """
        import asyncio, threading
        from gopy import Chan, go, time

        results = Chan()

        async def main(who):
            idents = {threading.get_ident()}
            for _ in range(20):
                await asyncio.sleep(0.0005)
                idents.add(threading.get_ident())
            return who, len(idents)

        def body(who):
            results.send(asyncio.run(main(who)))

        started = threading.Event()
        go(lambda: (started.set(), body("goroutine")))
        started.wait()  # in C: another M starts it
        threading.Thread(target=body, args=("thread",)).start()
        assert sorted(results.recv() for _ in range(2)) == [("goroutine", 1), ("thread", 1)]
        print("done")
    """
    for result in run_programs((program, {"env": {"GOMAXPROCS": n}}) for n in "12"):
        assert (result.returncode, result.stdout, result.stderr) == (0, "done\n", "")


def test_a_thread_of_gopys_that_has_ended_does_not_count_as_one_that_is(run_program):
    """If it did, a plain thread would pass for one of gopy's when a deadlock is looked for."""
    done = run_program(
        """
        import os, threading
        import time as pytime
        from gopy import Chan, go, runtime
        from gopy import time as gotime

        def ends_with_its_thread():
            runtime.lock_os_thread()
            idents.send(threading.get_native_id())

        idents, ch = Chan(), Chan()
        runtime.lock_os_thread()  # so that it does not run on this thread
        for _ in range(3):
            go(ends_with_its_thread)
            ident = idents.recv()
            while os.path.exists(f"/proc/self/task/{ident}"):
                gotime.sleep(0.001)
        threading.Thread(target=lambda: (pytime.sleep(0.3), ch.send("from the thread"))).start()
        print(ch.recv())
        """,
        env={"GOMAXPROCS": "1"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "from the thread\n", "")
