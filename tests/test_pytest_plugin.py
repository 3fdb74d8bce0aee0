"""The pytest plugin, in child pytests, beside the plugins that others use."""

import importlib.util
import re
import signal
import textwrap
import tomllib
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

HEAD = """
import pytest
from gopy import Chan, go, runtime, time
"""

RUN = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"


def has(module):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


@pytest.fixture
def pytest_of(run_program, tmp_path):
    """pytest_of(source, *options): how pytest ends on a file with that source."""

    def in_time(*args, **kwargs):
        return run_program(*args, timeout=100, **kwargs)  # there may be three Pythons to start

    def pytest_of(source, *options, head=HEAD, ini="", beside=(), run=in_time, env=()):
        (tmp_path / "test_it.py").write_text(head + textwrap.dedent(source))
        (tmp_path / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
        plugins = [("-p", name) for name in ("no:cacheprovider", "gopy_pytest", *beside)]
        # In the folder that it would make by itself it would clean up after all runs that this machine has seen.
        fixed = ("-rA", "--rootdir", tmp_path, "-c", tmp_path / "pytest.ini", "--basetemp", tmp_path / "temp")
        env = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **dict(env)}
        return run(RUN, *sum(plugins, ()), *fixed, *options, tmp_path / "test_it.py", env=env)

    return pytest_of


def outcomes(finished):
    """{test: outcome}, of -rA."""
    lines = [line.split() for line in finished.stdout.splitlines() if "test_it.py::" in line]
    found = {}
    for line in lines:
        if line[0] in ("PASSED", "FAILED", "ERROR", "SKIPPED", "XFAIL"):
            found.setdefault(line[1].partition("::")[2], set()).add(line[0])
    return found


def test_synctest(pytest_of):
    finished = pytest_of("""
        @pytest.fixture
        def five():
            return 5

        @pytest.mark.synctest
        @pytest.mark.parametrize("more", [1, 2])
        def test_plain(five, more):
            time.sleep(five + more)
            assert time.now() == five + more

        @pytest.mark.synctest
        async def test_async(five):
            await time.asleep(five)
            assert time.now() == five

        @pytest.mark.synctest
        @pytest.mark.goroutine
        def test_both():
            time.sleep(3)
            assert time.now() == 3

        @pytest.mark.synctest(seed=3)
        def test_seed():
            time.sleep(3)

        @pytest.mark.synctest
        def test_fails(five):
            time.sleep(five)
            assert time.now() == 6

        @pytest.mark.synctest
        def test_skips():
            pytest.skip("later")

        @pytest.mark.synctest
        @pytest.mark.xfail
        def test_xfails():
            assert False
        """)
    assert outcomes(finished) == {
        "test_plain[1]": {"PASSED"},
        "test_plain[2]": {"PASSED"},
        "test_async": {"PASSED"},
        "test_both": {"PASSED"},
        "test_seed": {"PASSED"},
        "test_fails": {"FAILED"},
        "test_xfails": {"XFAIL"},
    }
    assert "1 skipped" in finished.stdout
    assert "assert 5.0 == 6" in finished.stdout
    assert "bubble.start" not in finished.stdout


def test_goroutine(pytest_of):
    finished = pytest_of("""
        @pytest.mark.goroutine
        def test_plain(tmp_path):
            me = runtime.current()
            assert me.id != 1 and not me.stackless

        @pytest.mark.goroutine
        async def test_async(tmp_path):
            await time.asleep(0.001)
            assert runtime.current().stackless

        @pytest.mark.goroutine
        def test_fails():
            raise KeyError("mine")
        """)
    assert outcomes(finished) == {
        "test_plain": {"PASSED"},
        "test_async": {"PASSED"},
        "test_fails": {"FAILED"},
    }
    assert "KeyError: 'mine'" in finished.stdout


