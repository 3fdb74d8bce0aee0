"""The programs in examples/, run from outside as their users run them."""

import hashlib
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLES = REPOSITORY / "examples"
TIMEOUT = 50  # nothing here takes nearly as long: whatever does, hangs
HUGE = 1 << 40  # bytes in a sparse file that no test lives to see digested

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def command(example: str, *args: object) -> list[str | bytes]:
    return [
        sys.executable,
        str(EXAMPLES / f"{example}.py"),
        *(arg if isinstance(arg, bytes) else str(arg) for arg in args),
    ]


def run(example: str, *args: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run an example to its end; stdout and stderr are captured unless options say otherwise."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": TIMEOUT} | options
    return subprocess.run(command(example, *args), check=False, **options)


def lines_of(example: str, *args: object, **options: object) -> list[bytes]:
    """The lines of stdout of an example that must succeed and have nothing to complain of."""
    result = run(example, *args, **options)
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.splitlines(keepends=True)


def gomaxprocs(n: int) -> dict[str, str]:
    return os.environ | {"GOMAXPROCS": str(n)}


def sigint_is_not_ignored() -> None:
    """Run in the child. A background job of a shell has SIGINT ignored, and its children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_until(condition: Callable[[], object], child: subprocess.Popen[bytes]) -> None:
    """Wait for a state of the child that only polling can see."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert child.poll() is None, f"the child ended with status {child.returncode}"
        assert time.monotonic() < deadline, "the child did not get there"
        time.sleep(0.001)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start an example in the background; it is killed at the end of the test if it is still there."""
    children = []

    def start(example: str, *args: object, **options: object) -> subprocess.Popen[bytes]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": sigint_is_not_ignored}
        child = subprocess.Popen(command(example, *args), **(pipes | options))
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


# md5all

ODD_NAMES = [
    b"plain.txt",
    b" space at both ends ",
    b"*star",
    b"-dash",
    b"back\\slash",
    b"\\",
    b"\\n is not a newline",
    b"new\nline",
    b"\n",
    b"both\\\n",
    b"tab\t",
    b"not utf-8 \xff\xfe",
    "ünïcödé ☃".encode(),
    b"\x1b[31mred",
    b"x" * 255,
]


def md5sum(*args: object, **options: object) -> subprocess.CompletedProcess[bytes]:
    if shutil.which("md5sum") is None:
        pytest.skip("there is no md5sum to compare with")
    return subprocess.run(
        ["md5sum", *args], check=False, capture_output=True, env=os.environ | {"LC_ALL": "C"}, **options
    )


def assert_md5sum_accepts(lines: list[bytes], cwd: Path) -> None:
    checked = md5sum("-c", "--strict", input=b"".join(lines), cwd=cwd)
    assert (checked.returncode, checked.stderr) == (0, b"")
    assert checked.stdout.count(b": OK\n") == len(lines)


def sparse(path: Path) -> Path:
    path.touch()
    os.truncate(path, HUGE)
    return path


def is_reading(child: subprocess.Popen[bytes], path: Path) -> Callable[[], bool]:
    process = psutil.Process(child.pid)
    return lambda: any(file.path == str(path) for file in process.open_files())


@pytest.fixture
def odd_tree(tmp_path: Path) -> tuple[Path, list[bytes]]:
    """A tree with every odd name as that of a file and of a directory, and the paths of its files, sorted."""
    tree = tmp_path / "odd"
    tree.mkdir()
    paths = []
    for number, name in enumerate(ODD_NAMES):
        directory = os.path.join(b"odd", b"dir", name)
        for path in (
            os.path.join(b"odd", name),
            os.path.join(directory, b"file"),
            os.path.join(directory, name),
        ):
            where = os.path.join(os.fsencode(tmp_path), path)
            try:
                os.makedirs(os.path.dirname(where), exist_ok=True)
                Path(os.fsdecode(where)).write_bytes(bytes(number) * 1000 * number)
            except OSError:  # not every file system takes every name
                continue
            paths.append(path)
    (tree / "empty file").touch()
    (tree / "empty directory").mkdir()
    (tree / "big").write_bytes(bytes(range(256)) * 20_000)
    return tmp_path, sorted([*paths, b"odd/empty file", b"odd/big"])


@pytest.mark.slow
@pytest.mark.parametrize("procs", [1, 2, 8])
@pytest.mark.parametrize("digesters", [1, 20])
def test_md5all_prints_what_md5sum_prints(
    odd_tree: tuple[Path, list[bytes]], procs: int, digesters: int
) -> None:
    cwd, paths = odd_tree
    lines = lines_of("md5all", "odd", "-n", digesters, cwd=cwd, env=gomaxprocs(procs))
    assert_md5sum_accepts(lines, cwd)
    assert b"".join(lines) == md5sum(*paths, cwd=cwd).stdout


def test_md5all_escapes_carriage_returns_as_md5sum_does(tmp_path: Path) -> None:
    names = [b"carriage\rreturn", b"at the end\r"]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"dir", name))).parent.mkdir(exist_ok=True)
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"dir", name))).write_bytes(name)
    lines = lines_of("md5all", "dir", cwd=tmp_path)
    expected = md5sum(*sorted(b"dir/" + name for name in names), cwd=tmp_path).stdout
    if b"\r" in expected:
        pytest.skip("this md5sum is older than coreutils 9.0, which began to escape carriage returns")
    assert b"".join(lines) == expected
    assert_md5sum_accepts(lines, tmp_path)


def test_md5all_of_our_own_tests() -> None:
    tests = Path(__file__).parent  # all of it may be a lot: environments, builds, years of commits
    result = run("md5all", tests)
    # Others may be at work in it: files of theirs come, go and change.
    assert all(b"No such file or directory" in line for line in result.stderr.splitlines())
    transient = re.compile(rb"/(\.git|__pycache__|\.[a-z]+_cache|build|[^/]*\.egg-info)/")
    lines = [line for line in result.stdout.splitlines(keepends=True) if not transient.search(line)]
    assert_md5sum_accepts(lines, tests)
    digest = hashlib.md5(Path(__file__).read_bytes(), usedforsecurity=False).hexdigest()
    assert f"{digest}  {__file__}\n".encode() in lines


def test_md5all_of_an_empty_tree(tmp_path: Path) -> None:
    (tmp_path / "only" / "directories").mkdir(parents=True)
    assert lines_of("md5all", tmp_path) == []


def test_md5all_takes_regular_files_only(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_bytes(b"content")
    (tree / "loop").symlink_to(tree)
    (tree / "link to a file").symlink_to(tree / "file")
    (tree / "link to nothing").symlink_to("nowhere")
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tree / "socket"))
    (tmp_path / "link to the tree").symlink_to(tree)
    digest = hashlib.md5(b"content", usedforsecurity=False).hexdigest().encode()
    assert lines_of("md5all", "tree", cwd=tmp_path) == [digest + b"  tree/file\n"]
    assert lines_of("md5all", "link to the tree", cwd=tmp_path) == [digest + b"  link to the tree/file\n"]


@pytest.fixture
def deep_tree() -> Iterator[Path]:
    """A directory that may become too deep for Python, and so pytest, to remove."""
    tree = Path(tempfile.mkdtemp(prefix="gopy-examples-"))
    yield tree
    subprocess.run(["rm", "-rf", tree], check=True)


def test_md5all_of_a_very_deep_tree(deep_tree: Path) -> None:
    depth = 1500  # beyond what Python lets a function recurse
    directory = os.open(deep_tree, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=directory)
        deeper = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = deeper
    os.close(os.open("file", os.O_CREAT, dir_fd=directory))
    os.close(directory)
    lines = lines_of("md5all", ".", cwd=deep_tree)
    assert lines == [b"d41d8cd98f00b204e9800998ecf8427e  ." + b"/d" * depth + b"/file\n"]


@pytest.mark.parametrize(("name", "why"), [("nowhere", "No such file"), ("file", "Not a directory")])
def test_md5all_of_what_is_no_directory(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").touch()
    result = run("md5all", name, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, b"")
    assert re.fullmatch(rf"md5all\.py: '{name}': {why}.*\n", result.stderr.decode())


def test_md5all_goes_on_after_what_it_may_not_read(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text(name)
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed").chmod(0)
    (tmp_path / "b").chmod(0)
    as_anyone = command("md5all", ".")
    if os.geteuid() == 0:  # to whom everything is readable, unless these two capabilities are taken away
        if shutil.which("setpriv") is None:
            pytest.skip("root can read everything")
        as_anyone = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *as_anyone]
    try:
        result = subprocess.run(as_anyone, check=False, capture_output=True, timeout=TIMEOUT, cwd=tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert result.returncode == 1
    assert sorted(result.stderr.splitlines()) == [
        b"md5all.py: './b': Permission denied",
        b"md5all.py: './closed': Permission denied",
    ]
    assert [line.split()[1] for line in result.stdout.splitlines()] == [b"./a", b"./c"]
    assert_md5sum_accepts(result.stdout.splitlines(keepends=True), tmp_path)


def test_md5all_goes_on_after_what_nobody_can_read(tmp_path: Path) -> None:
    """A path that is too long for open(), though each name on it is not."""
    (tmp_path / "readable").touch()
    directory = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 200, dir_fd=directory)
        deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = deeper
    os.close(os.open("f" * 200, os.O_CREAT, dir_fd=directory))
    os.close(directory)
    result = run("md5all", ".", cwd=tmp_path)
    assert result.returncode == 1
    assert re.fullmatch(rb"md5all\.py: '\./ddd.*/f+': File name too long\n", result.stderr)
    assert result.stdout == b"d41d8cd98f00b204e9800998ecf8427e  ./readable\n"


def test_md5all_goes_on_after_a_file_that_vanishes(tmp_path: Path, start: Callable) -> None:
    held = sparse(tmp_path / "a")
    for name in "bcd":
        (tmp_path / name).touch()
    child = start("md5all", ".", "-n1", cwd=tmp_path)
    wait_until(is_reading(child, held), child)  # the walker has read the directory, and c's turn has not come
    (tmp_path / "c").unlink()
    os.truncate(held, 0)
    out, err = child.communicate(timeout=TIMEOUT)
    assert (child.returncode, err) == (1, b"md5all.py: './c': No such file or directory\n")
    assert [line.split()[1] for line in out.splitlines()] == [b"./a", b"./b", b"./d"]


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_md5all_ends_at_once_on_ctrl_c(tmp_path: Path, start: Callable, procs: int) -> None:
    held = sparse(tmp_path / "file 50")
    for number in range(100):
        (tmp_path / f"file {number:02}").touch()
    child = start("md5all", tmp_path, env=gomaxprocs(procs))
    wait_until(is_reading(child, held), child)
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=TIMEOUT) == (b"", b"")
    assert child.returncode == 130


@pytest.mark.slow
@pytest.mark.parametrize("procs", [1, 2, 8])
def test_md5all_stops_at_its_limit(tmp_path: Path, procs: int) -> None:
    for number in range(100):
        (tmp_path / f"file {number:02}").write_text(str(number))
    lines = lines_of("md5all", ".", "--limit", 10, cwd=tmp_path, env=gomaxprocs(procs))
    assert len(lines) == 10
    assert_md5sum_accepts(lines, tmp_path)
    assert len(lines_of("md5all", ".", "--limit", 1000, cwd=tmp_path, env=gomaxprocs(procs))) == 100


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_md5all_does_not_wait_for_a_digester_once_it_has_enough(tmp_path: Path, procs: int) -> None:
    """One digester, since of two on one OS thread either may have to wait for the other's file."""
    for name in "abc":
        (tmp_path / name).touch()
    sparse(tmp_path / "d")
    lines = lines_of("md5all", ".", "-n1", "--limit", 3, cwd=tmp_path, env=gomaxprocs(procs))
    assert [line.split()[1] for line in lines] == [b"./a", b"./b", b"./c"]


