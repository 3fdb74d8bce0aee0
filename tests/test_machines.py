"""What spreads work over processes: examples/job_queue.py with a real Redis server, examples/many_workers.py."""

import os
import random
import re
import shutil
import signal
import socket
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
JOB_QUEUE, MANY_WORKERS = EXAMPLES / "job_queue.py", EXAMPLES / "many_workers.py"

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None or find_spec("redis") is None,
    reason="NOT TESTED HERE: redis-server or the package redis is not installed",
)


def free_port():
    """One that no listener on a port of the kernel's choice gets, nor any client."""
    for port in random.SystemRandom().sample(range(20000, 32000), 1000):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    pytest.fail("there is no free port")


class Server:
    """A Redis server that keeps nothing, and a client of it."""

    def __init__(self, start, folder):
        import redis

        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.program = start(
            f"""
            import os
            os.execlp("redis-server", "redis-server", "--bind", "127.0.0.1", "--port", "{self.port}",
                      "--save", "", "--appendonly", "no", "--dir", {str(folder)!r})
            """
        )
        self.program.wait_for(lambda: "Ready to accept connections" in self.program.stdout)
        self.client = redis.Redis(port=self.port)

    def done(self):
        return self.client.hlen("jobs:results")

    def pending(self):
        return self.client.xpending("jobs", "workers")["pending"]

    def squares(self):
        return sorted(int(value) for value in self.client.hvals("jobs:results"))

    def close(self):
        self.client.close()
        self.program.kill()
        self.program.finish()


@pytest.fixture
def server(start_program, tmp_path):
    server = Server(start_program, tmp_path)
    yield server
    server.close()


@pytest.fixture
def start(start_program, server):
    """start(command, *options): job_queue.py in a process of its own."""
    return lambda *arguments: start_program(JOB_QUEUE, "--redis", server.address, *arguments)


def joined(worker):
    """It, once it is in the group."""
    worker.wait_for(lambda: "working\n" in worker.stdout)
    return worker


def end(program):
    """Its last words, when it has ended in good order."""
    os.kill(program.pid, signal.SIGTERM)
    return last_words(program)


def last_words(program):
    done = program.finish()
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()[-1]


@needs_redis
def test_workers_share_what_producers_put_into_the_queue(server, start):
    workers = [start("work", "--at-once", 5) for _ in range(2)]
    producers = [start("produce", 150) for _ in range(2)]
    for producer in producers:
        assert re.fullmatch(r"put 150 jobs, [\d,]+ a second", last_words(producer))
    for worker in workers:
        joined(worker).wait_for(lambda: server.done() == 300)
    words = [end(worker) for worker in workers]
    assert sum(int(re.search(r"did (\d+) jobs in .* s, [\d,]+ a second", each)[1]) for each in words) == 300
    assert server.squares() == sorted(2 * [n * n for n in range(150)])
    assert server.pending() == 0


@needs_redis
def test_what_a_killed_worker_had_is_done_by_another(server, start):
    killed = start("work", "--at-once", 5, "--seconds", 3600)  # it is in the midst of whatever it takes
    last_words(start("produce", 20))
    joined(killed).wait_for(lambda: server.pending() == 5)
    assert last_words(start("status")).endswith(f"-{killed.pid} has 5")
    other = start("work", "--claim-after", 0.2)
    killed.kill()
    killed.finish()
    other.wait_for(lambda: server.done() == 20)
    end(other)
    assert server.squares() == [n * n for n in range(20)]
    assert server.pending() == 0


def ask(address):
    with socket.create_connection(address, timeout=30) as sock:
        return int(sock.makefile("r").readline().split()[1])


@pytest.fixture
def many_workers(start_program):
    program = start_program(MANY_WORKERS, "127.0.0.1:0", 2)
    program.wait_for(lambda: "listen on" in program.stdout and program.stdout.endswith("\n"))
    host, port = program.stdout.split()[-1].split(":")
    yield program, (host, int(port))
    program.kill()


def test_processes_share_a_port_and_end_together(many_workers):
    program, address = many_workers
    answered = set()
    program.wait_for(lambda: answered.add(ask(address)) or len(answered) == 2)
    assert program.pid not in answered
    os.kill(program.pid, signal.SIGTERM)
    done = program.finish()
    assert (done.returncode, done.stderr) == (0, "")
    with pytest.raises(OSError):
        ask(address)


def test_a_process_that_dies_is_replaced(many_workers):
    program, address = many_workers
    first = ask(address)
    os.kill(first, signal.SIGKILL)
    answered = set()

    def two_others_answer():
        try:
            answered.add(ask(address))
        except (OSError, IndexError):  # it had been given to the one that died
            pass
        return len(answered - {first}) == 2

    program.wait_for(two_others_answer)
    os.kill(program.pid, signal.SIGTERM)
    assert program.finish().returncode == 0