def test_gomaxprocs(pytest_of):
    finished = pytest_of(
        """
        seen = []

        @pytest.mark.gomaxprocs(1, 3)
        @pytest.mark.parametrize("x", "ab")
        def test_counts(x):
            seen.append(runtime.GOMAXPROCS())

        def test_it_is_put_back():
            assert seen.count(1) == seen.count(3) == 2
            assert runtime.GOMAXPROCS() == 2
        """,
        env={"GOMAXPROCS": "2"},
    )
    assert list(outcomes(finished).values()) == [{"PASSED"}] * 5


def test_unittest(pytest_of):
    finished = pytest_of("""
        import unittest

        class TestCase(unittest.TestCase):
            def setUp(self):
                self.seen = []

            @pytest.mark.synctest
            def test_bubble(self):
                time.sleep(5)
                self.assertEqual(time.now(), 5)

            @pytest.mark.synctest
            def test_fails(self):
                time.sleep(5)
                self.assertEqual(time.now(), 6)

            @pytest.mark.goroutine
            @pytest.mark.gomaxprocs(1, 3)
            def test_counts(self):
                self.seen.append(runtime.GOMAXPROCS())
                assert runtime.current().id != 1

            def tearDown(self):
                assert self.seen in ([], [1, 3])
        """)
    assert outcomes(finished) == {
        "TestCase::test_bubble": {"PASSED"},
        "TestCase::test_fails": {"FAILED"},
        "TestCase::test_counts": {"PASSED"},
    }


LEAKS = """
    @pytest.fixture(scope="session", autouse=True)
    def server():
        go(Chan().recv)

    def test_leaves():
        go(Chan().recv)

    @pytest.mark.leaks("error", grace=20)
    def test_leaves_none():
        go(time.sleep, 0.001)

    @pytest.mark.leaks
    def test_on_purpose():
        go(Chan().recv)

    @pytest.mark.leaks("error", ignore=lambda goroutine: goroutine.name == "ours")
    def test_ignored():
        go(Chan().recv).name = "ours"
    """


@pytest.mark.parametrize("setting", ["off", "warn", "error"])
def test_leaks(pytest_of, setting):
    finished = pytest_of(LEAKS, ini=f"gopy_leaks = {setting}\nfilterwarnings = default")
    found = outcomes(finished)
    assert found.pop("test_leaves") == ({"PASSED", "ERROR"} if setting == "error" else {"PASSED"})
    assert set(map(tuple, found.values())) == {("PASSED",)}
    assert ("1 goroutine left behind" in finished.stdout) == (setting != "off")
    assert ("1 warning" in finished.stdout) == (setting == "warn")


def test_a_setting_that_there_is_not(pytest_of):
    assert "gopy_leaks must be off, warn or error" in pytest_of("", ini="gopy_leaks = on").stderr


def test_a_panic_is_told_of_the_test_that_has_started_it(pytest_of):
    finished = pytest_of("""
        gate, done, left = Chan(), Chan(), []

        def test_leaves():
            def panics():
                left.append(runtime.current())
                gate.recv()
                done.close()
                raise KeyError("mine")

            go(lambda: go(panics))

        def test_later():
            gate.close()
            done.recv()
            left[0].join()

        def test_its_own():
            go(lambda: 1 / 0)
            time.sleep(10)

        def test_last():
            pass
        """)
    assert outcomes(finished) == {
        "test_leaves": {"PASSED", "ERROR"},
        "test_later": {"PASSED"},
        "test_its_own": {"FAILED"},
        "test_last": {"PASSED"},
    }
    assert "which this test has left behind" in finished.stdout
    assert "KeyError: 'mine'" in finished.stdout
    assert finished.returncode == 1


def test_a_panic_after_the_last_test(pytest_of):
    finished = pytest_of("""
        gate, left = Chan(), []

        def test_leaves():
            def panics():
                gate.recv()
                raise KeyError("mine")

            left.append(go(panics))

        @pytest.fixture(scope="session", autouse=True)
        def last():
            yield
            gate.close()
            left[0].join()
        """)
    assert "ERROR" in str(outcomes(finished))
    assert finished.returncode == 1