def test_md5all_stops_at_the_first_failure_if_asked(tmp_path: Path) -> None:
    """The failure is the tree itself here, so there is nothing else that might be digested before it."""
    result = run("md5all", "nowhere", "--fail-fast", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr == b"md5all.py: 'nowhere': No such file or directory\n"


def test_md5all_ends_quietly_when_nobody_reads_on(tmp_path: Path, start: Callable) -> None:
    for number in range(1000):
        (tmp_path / f"{number:0200}").touch()  # in all far more than a pipe holds
    child = start("md5all", tmp_path)
    assert child.stdout.readline().endswith(b"/" + b"0" * 200 + b"\n")
    child.stdout.close()
    assert child.wait(TIMEOUT) == 128 + signal.SIGPIPE
    assert child.stderr.read() == b""


def test_md5all_says_that_it_could_not_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with open("/dev/full", "wb") as full:
        result = run("md5all", tmp_path, stdout=full)
    assert (result.returncode, result.stderr) == (1, b"md5all.py: 'stdout': No space left on device\n")


@pytest.mark.slow
@pytest.mark.parametrize("args", [[], [".", "-n0"], [".", "-nfew"], [".", "--limit=0"], [".", "elsewhere"]])
def test_md5all_explains_its_usage(args: list[str]) -> None:
    result = run("md5all", *args)
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.startswith(b"usage: md5all.py ")
    assert b"DIR" in run("md5all", "--help").stdout


class Terminal:
    """What a program shows on a terminal that is its stderr."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (24, 80))
        self.shown = ""

    def read(self) -> bool:
        """Read what has been shown since; False at the end."""
        readable, _, _ = select.select([self.master], [], [], TIMEOUT)
        assert readable, f"nothing more is shown after {self.shown!r}"
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: the last process that had the terminal has closed it
            return False
        self.shown += data.decode()
        return bool(data)

    def read_until(self, pattern: str) -> None:
        while not re.search(pattern, self.shown):
            assert self.read(), f"{pattern!r} is not in {self.shown!r}"

    def read_all(self) -> str:
        while self.read():
            pass
        return self.shown


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    os.close(terminal.master)


def start_on(
    terminal: Terminal, start: Callable, *args: object, **options: object
) -> subprocess.Popen[bytes]:
    child = start(*args, stderr=terminal.slave, **options)
    os.close(terminal.slave)
    return child


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_md5all_shows_its_progress_on_a_terminal(
    tmp_path: Path, start: Callable, terminal: Terminal, procs: int
) -> None:
    pytest.importorskip("tqdm")
    for number in range(19):
        (tmp_path / f"file {number:02}").touch()
    held = sparse(tmp_path / "the last file")
    child = start_on(terminal, start, "md5all", ".", "-n1", cwd=tmp_path, env=gomaxprocs(procs))
    terminal.read_until(r"digesting: +95%.* 19/20 ")
    os.truncate(held, 0)
    terminal.read_all()
    out, _ = child.communicate(timeout=TIMEOUT)
    assert child.returncode == 0
    assert len(out.splitlines()) == 20
    assert terminal.shown.split("\r")[-2].strip() == "", "the bar has not been wiped off"


def test_md5all_reports_failures_beside_the_bar(tmp_path: Path, start: Callable, terminal: Terminal) -> None:
    pytest.importorskip("tqdm")
    child = start_on(terminal, start, "md5all", "nowhere", cwd=tmp_path)
    assert re.search(r"\rmd5all\.py: 'nowhere': No such file or directory\r\n", terminal.read_all())
    assert child.wait(TIMEOUT) == 1


def test_md5all_wipes_the_bar_off_on_ctrl_c(tmp_path: Path, start: Callable, terminal: Terminal) -> None:
    pytest.importorskip("tqdm")
    sparse(tmp_path / "file")
    child = start_on(terminal, start, "md5all", tmp_path)
    terminal.read_until("0/1 ")
    child.send_signal(signal.SIGINT)
    assert terminal.read_all().split("\r")[-2].strip() == ""
    assert "Traceback" not in terminal.shown
    assert (child.wait(TIMEOUT), child.stdout.read()) == (130, b"")


def test_md5all_does_without_tqdm(tmp_path: Path, start: Callable, terminal: Terminal) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").touch()
    (tmp_path / "tqdm.py").write_text("raise ImportError('as if it were not installed')")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    child = start_on(terminal, start, "md5all", "tree", cwd=tmp_path, env=os.environ | {"PYTHONPATH": path})
    assert terminal.read_all() == "md5all.py: for a progress bar: pip install tqdm\r\n"
    assert child.stdout.read() == b"d41d8cd98f00b204e9800998ecf8427e  tree/file\n"
    assert child.wait(TIMEOUT) == 0


# The others


def primes(n: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < n:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


@pytest.mark.parametrize("procs", [1, 2, 8])
def test_prime_sieve(procs: int) -> None:
    assert [int(line) for line in lines_of("prime_sieve", 150, env=gomaxprocs(procs))] == primes(150)


def test_prime_sieve_is_content_with_none_and_refuses_fewer() -> None:
    assert lines_of("prime_sieve", 0) == []
    assert run("prime_sieve", -1).returncode == 2
    assert run("prime_sieve", "many").returncode == 2


def test_prime_sieve_ends_quietly_when_nobody_reads() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = run("prime_sieve", 5, stdout=writer)
    os.close(writer)
    assert (result.returncode, result.stderr) == (-signal.SIGPIPE, b"")


@pytest.mark.quiet
@pytest.mark.parametrize("procs", [1, 2, 8])
def test_ping_pong(procs: int) -> None:
    header, goroutines, threads = lines_of("ping_pong", 1000, env=gomaxprocs(procs))
    assert header == b"1000 round trips, median of 5 runs, GOMAXPROCS=%d\n" % procs
    goroutine_ns = re.fullmatch(rb"two goroutines +(\d+) ns per round trip\n", goroutines)
    thread_ns = re.fullmatch(rb"two OS threads +(\d+) ns per round trip, ([\d.]+) times as long\n", threads)
    assert int(thread_ns[1]) / int(goroutine_ns[1]) == pytest.approx(float(thread_ns[2]), rel=0.1, abs=0.1)
    if procs == 1 or not FREE_THREADED:
        assert int(goroutine_ns[1]) < int(thread_ns[1])


def test_ping_pong_explains_its_usage() -> None:
    result = run("ping_pong", 0)
    assert (result.returncode, result.stdout) == (2, b"")


@pytest.mark.quiet
@pytest.mark.timeout(300)
def test_thousand_requests() -> None:
    """It begins again, with twice the seconds, until the machine starts a thousand threads within that time."""
    text = b"".join(lines_of("thousand_requests", "-s0.25", timeout=250)).decode()
    assert text.startswith("1000 requests, all waiting at once; memory in KiB\n")
    rows = {}
    for half in "goroutines", "OS threads":
        row = re.search(rf"^{half}" + r" +([\d.]+)" * 6 + r" s +([\d.]+) s$", text, re.MULTILINE)
        assert row is not None, text
        _, resident, _, address, threads, wait, elapsed = map(float, row.groups())
        assert elapsed >= wait >= 0.25
        rows[half] = resident, address, threads
    goroutine, thread = rows["goroutines"], rows["OS threads"]
    assert 0 < goroutine[0] < 0.75 * thread[0]
    assert goroutine[1] < 0.05 * thread[1]
    assert goroutine[2] < 20
    assert thread[2] >= 1000
    assert re.search(
        r"All goroutines together hold [\d.]+ MiB; a single OS thread reserves [\d.]+ MiB\.\n", text
    )


def test_thousand_requests_measures_a_half_in_this_process() -> None:
    cost = json.loads(run("thousand_requests", "-n10", "-s0.2", "--half=goroutines").stdout)
    assert set(cost) == {"waiting", "resident", "address", "threads", "elapsed"}
    assert cost["elapsed"] >= 0.2
    assert run("thousand_requests", "-n0").returncode == 2
