"""gopy.trace: what is recorded, the file, the summary and the page."""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import zlib

import pytest

from gopy import Chan, _core, go, runtime, time, trace
from gopy.trace import _command, _file, _page
from gopy.trace._file import END, FINISH, NEW, PARK, READY, RUN, TraceError
from gopy.trace._summary import Analysis, summary


def recorded(body, **settings):
    """body's trace, as bytes."""
    file = io.BytesIO()
    trace.start(file, **settings)
    try:
        body()
    finally:
        trace.stop()
    return file.getvalue()


def ping_pong(rounds):
    a, b = Chan(), Chan()

    def echo():
        for _ in range(rounds):
            b.send(a.recv())

    goroutine = go(echo)
    for i in range(rounds):
        a.send(i)
        assert b.recv() == i
    goroutine.join()
    return goroutine.id


def events_of(found, goroutine):
    return [event for event in found if event[2] == goroutine]


def test_the_events_of_a_goroutine():
    ids = []
    found = _file.decode(recorded(lambda: ids.append(ping_pong(10))))
    of_echo = events_of(found, ids[0])
    assert of_echo[0][1] == NEW
    assert of_echo[0][3] == 1  # its creator
    assert found.sites[of_echo[0][4]][0] == "ping_pong.<locals>.echo"
    assert found.sites[of_echo[0][4]][1].endswith(f"test_trace.py:{ping_pong.__code__.co_firstlineno + 7}")
    assert of_echo[-1][1] == END
    whens = [event[0] for event in found]
    assert whens == sorted(whens)
    kinds = [event[1] for event in of_echo]
    assert kinds.count(RUN) == kinds.count(PARK) + 1
    parks = [event for event in of_echo if event[1] == PARK]
    assert {found.reasons[more] for _, _, _, more, _ in parks} <= {"chan send", "chan receive", "waiting"}
    places = {found.sites[site][1].rpartition(":")[2] for *_, site in parks if site}
    assert places == {str(ping_pong.__code__.co_firstlineno + 5)}
    assert all(event[3] in (0, 1) for event in of_echo if event[1] == READY)


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@pytest.mark.parametrize("procs", [1, 2, 8])
def test_every_turn_ends(kind, procs, gomaxprocs):
    """Of each goroutine: made, then turns that each end by a wait or by the goroutine's end."""
    gomaxprocs(procs)

    def plain(ch):
        for _ in range(5):
            ch.recv()

    async def coroutine(ch):
        for _ in range(5):
            await ch.arecv()

    def body():
        ch = Chan()
        goroutines = [go(locals_[kind], ch) for _ in range(50)]
        for i in range(250):
            ch.send(i)
        for goroutine in goroutines:
            goroutine.join()

    locals_ = {"plain": plain, "coroutine": coroutine}
    data = recorded(body)
    found = _file.decode(data)
    made = [event[2] for event in found if event[1] == NEW]
    fresh = [id for id in made if any(event[1] == END for event in events_of(found, id))]
    assert len(fresh) >= 50
    for id in fresh:
        kinds = [event[1] for event in events_of(found, id)]
        turns = [kind for kind in kinds if kind in (RUN, PARK, END)]
        assert turns[0::2] == [RUN] * (len(turns) // 2), kinds
        assert set(turns[1:-1:2]) <= {PARK}
        assert turns[-1] == END


def test_what_was_there_before_is_told(until):
    ch = Chan()
    goroutine = go(ch.recv)
    until(lambda: goroutine.state == "chan receive")
    found = _file.decode(recorded(lambda: time.sleep(0.001)))
    kinds = [(event[1], event[3]) for event in events_of(found, goroutine.id)]
    assert kinds == [(NEW, 1), (PARK, found.reasons.index("chan receive"))]
    ch.close()
    goroutine.join()


def test_who_runs_and_which_ps_are_idle_is_told(run_program):
    """Else whoever computes all the time would be ready all the time, and a P idle from the start not idle."""
    done = run_program(
        """
import io
from gopy import trace
from gopy.trace import _file
file = io.BytesIO()
trace.start(file)
with trace.region("of main, which has not used gopy before"):
    pass
trace.stop()
found = list(_file.decode(file.getvalue()))
print([event[1] for event in found if event[2] == 1])
print(sorted(event[3] for event in found if event[1] in (_file.RUN, _file.PSTOP)))
""",
        env={"GOMAXPROCS": "8"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout == f"{[NEW, RUN, _file.BEGIN, FINISH]}\n{[*range(8), 1024]}\n"
    )  # main has no P before it first parks


def test_a_full_buffer_keeps_the_newest():
    found = _file.decode(recorded(lambda: ping_pong(10_000), buffer=1 << 16))
    assert found.dropped > 10_000
    assert len(found.events) // 24 <= 8 * (1 << 16) // 24
    assert "older events were dropped" in summary(found)
    assert any(event[1] == END for event in found)


def test_regions_tasks_and_logs():
    def inner():
        with trace.region("inner"):
            pass

    def body():
        with trace.task("request"), trace.region("parse"):
            go(inner).join()
        trace.log("category", "message")

    found = _file.decode(recorded(body))
    assert found.texts[:1] == ["request"]
    assert set(found.texts) == {"request", "request: parse", "request: inner", "category: message"}
    begun = [event for event in found if event[1] == _file.BEGIN]
    assert len(begun) == 3 == sum(event[1] == FINISH for event in found)
    with trace.task("nothing is traced"), trace.region("so"):
        trace.log("it", "costs little")


def test_texts_that_are_no_utf_8():
    """As of a file whose name is none: they are shown as escapes."""
    name = os.fsdecode(b"/tmp/\xff.py")
    namespace: dict = {}
    exec(compile("def receives(ch): ch.recv()", name, "exec"), namespace)

    def body():
        ch = Chan()
        goroutine = go(namespace["receives"], ch)
        ch.send(1)
        goroutine.join()
        trace.log("file", name)
        with trace.region(name):
            pass

    data = recorded(body)
    found = _file.decode(data)
    assert f"file: {name}" in found.texts
    assert b"/tmp/\\udcff.py" in data
    assert "\\udcff" in _page.page(found)


def test_a_recorder_forgets_old_texts(gomaxprocs):
    """It runs for ever, and the program may never say the same twice."""
    gomaxprocs(1)  # the Ps share the buffer
    recorder = trace.recorder(buffer=1 << 16)
    recorder.start()
    for i in range(20_000):
        trace.log("request", str(i))
    file = io.BytesIO()
    recorder.write_to(file)
    kept = trace._record._texts
    recorder.stop()
    assert len(kept._young) + len(kept._old) < 20_000 / 2
    found = _file.decode(file.getvalue())
    logs = [found.texts[event[3]] for event in found if event[1] == _file.LOG and event[3] < len(found.texts)]
    assert logs == [f"request: {i}" for i in range(20_000 - len(logs), 20_000)]
    assert len(logs) > 1000


def test_texts_that_are_forgotten():
    texts = trace._record._Texts(10)
    numbers = [texts[text] for text in ("12345", "678901", "abc", "12345", "defghijk", "z")]
    assert numbers == [0, 1, 2, 3, 4, 5]
    assert texts.first() == 2
    assert texts.listed(2) == ["abc", "12345", "defghijk", "z"]
    assert texts.listed(1) == ["?", "abc", "12345", "defghijk", "z"]
    assert texts["12345"] == 6  # those of the old generation go with it
    assert texts["z"] == 5


def test_one_trace_at_a_time():
    with pytest.raises(RuntimeError, match="no trace is being recorded"):
        trace.stop()
    recorder = trace.recorder()
    with pytest.raises(RuntimeError, match="not started"):
        recorder.write_to(io.BytesIO())
    trace.start(io.BytesIO())
    with pytest.raises(RuntimeError, match="a trace is being recorded already"):
        trace.start(io.BytesIO())
    with pytest.raises(RuntimeError, match="a trace is being recorded already"):
        recorder.start()
    trace.stop()
    for wrong in ("/nowhere/at/all", "\0"):
        with pytest.raises((OSError, ValueError)):
            trace.start(wrong)
        assert not trace._record._running
    with pytest.raises(TypeError, match="`file` must be a str or a binary file, got StringIO"):
        trace.start(io.StringIO())
    with pytest.raises(ValueError, match="`seconds` must be positive"):
        trace.recorder(seconds=0)
    with pytest.raises(ValueError, match="`buffer`"):
        trace.recorder(buffer=1)


def test_a_start_that_fails_leaves_the_file_alone(tmp_path):
    path = tmp_path / "precious"
    path.write_bytes(b"an earlier trace")
    trace.start(io.BytesIO())
    with pytest.raises(RuntimeError, match="a trace is being recorded already"):
        trace.start(str(path))
    trace.stop()
    assert path.read_bytes() == b"an earlier trace"


def test_many_start_and_stop(run_program):
    """Goroutines and threads: each trace is ended by one of them, and in the end there is none."""
    done = run_program(
        """
import io, threading
from gopy import blocking, debug, go, runtime, time, trace

def traces():
    for _ in range(30):
        file = io.BytesIO()
        try:
            trace.start(file, buffer=1 << 16)
            time.sleep(0.0002)
            trace.stop()
        except RuntimeError:
            runtime.gosched()

def stops():
    for _ in range(100):
        try:
            trace.stop()
        except RuntimeError:
            time.sleep(0.0001)

def records():
    recorder = trace.recorder(buffer=1 << 16)
    for _ in range(30):
        try:
            recorder.start()
            recorder.write_to(io.BytesIO())
            recorder.stop()
        except RuntimeError:
            runtime.gosched()

functions = [traces, traces, stops, records]
goroutines = [go(function) for function in functions]
threads = [threading.Thread(target=function) for function in functions]
for thread in threads:
    thread.start()
for goroutine in goroutines:
    goroutine.join()
for thread in threads:
    blocking(thread.join)
for _ in range(2):
    file = io.BytesIO()
    trace.start(file)
    trace.stop()
    assert file.getvalue()
""",
        env={"GOMAXPROCS": "8"},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_who_has_readied_it(until):
    """If no goroutine has: a timer, a descriptor, a thread."""
    ours, theirs = socket.socketpair()
    ch = Chan()

    def body():
        by_descriptor = go(runtime.wait_read, ours.fileno())
        by_thread = go(ch.recv)
        until(lambda: (by_descriptor.state, by_thread.state) == ("IO wait", "chan receive"))
        time.sleep(0.001)
        theirs.send(b"x")
        by_descriptor.join()
        thread = threading.Thread(target=ch.send, args=[1])
        thread.start()
        by_thread.join()
        thread.join()

    found = _file.decode(recorded(body))
    ours.close()
    theirs.close()
    waits = Analysis(found).waits
    causes = {(wait.reason, _file.CAUSES[-wait.waker]) for wait in waits if wait.waker <= 0}
    assert {("sleep", "a timer"), ("IO wait", "a descriptor"), ("chan receive", "a thread")} <= causes
    text = summary(found)
    assert "  a descriptor\n" in text
    assert "of the time" in text
    assert " hand-offs of Ps" in text


def test_where_coroutines_park(until):
    async def outer(ch):
        await inner(ch)

    async def inner(ch):
        await ch.arecv()  # here

    def body():
        goroutine = go(outer, ch)
        until(lambda: goroutine.state == "chan receive")
        ch.send(1)
        goroutine.join()

    ch = Chan()
    found = Analysis(_file.decode(recorded(body)))
    places = [wait.place for wait in found.waits if wait.place.startswith(__file__)]
    assert f"{__file__}:{inner.__code__.co_firstlineno + 1}" in places


def test_a_p_that_is_idle_and_a_p_that_steals():
    events = [
        (1_000_000_000, _file.PSTOP, 0, 3, 0),
        (2_000_000_000, _file.PSTART, 0, 3, 0),
        (2_000_000_000, _file.STEAL, 0, 3, 7),
        (2_000_000_000, _file.HANDOFF, 0, 1, 0),
        (2_000_000_000, _file.GIL, 0, 5_000, 0),
        (2_000_000_000, _file.PSTOP, 0, 4, 0),
        (3_000_000_000, RUN, 9, 4, 0),
        (5_000_000_000, END, 9, 0, 0),
    ]
    raw = b"".join(
        _file.EVENT.pack(when, kind | id << 8, more | site << _file.ID_BITS)
        for when, kind, id, more, site in events
    )
    text = summary(_file.Trace(raw, 0, _core.wait_reasons(), [], [], {}))
    assert "  P 3 idle 25.0% of the time\n  P 4 idle 25.0% of the time\n" in text
    assert "  1 steals of 7 goroutines, 1 hand-offs of Ps\n" in text
    assert "  1 times a thread that was idle waited for the GIL, 0.000005 s in all\n" in text
    packets = _core.trace_perfetto(raw, [], [])
    for name in (b"idle", b"steals 7", b"handed off", b"5.0 us"):
        assert name in packets


def test_the_flight_recorder(tmp_path):
    recorder = trace.recorder(seconds=60)
    recorder.start()
    try:
        ping_pong(10)
        first = tmp_path / "first"
        assert recorder.write_to(str(first)) == first.stat().st_size
        ping_pong(10)
        second = io.BytesIO()
        recorder.write_to(second)
    finally:
        recorder.stop()
    earlier, later = _file.decode(first.read_bytes()), _file.decode(second.getvalue())
    assert 0 < len(earlier.events) < len(later.events)


def test_the_last_seconds():
    events = b"".join(_file.EVENT.pack(when, RUN, 0) for when in range(10))
    assert _file.since(events, 7) == events[-3 * 24 :]
    assert _file.since(events, -1) == events
    assert _file.since(events, 10) == b""


@pytest.mark.parametrize("procs", [1, 8])
def test_start_and_stop_while_thousands_run(procs, gomaxprocs):
    gomaxprocs(procs)
    over = []

    def busy():
        while not over:
            runtime.gosched()

    def starter():
        while not over:
            go(int).join()

    goroutines = [go(busy) for _ in range(2000)] + [go(starter) for _ in range(4)]
    traces = [recorded(lambda: time.sleep(0.001), buffer=1 << 18) for _ in range(5)]
    over.append(True)
    for goroutine in goroutines:
        goroutine.join()
    assert all(_file.decode(each).events for each in traces)


def test_a_file_that_is_not_whole(tmp_path, capsys):
    data = recorded(lambda: ping_pong(10))
    for wrong, message in [
        (b"", "it is empty: was the trace stopped?"),
        (b"hello, world", "it is no trace of gopy's"),
        (data[:100], "it is cut off"),
        (data[:-1], "it is cut off"),
        (data.replace(_file.MAGIC, b"gopytrace 9\n"), "it is no trace of gopy's, or of another version's"),
    ]:
        with pytest.raises(TraceError, match=message):
            _file.decode(wrong)
        path = tmp_path / "trace"
        path.write_bytes(wrong)
        assert _command.main([str(path)]) == 1
        assert capsys.readouterr().err == f"python -m gopy trace: {path}: {message}\n"
    assert _command.main([str(tmp_path / "none")]) == 1
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["packets", "dropped", "reasons", "sites", "texts", "names"])
@pytest.mark.parametrize("value", [None, -1, "x", [1], [["x", 1]], {"1": 1}, {"x": "x"}, float("inf")])
def test_a_damaged_head(key, value):
    head = {"packets": 0, "dropped": 0, "reasons": [], "sites": [], "texts": [], "names": {}}

    def file(head, events=b""):
        ours = _file._field(1, json.dumps(head).encode()) + _file._field(2, zlib.compress(events))
        return _file._field(1, _file._field(_file.OURS, _file.MAGIC + ours))

    assert "0 events in" in summary(_file.decode(file(head)))
    with pytest.raises(TraceError, match="it is damaged|it is cut off"):
        _file.decode(file(head | {key: value}))
    with pytest.raises(TraceError, match="it is damaged: an event is not whole"):
        _file.decode(file(head, b"x"))


def test_a_forked_child_traces_nothing(run_program):
    done = run_program(
        """
import io, os
from gopy import go, trace
trace.start(io.BytesIO())
go(int).join()
recorder = trace.recorder()
if os.fork() == 0:
    go(int).join()
    try:
        trace.stop()
    except RuntimeError as exc:
        assert str(exc) == "no trace is being recorded"
    else:
        os._exit(1)
    recorder.start()
    go(int).join()
    assert recorder.write_to(io.BytesIO()) > 0
    recorder.stop()
    os._exit(0)
assert os.wait()[1] == 0
go(int).join()
trace.stop()
""",
        flags=["-W", "ignore::DeprecationWarning"],  # of a fork in a process with threads
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_summary():
    text = summary(_file.decode(recorded(lambda: (ping_pong(10), time.sleep(0.01)))))
    assert "events in" in text
    assert "  sleep  " in text
    assert "ping_pong.<locals>.echo" in text


def test_the_wait_of_one_that_is_woken():
    ch = Chan()

    def body():
        goroutine = go(ch.recv)
        while goroutine.state != "chan receive":
            runtime.gosched()
        time.sleep(0.01)
        ch.send(1)
        goroutine.join()

    found = Analysis(_file.decode(recorded(body)))
    waits = [wait for wait in found.waits if wait.reason == "chan receive" and wait.waker == 1]
    assert len(waits) == 1
    assert waits[0].seconds > 0.009


def test_perfetto_reads_it():
    """By its own schema, which its package has. The packet that is ours is a field that it does not know."""
    schema = pytest.importorskip(
        "perfetto.protos.perfetto.trace.perfetto_trace_pb2", reason="the package perfetto is not installed"
    )
    parsed = schema.Trace.FromString(recorded(lambda: ping_pong(20)))
    tracks = {
        p.track_descriptor.uuid: p.track_descriptor for p in parsed.packet if p.HasField("track_descriptor")
    }
    assert any(track.name.endswith("ping_pong.<locals>.echo") for track in tracks.values())
    assert any(track.name.startswith("P ") for track in tracks.values())
    depth, flows, ended, last = {}, set(), set(), 0
    for packet in parsed.packet:
        if packet.HasField("track_event"):
            event = packet.track_event
            assert packet.timestamp >= last
            last = packet.timestamp
            assert event.track_uuid in tracks
            depth[event.track_uuid] = depth.get(event.track_uuid, 0) + {1: 1, 2: -1, 3: 0}[event.type]
            assert depth[event.track_uuid] in (0, 1)
            flows.update(event.flow_ids)
            ended.update(event.terminating_flow_ids)
    assert len(flows) > 20
    assert ended <= flows


def test_wakers_that_are_seen_for_the_first_time(run_program):
    """The writer's table grows in the midst of an event, once the goroutine that is woken has been found in it."""
    done = run_program(
        """
from gopy import _core
from gopy.trace._file import EVENT, ID_BITS, NEW, READY
woken = [(READY, id, id + 1_000_000) for id in range(1, 100_000)]
events = [(NEW, 3_000_000, 0), *woken]
raw = b"".join(EVENT.pack(1, kind | id << 8, waker) for kind, id, waker in events)
packets = _core.trace_perfetto(raw, ["?"], [])
print(packets.count(b"99999 goroutine"), b"readies 99999" in packets)
""",
        env={"MALLOC_MMAP_THRESHOLD_": "65536"},  # of glibc's: memory that is freed is gone
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "2 True\n")


def test_long_names_are_cut_between_characters():
    for spaces in range(4):
        name = "f" * spaces + "\u20ac" * 200
        data = _core.trace_perfetto(_file.EVENT.pack(1, NEW | 7 << 8, 1 << _file.ID_BITS), ["?", name], [])
        shown = data.partition(b"7 " + b"f" * spaces)[2]
        whole = re.match(b"(\xe2\x82\xac)*", shown).group()
        assert len(whole) > 150
        assert shown[len(whole)] != 0xE2


def shown_by_a_browser(path):
    """The page of a file as chromium has made it, its scripts run."""
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={path.parent / 'profile'}",
        "--virtual-time-budget=5000", "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_page_in_a_browser(tmp_path):
    """It is drawn, without an error and without a request to anybody."""
    path = tmp_path / "page.html"
    path.write_text(_page.page(_file.decode(recorded(lambda: (ping_pong(200), time.sleep(0.01))))))
    dom = shown_by_a_browser(path)
    assert 'data-ready="yes"' in dom
    assert "ping_pong.&lt;locals&gt;.echo" in dom
    assert "waits, " in dom
    assert "http" not in path.read_text().replace("http-equiv", "")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_regions_and_logs_on_the_page(tmp_path):
    """However many there are."""

    def body():
        for _ in range(30_000):
            with trace.region("short"):
                pass
        with trace.region("outer"), trace.region("inner"):
            trace.log("cache", "miss")

    asks = """<script>setInterval(() => {
      if (document.body.dataset.ready)
        document.body.dataset.marks = tellMarks(gs.get(1), logs.get(1)[0].a).map(s => s.split(",")[0]).join("; ");
    }, 10)</script>"""
    path = tmp_path / "page.html"
    path.write_text(_page.page(_file.decode(recorded(body))) + asks)
    dom = shown_by_a_browser(path)
    assert 'data-marks="region outer; region inner; log cache: miss"' in dom


def test_the_command_makes_a_page(tmp_path):
    path, out = tmp_path / "trace", tmp_path / "page.html"
    path.write_bytes(recorded(lambda: ping_pong(10)))
    command = [sys.executable, "-m", "gopy", "trace", str(path), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert out.read_text().startswith("<!doctype html>")


def test_a_trace_of_a_process(tmp_path, start_program, capsys):
    source = "from gopy import time\nprint('ready', flush=True)\nwhile True: time.sleep(0.001)"
    program = start_program(source, env={"GOPY_DUMP": "SIGUSR1"})
    program.wait_for(lambda: "ready\n" in program.stdout)
    kept = tmp_path / "kept"
    status = _command.main([str(program.pid), "--seconds", "1", "--keep", str(kept)])
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    assert "  sleep  " in out
    assert _file.decode(kept.read_bytes()).events
    left = os.listdir(f"/tmp/gopy-{os.geteuid()}")
    assert not [name for name in left if name.partition(".")[0] == str(program.pid)]
    program.kill()
