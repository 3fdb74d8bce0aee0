"""One port, several processes: the kernel spreads connections over all that listen on it (SO_REUSEPORT).

    python examples/many_workers.py                        # on 127.0.0.1:7000, a process for each core
    python examples/many_workers.py 127.0.0.1:7000 4
    for i in 1 2 3 4 5 6; do nc -d 127.0.0.1 7000; done    # in another terminal: which process answers

With a GIL, Python code of one process uses one core; so this is how a server uses them all. One that dies
is replaced. SIGTERM or Ctrl-C ends them all.
"""

import os
import signal as numbers
import socket
import subprocess
import sys

from gopy import (
    Chan,
    blocking,
    context,
    default,
    errgroup,
    net,
    recv,
    runtime,
    select,
    send,
    signal,
    time,
)


def answer(conn: net.Conn) -> None:
    conn.write(f"process {os.getpid()}\n".encode())


def worker(address: str) -> None:
    ctx, _ = signal.notify_context(context.background(), numbers.SIGTERM, numbers.SIGINT)
    with net.listen("tcp", address, reuse_port=True) as listener:
        context.after_func(ctx, listener.close)
        print("ready", flush=True)
        listener.serve(answer)


def keep_alive(ctx: context.Context, address: str, ready: Chan[None]) -> None:
    """Keep one worker running until ctx ends."""
    while ctx.err() is None:
        command = [sys.executable, __file__, "--worker", address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            stop = context.after_func(ctx, process.terminate)
            assert process.stdout is not None
            if blocking(process.stdout.readline):
                select(send(ready, None), default)  # main counts the first ones only
            blocking(process.wait)
            stop()
        select(recv(time.after(0.1)), recv(ctx.done()))  # one that cannot start is not tried without a pause


def main() -> None:
    host, _, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:7000").rpartition(":")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else runtime.num_cpu()
    ctx, _ = signal.notify_context(context.background(), numbers.SIGTERM, numbers.SIGINT)
    with socket.socket() as reserved:  # keeps the port, also a free one (:0), and takes no connections
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((host, int(port)))
        address = "{}:{}".format(*reserved.getsockname())
        ready: Chan[None] = Chan(count)
        with errgroup.Group() as group:
            for _ in range(count):
                group.go(keep_alive, ctx, address, ready)
            for _ in range(count):
                ready.recv()
            print(f"{count} processes listen on {address}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2])
    else:
        main()
