"""The standard library in a bubble of gopy.testing."""

import pytest

HEAD = "import gopy.monkey; gopy.monkey.patch_all()\n"


@pytest.mark.parametrize("procs", ["1", "2", "8"])
def test_the_clocks_and_what_waits_for_them(run_program, procs):
    finished = run_program(
        HEAD
        + """\
import asyncio, threading, time
from gopy import testing

def body():
    assert (time.monotonic(), time.time()) == (0, 946684800)
    time.sleep(5)
    assert (time.monotonic_ns(), time.time_ns()) == (5 * 10**9, 946684805 * 10**9)
    event = threading.Event()
    thread = threading.Thread(target=event.set)  # a thread and its locks are outside: the clock waits for them
    thread.start()
    assert event.wait(20)
    thread.join()
    assert event.wait(0.001) and threading.Event().wait(0.001) is False
    assert time.monotonic() == 5

    async def coroutine():
        await asyncio.sleep(0.001)

    asyncio.run(coroutine())
    time.sleep(5)
    assert time.monotonic() == 10

before = time.monotonic()
testing.synctest(body)
assert 0 <= time.monotonic() - before < 10 and time.time() > 10**9
print("done")
""",
        env={"GOMAXPROCS": procs},
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "done\n", "")
