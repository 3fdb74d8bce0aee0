"""gopy.trace: what is recorded, the file, the summary and the page."""

import io
import os
import shutil
import subprocess
import sys

import pytest

from gopy import Chan, go, runtime, time, trace
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


def test_a_full_buffer_keeps_the_newest():
    found = _file.decode(recorded(lambda: ping_pong(30_000), buffer=1 << 16))
    assert found.dropped > 50_000
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
    with pytest.raises(OSError):
        trace.start("/nowhere/at/all")
    with pytest.raises(TypeError, match="`file` must be a str or a binary file, got StringIO"):
        trace.start(io.StringIO())
    with pytest.raises(ValueError, match="`seconds` must be positive"):
        trace.recorder(seconds=0)
    with pytest.raises(ValueError, match="`buffer`"):
        trace.recorder(buffer=1)


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
    for _ in range(5):
        found = _file.decode(recorded(lambda: time.sleep(0.001), buffer=1 << 18))
        assert found.events
    over.append(True)
    for goroutine in goroutines:
        goroutine.join()


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


def test_a_forked_child_traces_nothing(run_program):
    done = run_program(
        """
import io, os
from gopy import go, trace
trace.start(io.BytesIO())
go(int).join()
if os.fork() == 0:
    go(int).join()
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


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
@pytest.mark.slow
def test_the_page_in_a_browser(tmp_path):
    """It is drawn, without an error and without a request to anybody."""
    path = tmp_path / "page.html"
    path.write_text(_page.page(_file.decode(recorded(lambda: (ping_pong(200), time.sleep(0.01))))))
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=5000", "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert 'data-ready="yes"' in done.stdout
    assert "ping_pong.&lt;locals&gt;.echo" in done.stdout
    assert "waits, " in done.stdout
    assert "http" not in path.read_text().replace("http-equiv", "")


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
    program.wait_for(lambda: "ready" in program.stdout)
    kept = tmp_path / "kept"
    status = _command.main([str(program.pid), "--seconds", "0.1", "--keep", str(kept)])
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    assert "  sleep  " in out
    assert _file.decode(kept.read_bytes()).events
    assert not [name for name in os.listdir(f"/tmp/gopy-{os.geteuid()}") if str(program.pid) in name]
    program.kill()
