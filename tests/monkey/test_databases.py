"""gopy.monkey: real servers of Debian's, redis and PostgreSQL, each started here on a port of its own, and their clients."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

PROCS = pytest.mark.parametrize("procs", [1, 8])
IMPORTS = "import sys, threading, time"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def needs(module):
    return pytest.mark.skipif(
        importlib.util.find_spec(module) is None, reason=f"NOT TESTED HERE: {module} is not installed"
    )


@pytest.fixture(scope="module")
def postgres_folder():
    """None of pytest's folders: each pytest shuts those to others, such as the user postgres, again."""
    with tempfile.TemporaryDirectory(prefix="gopy-postgres-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def serve(tmp_path_factory, postgres_folder):  # which outlives what runs in it
    """serve(command of a port, what it says once it is ready, **options): it runs, and its port. It says so itself: another
    might have the port.
    """
    running = []

    def serve(command, ready, **options):
        for _ in range(5):  # another process may be quicker to take the port
            port = free_port()
            path = tmp_path_factory.mktemp("server") / "log"
            with path.open("wb") as log:
                process = subprocess.Popen(command(port), stdout=log, stderr=log, **options)
            running.append(process)
            while process.poll() is None:
                if ready in path.read_text(errors="replace"):
                    return port
                time.sleep(0.01)
        pytest.fail(f"{command(port)} ended: {path.read_text(errors='replace')}")

    yield serve
    for process in running:
        process.send_signal(signal.SIGINT)  # both end at that, whoever is connected
    for process in running:
        process.wait(30)


@pytest.fixture(scope="module")
def redis_port(serve, tmp_path_factory):
    if shutil.which("redis-server") is None:
        pytest.skip("NOT TESTED HERE: redis-server is not installed")
    folder = tmp_path_factory.mktemp("redis")
    options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    return serve(lambda port: ["redis-server", "--port", str(port), *options], "Ready to accept connections")


def postgres_program(name):
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@pytest.fixture(scope="module")
def postgres_port(postgres_folder, serve):
    postgres, initdb = map(postgres_program, ("postgres", "initdb"))
    if not (postgres and initdb):
        pytest.skip("NOT TESTED HERE: PostgreSQL is not installed")
    data = postgres_folder / "data"
    data.mkdir(mode=0o700)
    options = {}
    if os.getuid() == 0:  # it refuses to run as root
        options = {"user": "postgres", "cwd": "/"}
        try:
            for each in (postgres_folder, data):
                shutil.chown(each, "postgres")
        except LookupError:
            pytest.skip("NOT TESTED HERE: there is no user postgres")
    made = subprocess.run(
        [initdb, "-D", str(data), "-A", "trust", "-U", "tester", "-N", "--lc-messages=C"],
        capture_output=True,
        text=True,
        **options,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    sockets = f"unix_socket_directories={data}"
    fixed = ["-D", str(data), "-c", "listen_addresses=127.0.0.1", "-c", sockets, "-c", "fsync=off"]
    return serve(lambda port: [postgres, *fixed, "-p", str(port)], "ready to accept connections", **options)


@needs("redis")
@PROCS
def test_redis(ok, redis_port, procs):
    """All wait at once, by one client and with timeouts, before any gets its item; and what is published comes."""
    ok(
        f"""
import redis
client = redis.Redis("127.0.0.1", {redis_port}, decode_responses=True)
got = []
def wait(i):
    got.append(client.blpop([f"list:{procs}:{{i}}"], timeout=25))
wg = gopy.sync.WaitGroup()
for i in range(10):
    wg.go(wait, i)
while client.info("clients")["blocked_clients"] < 10:
    time.sleep(0.001)
for i in range(10):
    client.rpush(f"list:{procs}:{{i}}", f"item {{i}}")
wg.wait()
print(sorted(got) == [(f"list:{procs}:{{i}}", f"item {{i}}") for i in range(10)])
print(client.blpop(["nothing"], timeout=0.01))

heard = []
def listen(i):
    with client.pubsub(ignore_subscribe_messages=True) as sub:
        sub.subscribe("news:{procs}")
        heard.append(next(sub.listen())["data"])
for i in range(5):
    wg.go(listen, i)
thread = threading.Thread(target=listen, args=(5,))
thread.start()
while client.pubsub_numsub("news:{procs}")[0][1] < 6:
    time.sleep(0.001)
client.publish("news:{procs}", "hello")
wg.wait()
thread.join()
print(heard)
with client.pipeline() as pipe:
    pipe.set("key:{procs}", 1).incr("key:{procs}").get("key:{procs}")
    print(pipe.execute())
client.close()
""",
        procs,
        "True",
        "None",
        "['hello', 'hello', 'hello', 'hello', 'hello', 'hello']",
        "[True, 2, '2']",
    )


@PROCS
@pytest.mark.parametrize(
    "module", [pytest.param(name, marks=needs(name)) for name in ("psycopg", "psycopg2")]
)
def test_postgres(ok, postgres_port, procs, module):
    """All wait at once for a lock of the server's, before any gets it."""
    ok(
        f"""
import {module} as client
def connect():
    return client.connect("host=127.0.0.1 port={postgres_port} user=tester dbname=postgres")
def ask(conn, query):
    with conn.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]
holder, got = connect(), []
ask(holder, "select 1 from pg_advisory_lock({procs})")
def wait(i):
    conn = connect()
    got.append(ask(conn, f"select {{i}} from pg_advisory_lock_shared({procs})"))
    conn.close()
wg = gopy.sync.WaitGroup()
for i in range(8):
    wg.go(wait, i)
thread = threading.Thread(target=wait, args=(8,))
thread.start()
while ask(holder, "select count(*) from pg_locks where locktype = 'advisory' and objid = {procs} and not granted") < 9:
    time.sleep(0.001)
print(got)
ask(holder, "select pg_advisory_unlock({procs})")
wg.wait()
thread.join()
print(sorted(got))
try:
    ask(holder, "select nonsense")
except client.Error as exc:
    print(type(exc).__name__)
holder.close()
""",
        procs,
        "[]",
        "[0, 1, 2, 3, 4, 5, 6, 7, 8]",
        "UndefinedColumn",
    )
