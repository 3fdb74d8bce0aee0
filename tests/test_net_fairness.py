"""Package net: a peer that sends as fast as it can, whose reader so never parks, holds nobody else up."""

import json
import os

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


AT_ONCE = """
import socket, sys
from gopy import go, net, runtime

ROUNDS = 1000
rounds = 0

def answer(peer):
    global rounds
    rounds += 1
    peer.send(b"x")  # the next request is there before the answer has been given
    if rounds == 10:
        one[1].send(b"x")

async def asks_at_once(conn, peer):
    while rounds < ROUNDS:
        await conn.aread()
        answer(peer)

def asks_at_once_of_a_stackful_one(conn, peer):
    while rounds < ROUNDS:
        conn.read()
        answer(peer)

async def asks_once(conn):
    await conn.aread()
    print(rounds)

def pair():
    with net.listen("tcp", "127.0.0.1:0") as listener:
        peer = socket.create_connection(tuple(listener.addr))
        return listener.accept(), peer

many, one = pair(), pair()
for conn, peer in many, one:
    read = go(conn.read)
    runtime.gosched()  # it parks, so the poller knows the descriptor
    peer.send(b"x")
    read.join()
patient = go(asks_once(one[0]))
runtime.gosched()  # it waits
busy = go(asks_at_once_of_a_stackful_one, *many) if sys.argv[1:] else go(asks_at_once(*many))
many[1].send(b"x")
patient.join()
busy.join()
for each in many + one:
    each.close()
"""


@pytest.mark.skipif(
    os.environ.get("GOPY_NETPOLLER") == "poll", reason="poll(2) tells what is, not what has come"
)
@pytest.mark.parametrize("stackful", [(), ("stackful",)], ids=["async", "stackful"])
def test_a_peer_that_asks_again_at_once_waits_for_its_turn(run_program, stackful):
    done = run_program(AT_ONCE, *stackful, env={"GOMAXPROCS": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) < 100  # of 1000; polled for every 61 turns