def test_a_deadlock_is_told_without_pytest(pytest_of):
    finished = pytest_of("""
        @pytest.mark.synctest
        def test_bubble():
            Chan().recv()

        def test_program():
            def waits(ch):
                ch.recv()

            go(waits, Chan())
            Chan().recv()
        """)
    assert outcomes(finished) == {"test_bubble": {"FAILED"}, "test_program": {"FAILED"}}
    told = finished.stdout.partition("= FAILURES =")[2].partition("short test summary")[0]
    assert "deadlock: all goroutines in bubble are blocked" in told
    assert "all goroutines are asleep - deadlock!" in told
    assert "in waits" in told
    assert "pluggy" not in told
    assert "_pytest" not in told


def test_ctrl_c_shows_every_goroutine(pytest_of, start_program, tmp_path):
    program = pytest_of(
        f"""
        from pathlib import Path

        def waits(ch):
            ch.recv()

        def test_hangs():
            goroutine = go(waits, Chan())
            while goroutine.state != "chan receive":
                time.sleep(0.001)
            Path({str(tmp_path / "there")!r}).touch()
            time.sleep(100)
        """,
        run=start_program,
    )
    program.wait_for((tmp_path / "there").exists)
    program.process.send_signal(signal.SIGINT)
    finished = program.finish()
    assert "KeyboardInterrupt" in finished.stdout
    assert "in waits" in finished.stdout
    assert finished.returncode == 2


def test_a_suite_without_gopy_does_not_load_it(pytest_of):
    finished = pytest_of(
        """
        import sys

        def test_nothing():
            assert not [name for name in sys.modules if name.partition(".")[0] == "gopy"]
            assert "gopy_pytest" in sys.modules
        """,
        head="",
    )
    assert outcomes(finished) == {"test_nothing": {"PASSED"}}


def test_the_entry_point():
    project = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["pytest11"] == {"gopy": "gopy_pytest"}


# Beside other plugins


@has("xdist")
def test_xdist(pytest_of):
    finished = pytest_of("""
        @pytest.mark.gomaxprocs(1, 2)
        @pytest.mark.synctest
        def test_bubble():
            time.sleep(5)
            assert time.now() == 5

        gate, left = Chan(), []

        def test_leaves():
            def panics():
                gate.recv()
                raise KeyError("mine")

            left.append(go(panics))

        @pytest.fixture(scope="session", autouse=True)
        def last():
            yield
            gate.close()
            for goroutine in left:  # in one of the two processes
                goroutine.join()
        """, "-n", "2", beside=["xdist.plugin"])  # fmt: skip
    found = outcomes(finished)
    assert found["test_bubble[P1]"] == found["test_bubble[P2]"] == {"PASSED"}
    assert found["test_leaves"] == {"PASSED", "ERROR"}


@has("pytest_timeout")
def test_timeout(pytest_of):
    finished = pytest_of("""
        def waits(ch):
            ch.recv()

        @pytest.fixture
        def waiting():
            goroutine = go(waits, Chan())
            while goroutine.state != "chan receive":
                time.sleep(0.001)

        @pytest.mark.timeout(0.2, func_only=True)
        def test_hangs(waiting):
            Chan().recv()

        @pytest.mark.timeout(20)
        @pytest.mark.synctest
        def test_bubble():
            time.sleep(100)
        """, beside=["pytest_timeout"])  # fmt: skip
    assert outcomes(finished) == {"test_hangs": {"FAILED"}, "test_bubble": {"PASSED"}}
    assert "Timeout" in finished.stdout
    assert "in waits" in finished.stdout


