"""The small server that `python -m benchmarks soak` watches, and its clients, each in a process of its own.

    python -m benchmarks.soak_server serve 0.5      # prints its port, then a sample every half second
    python -m benchmarks.soak_server drive PORT

A request is eight digits, and so is what comes back. Each has a goroutine, a context with a timeout and a
channel of its own. Of ten, six ask a cache behind a mutex, which a ticker empties; one takes longer than its
timeout, one is cancelled, one fails, and one waits for a moment.
"""

import json
import os
import sys
from typing import Any

import psutil

from benchmarks.echo_servers import die_with_parent
from gopy import Chan, atomic, context, go, net, recv, runtime, select, sync, time

SIZE = 8
CONNECTIONS = 16  # at once
REQUESTS = 50  # a connection
KEYS = 1000  # of the cache
EMPTIED = 0.05  # seconds after which the cache is empty again
LATE, CANCELLED, BAD, SLOW = range(4)  # by the last digit; the others ask the cache


class Cache:
    """Answers, computed when they are asked for and kept until the next tick."""

    def __init__(self) -> None:
        self.mutex = sync.Mutex()
        self.answers: dict[int, bytes] = {}

    def get(self, key: int) -> bytes:
        with self.mutex:
            answer = self.answers.get(key)
            if answer is None:
                answer = self.answers[key] = b"%08d" % (key * key)
        return answer

    def empty(self, ticker: time.Ticker) -> None:
        for _ in ticker.c:
            with self.mutex:
                self.answers = {}


def answer(ctx: context.Context, cancel: context.CancelFunc, cache: Cache, key: int) -> bytes:
    kind = key % 10
    if kind == LATE:
        ctx.done().recv()
    elif kind == CANCELLED:
        cancel()
    elif kind == SLOW:
        time.sleep(0.001)
    elif kind == BAD:
        raise KeyError(key)
    ctx.raise_if_done()
    return cache.get(key % KEYS)


def reply(
    ctx: context.Context, cancel: context.CancelFunc, cache: Cache, key: int, replies: Chan[bytes]
) -> None:
    try:
        replies.send(answer(ctx, cancel, cache, key))
    except KeyError:
        replies.send(b"-- bad--")
    except (context.Canceled, context.DeadlineExceeded):
        pass  # who asked waits for that, too


def serve_one(everything: context.Context, cache: Cache, key: int) -> bytes:
    ctx, cancel = context.with_timeout(everything, 0.001 if key % 10 == LATE else 10)
    replies: Chan[bytes] = Chan(1)
    try:
        go(reply, ctx, cancel, cache, key, replies)
        match select(recv(replies), recv(ctx.done())):
            case (0, value, _):
                return value
        err = ctx.err()
        assert err is not None
        raise err
    except context.Canceled:
        return b"cancelld"
    except context.DeadlineExceeded:
        return b"--late--"
    finally:  # the traceback of err refers to this frame, which must not refer back
        cancel()
        err = None


def sample(seconds: float, requests: int) -> dict[str, float]:
    process = psutil.Process()
    return {
        "seconds": seconds,
        "requests": requests,
        "memory": process.memory_info().rss,
        "descriptors": process.num_fds(),
        "goroutines": runtime.num_goroutine(),
        "threads": process.num_threads(),
    }


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def serve(every: float) -> None:
    everything, _cancel = context.with_cancel(context.background())
    cache, served = Cache(), atomic.Int64()
    go(cache.empty, time.Ticker(EMPTIED))

    def handle(conn: net.Conn) -> None:
        try:
            while len(request := conn.read_full(SIZE)) == SIZE:
                served.add(1)
                conn.write(serve_one(everything, cache, int(request)))
        except (EOFError, ConnectionError):
            pass  # the client has gone

    listener = net.listen("tcp", "127.0.0.1:0")
    say({"port": listener.addr.port})
    go(listener.serve, handle)
    while served.load() == 0:  # the clients take seconds to start on a busy machine
        time.sleep(0.01)
    start = time.now()
    for _ in time.Ticker(every).c:
        say(sample(time.now() - start, served.load()))


def drive(port: int) -> None:
    """Ask, on so many connections at once, until the server is gone."""

    def ask(first: int) -> None:
        key = first
        while True:
            try:
                with net.dial("tcp", f"127.0.0.1:{port}") as conn:
                    for _ in range(REQUESTS):
                        conn.write(b"%08d" % (key % 10_000_000))
                        conn.read_full(SIZE)
                        key += 1
            except (EOFError, OSError):
                return

    wg = sync.WaitGroup()
    for i in range(CONNECTIONS):
        wg.go(ask, 1_000 * i)
    wg.wait()


def main() -> None:
    role, value = sys.argv[1:]
    die_with_parent()
    if role == "serve":
        serve(float(value))
    drive(int(value))
    os._exit(0)


if __name__ == "__main__":
    main()
