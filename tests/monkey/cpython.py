"""CPython's own test files, each in a process of its own after patch_all().

    python tests/monkey/cpython.py [--all] [--jobs N] [--lib DIR] [--unpatched] [test_queue ...]

Exit status 1 if a test fails that expected_failures.toml does not list, if one that it lists passes, or if a file hangs. Without
names: those that take seconds; --all: also those that take minutes. --lib: the folder of the package `test`, for a Python that
comes without; processes that a test starts isolated do not see it. --unpatched: what fails without gopy, as tests of a later
version do.
"""

import argparse
import concurrent.futures
import importlib.util
import os
import pkgutil
import re
import subprocess
import sys
import sysconfig
import time
import tomllib
from pathlib import Path

QUICK = [
    "test_queue",
    "test_thread",
    "test_threading_local",
    "test_select",
    "test_poll",
    "test_epoll",
    "test_selectors",
    "test_sched",
    "test_wait3",
    "test_wait4",
    "test_context",
    "test_functools",
    "test_httplib",
    "test_urllib2_localnet",
    "test_xmlrpc",
    "test_httpservers",
    "test_poplib",
    "test_ftplib",
    "test_imaplib",
    "test_smtplib",
    "test_asyncore",
    "test_asynchat",
    "test_telnetlib",
    "test_threadsignals",
    "test_ssl",
    "test_threadedtempfile",
]
SLOW = [
    "test_socket",
    "test_threading",
    "test_subprocess",
    "test_signal",
    "test_fork1",
    "test_socketserver",
    "test_logging",
]
PACKAGES = [
    "test_concurrent_futures",
    "test_asyncio",
]  # each file of them; up to 3.11 the first is a file itself
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}{'t' * bool(sysconfig.get_config_var('Py_GIL_DISABLED'))}"
LIMIT = float(os.environ.get("LIMIT", "900"))  # seconds for one file
EXPECTED = Path(__file__).with_name("expected_failures.toml")
PATCHED = """
from gopy import monkey
monkey.patch_all()
import gopy
gopy.runtime.gosched()  # from here on the main thread is a goroutine
"""
CHILD = """
import sys
import unittest
from test import support
name = sys.argv.pop(1)
left_out, measures = {left_out!r}, {measures!r}
resource_enabled = support.is_resource_enabled
support.is_resource_enabled = lambda name: name not in ("network", "urlfetch") and resource_enabled(name)
original = unittest.TestCase.run
def run(self, result=None):
    if any(part in self.id() for part in left_out) or self.id().endswith(measures):
        result.startTest(self)
        result.addSkip(self, "left out")
        result.stopTest(self)
        return result
    return original(self, result)
unittest.TestCase.run = run
unittest.main(module="test." + name, argv=[name, *sys.argv[1:]], verbosity=2)
"""
LEFT_OUT = ["VSOCK", "VSock", "AIOHTTP"]  # what this machine may lack, besides other people's servers
MEASURES = (  # which a machine that is busy with others for a moment fails
    "test_epoll.TestEPoll.test_control_and_wait",  # poll() takes at most 10 ms
    "test_epoll.TestEPoll.test_unregister_closed",  # likewise
    "test_sched.TestCase.test_enter",  # no two lines are 100 ms apart
    "test_ssl.SimpleBackgroundTests.test_get_server_certificate_timeout",  # it gives up before 200 ms are over
)
# As verbosity 2 tells them: "test_x (test.test_queue.Class.test_x) ... FAIL", and once more at the end.
FAILED = re.compile(r"^(?:FAIL|ERROR): (\w+) \((?:test\.)?([\w.]+)\)", re.MULTILINE)


def expected() -> dict[str, str]:
    """{"test_queue.Class.test_x": why it fails}, with this version of Python"""
    return tomllib.loads(EXPECTED.read_text()).get(VERSION, {})


def slow() -> list[str]:
    """The names of all files that are not QUICK."""
    names = list(SLOW)
    for package in PACKAGES:
        spec = importlib.util.find_spec(f"test.{package}")
        folders = (spec and spec.submodule_search_locations) or ()
        inside = [
            f"{package}.{each.name}"
            for each in pkgutil.iter_modules(folders)
            if each.name.startswith("test_") and "windows" not in each.name
        ]
        names += inside or [package]
    return names


def run(name: str, arguments: list[str], begin: str = PATCHED) -> tuple[str, set[str], str, float]:
    """-> how it ended, what failed, the output, the seconds"""
    program = begin + CHILD.replace("{left_out!r}", repr(LEFT_OUT)).replace("{measures!r}", repr(MEASURES))
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", program, name, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        output, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        return "hangs", set(), output, time.monotonic() - began
    failed = set()
    for method, where in FAILED.findall(output):
        failed.add(where if where.endswith(f".{method}") else f"{where}.{method}")
    ran = re.search(r"^Ran (\d+) tests?", output, re.MULTILINE)
    how = f"ran {ran[1]}" if ran else "no module" if "No module named" in output else "died"
    return how, failed, output, time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--only", default="", help="a name for unittest's -k")
    parser.add_argument("--lib", help="the folder of the package `test`")
    parser.add_argument("--unpatched", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.lib:
        sys.path.insert(0, options.lib)
        os.environ["PYTHONPATH"] = options.lib  # of the files' processes, and of those that they start
    begin = "" if options.unpatched else PATCHED
    names = options.names or (QUICK + slow() if options.all else QUICK)
    known, wrong = {} if options.unpatched else expected(), []
    arguments = ["-k", options.only] if options.only else []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for name, (how, failed, output, seconds) in zip(
            names, pool.map(lambda n: run(n, arguments, begin), names), strict=True
        ):
            listed = {each for each in known if each.startswith(f"{name}.")}
            new, gone = failed - listed, set() if options.only else listed - failed
            if how in ("hangs", "died"):
                gone = set()
            print(f"{name}: {how}, {len(failed)} fail, {seconds:.0f} s", flush=True)
            wrong += [f"{each} fails" for each in sorted(new)]
            if how.startswith("ran"):
                wrong += [f"{each} is listed and does not fail" for each in sorted(gone)]
            wrong += [f"{name} {how}"] * (how in ("hangs", "died"))
            if options.verbose or how in ("hangs", "died"):
                print("\n".join(output.splitlines()[-60:]))
    print("\n".join(wrong) or "all as expected")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