@has("pytest_timeout")
def test_timeout_by_a_thread(pytest_of):
    """It ends the process; the goroutines' stacks come after those of threads."""
    finished = pytest_of("""
        def waits(ch):
            ch.recv()

        @pytest.fixture
        def waiting():
            goroutine = go(waits, Chan())
            while goroutine.state != "chan receive":
                time.sleep(0.001)

        @pytest.mark.timeout(0.2, method="thread", func_only=True)
        def test_hangs(waiting):
            Chan().recv()
        """, "--capture", "no", beside=["pytest_timeout"])  # fmt: skip
    assert finished.returncode == 1
    output = finished.stdout + finished.stderr
    threads, _, goroutines = output.partition("~~~ goroutines ~~~")
    assert "Timeout" in threads
    assert re.search(r"^goroutine 1 \[", goroutines, re.MULTILINE)
    assert goroutines.count("[chan receive]") >= 1  # 2, if main has got so far
    assert "in waits" in goroutines
    assert "pluggy" not in goroutines


@has("pytest_cov")
def test_cov(pytest_of, tmp_path):
    finished = pytest_of("""
        @pytest.mark.synctest
        def test_bubble():
            def child():
                time.sleep(1)
                time.sleep(2)

            go(child)
            time.sleep(5)
        """, "--cov", tmp_path, "--cov-report", "term-missing", beside=["pytest_cov.plugin"])  # fmt: skip
    assert outcomes(finished) == {"test_bubble": {"PASSED"}}
    line = next(
        line
        for line in finished.stdout.splitlines()
        if line.split()[:1] and "test_it.py" in line and "%" in line
    )
    assert "100%" in line


@has("hypothesis")
def test_hypothesis(pytest_of):
    finished = pytest_of("""
        from hypothesis import HealthCheck, given, settings, strategies

        seen = []
        unhurried = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))

        @pytest.mark.synctest
        @settings(unhurried, max_examples=20)
        @given(strategies.integers(1, 100))
        def test_each_example_has_a_bubble(n):
            assert time.now() == 0
            time.sleep(n)
            assert time.now() == n
            seen.append(n)

        def test_it_was_called():
            assert len(seen) >= 10

        @pytest.mark.synctest
        @settings(unhurried)
        @given(strategies.integers(1, 100))
        def test_fails(n):
            time.sleep(n)
            assert time.now() < 50
        """, beside=["_hypothesis_pytestplugin"])  # fmt: skip
    assert outcomes(finished) == {
        "test_each_example_has_a_bubble": {"PASSED"},
        "test_it_was_called": {"PASSED"},
        "test_fails": {"FAILED"},
    }
    assert "n=50" in finished.stdout


def test_marks_that_say_what_is_unknown(pytest_of):
    done = pytest_of("""
        @pytest.mark.synctest(seeds=100)
        def test_seeds(): pass

        @pytest.mark.synctest(seed="x")
        def test_seed(): pass

        @pytest.mark.goroutine(1)
        def test_goroutine(): pass

        @pytest.mark.gomaxprocs
        def test_no_count(): pass

        @pytest.mark.gomaxprocs(0)
        def test_count(): pass

        @pytest.mark.leaks("loud")
        def test_leaks(): pass
        """)
    assert done.stdout.count("FAILED") == 6
    for text in (
        "pytest.mark.synctest: synctest() got an unexpected keyword argument 'seeds'",
        "pytest.mark.synctest: `seed` must be an int or None, got str",
        "pytest.mark.goroutine: goroutine() takes 0 positional arguments but 1 was given",
        "pytest.mark.gomaxprocs: gomaxprocs() missing 1 required positional argument",
        "pytest.mark.gomaxprocs: `count` must be 1 or more, got 0",
        "pytest.mark.leaks: `action` must be off, warn or error, got 'loud'",
    ):
        assert text in done.stdout


def test_who_has_started_the_test_is_not_told(pytest_of):
    """pytest has, whose frame is left out."""
    done = pytest_of("""
        @pytest.mark.synctest
        def test_hangs():
            Chan().recv()
        """)
    assert outcomes(done) == {"test_hangs": {"FAILED"}}
    assert "in test_hangs" in done.stdout
    assert "created by" not in done.stdout
