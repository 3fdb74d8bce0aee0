"""A job queue over any number of processes and machines, on Redis Streams.

    python examples/job_queue.py produce 1000      # put 1000 jobs into the queue
    python examples/job_queue.py work              # do jobs: on as many machines, and as often as you like
    python examples/job_queue.py status

Needs `pip install redis` and a Redis server; --redis HOST:PORT says where (127.0.0.1:6379). SIGTERM or Ctrl-C
ends a worker when it has done what it has begun.

A job that a worker has taken stays listed as that worker's until it is done. So nothing is lost when a worker
is killed: others take what has been listed for longer than --claim-after seconds. A job may therefore be done
twice, by one who was only slow: doing it again must do no harm. Here its result is stored under its id, in
one step with the job's end.
"""

# ruff: noqa: E402  (the standard library is patched before redis is imported)
from gopy import monkey

monkey.patch_all()

import argparse
import os
import signal as numbers
import socket
import sys
from collections.abc import Iterator

import redis

from gopy import atomic, context, errgroup, recv, select, signal, time

STREAM, GROUP, RESULTS = "jobs", "workers", "jobs:results"
BATCH = 100  # jobs that a producer sends in one request
PATIENCE = 200  # milliseconds that a worker waits for a job before it looks whether it should end

Job = tuple[bytes, dict[bytes, bytes]]


def produce(client: redis.Redis, count: int) -> None:
    """Put jobs into the queue: numbers to square."""
    start = time.now()
    for first in range(0, count, BATCH):
        with client.pipeline(transaction=False) as requests:
            for n in range(first, min(first + BATCH, count)):
                requests.xadd(STREAM, {"n": n})
            requests.execute()
    print(f"put {count} jobs, {count / (time.now() - start):,.0f} a second")


class Worker:
    """Goroutines of one process, each of which takes a job at a time."""

    def __init__(self, client: redis.Redis, ctx: context.Context, seconds: float, claim_after: float) -> None:
        self.client = client
        self.ctx = ctx
        self.seconds = seconds
        self.claim_after = claim_after
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        self.done = atomic.Int64()

    def do(self, job: Job) -> None:
        """Do one job, store its result and tell the queue, in one step."""
        number, fields = job
        n = int(fields[b"n"])
        time.sleep(self.seconds)  # as if it were more work than it is
        with self.client.pipeline(transaction=True) as step:
            step.hset(RESULTS, number, n * n)
            step.xack(STREAM, GROUP, number)
            step.execute()
        self.done.add(1)

    def new_jobs(self) -> Iterator[Job]:
        """What nobody has taken, one at a time, until the worker is to end."""
        while self.ctx.err() is None:
            answer = self.client.xreadgroup(GROUP, self.name, {STREAM: ">"}, count=1, block=PATIENCE)
            for _, jobs in answer or ():
                yield from jobs

    def take(self) -> None:
        for job in self.new_jobs():
            self.do(job)

    def rescue(self) -> None:
        """Take over what others have had for too long."""
        while True:
            match select(recv(time.after(self.claim_after)), recv(self.ctx.done())):
                case (1, _, _):
                    return
            start = b"0-0"
            while True:
                idle = int(self.claim_after * 1000)
                start, jobs, _ = self.client.xautoclaim(STREAM, GROUP, self.name, idle, start, count=10)
                for job in jobs:
                    self.do(job)
                if start == b"0-0":
                    break

    def run(self, at_once: int) -> None:
        began = time.now()
        with errgroup.Group() as group:
            for _ in range(at_once):
                group.go(self.take)
            group.go(self.rescue)
        done, took = self.done.load(), time.now() - began
        print(f"{self.name}: did {done} jobs in {took:.1f} s, {done / took:,.0f} a second")


def work(client: redis.Redis, at_once: int, seconds: float, claim_after: float) -> None:
    ctx, stop = signal.notify_context(context.background(), numbers.SIGTERM, numbers.SIGINT)
    try:
        client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):  # another worker was first
            raise
    worker = Worker(client, ctx, seconds, claim_after)
    print(f"{worker.name}: working", flush=True)
    worker.run(at_once)
    stop()


def status(client: redis.Redis) -> None:
    print(f"{client.xlen(STREAM)} jobs, {client.hlen(RESULTS)} done")
    for consumer in client.xinfo_consumers(STREAM, GROUP):
        print(f"  {consumer['name'].decode()} has {consumer['pending']}")


def main() -> None:
    parser = argparse.ArgumentParser(description="A job queue on Redis Streams.")
    parser.add_argument("--redis", default="127.0.0.1:6379", metavar="HOST:PORT")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("produce").add_argument("count", type=int)
    commands.add_parser("status")
    worker = commands.add_parser("work")
    worker.add_argument("--at-once", type=int, default=10, metavar="N", help="jobs, of this process")
    worker.add_argument("--seconds", type=float, default=0.0, metavar="S", help="that a job takes")
    worker.add_argument("--claim-after", type=float, default=30.0, metavar="S", help="more than a job takes")
    given = parser.parse_args()
    host, _, port = given.redis.rpartition(":")
    client = redis.Redis(host=host, port=int(port))
    if given.command == "produce":
        produce(client, given.count)
    elif given.command == "work":
        work(client, given.at_once, given.seconds, given.claim_after)
    else:
        status(client)


if __name__ == "__main__":
    try:
        main()
    except redis.ConnectionError as error:
        sys.exit(f"job_queue: {error}")
