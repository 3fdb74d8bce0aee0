"""Package net: a peer that sends as fast as it can, whose reader so never parks, holds nobody else up."""

import json

import pytest

PROGRAM = """
import json, statistics, subprocess, sys
from time import monotonic
from gopy import go, net, time

SENDER = '''
import socket, sys
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
try:
    while True:
        peer.sendall(bytes(1 << 18))
except OSError:
    pass
'''
LASTS = 0.5  # seconds: fifty ticks
trips, late = [], []

def drain(conn, end):
    while monotonic() < end and conn.read(16):  # so slowly that there is always more
        pass

def echo(conn):
    while data := conn.read():
        conn.write(data)

def visit(conn, end):
    while time.now() < end:
        began = time.now()
        conn.write(b"x")
        conn.read(1)
        trips.append(time.now() - began)

with net.listen("tcp", "127.0.0.1:0") as listener:
    peer = subprocess.Popen([sys.executable, "-c", SENDER, str(listener.addr.port)])
    upload = listener.accept()
    client = net.dial("tcp", str(listener.addr))
    go(echo, listener.accept())
upload.read_full(1 << 20)  # it sends
draining = go(drain, upload, monotonic() + 2 * LASTS)
end = time.now() + LASTS
visitor = go(visit, client, end)
ticker = time.Ticker(LASTS / 50)
while time.now() < end:
    due = ticker.c.recv()
    late.append(time.now() - due)
visitor.join()
draining.join()
upload.close()
peer.wait()
print(json.dumps({"ticks": len(late), "late": max(late), "trips": len(trips), "trip": statistics.median(trips)}))
"""


@pytest.mark.quiet
@pytest.mark.parametrize("gomaxprocs", [1, 2, 8])
def test_a_peer_that_sends_as_fast_as_it_can(run_program, gomaxprocs, machine_delay):
    """The bounds are what slices of 10 ms allow, and generous."""
    done = run_program(PROGRAM, env={"GOMAXPROCS": str(gomaxprocs)}, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    print(found)
    late = machine_delay()
    assert found["ticks"] >= 8 or late > 0.02
    assert found["trip"] < 0.3 + 10 * late
