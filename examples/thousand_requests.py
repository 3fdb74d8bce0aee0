"""1,000 requests at once, each waiting one second for a slow back end: as goroutines, and as OS threads.

    python examples/thousand_requests.py

A server that spends an OS thread on each request pays for it while the request does nothing but wait. Each
half runs in a fresh process of its own, and measures there, while all its requests wait, what they added to

    resident        the physical memory that the process holds (RSS)
    address space   what it has reserved (VMS): a thread reserves its whole stack, and touches little of it
    OS threads      those of the process, the main thread not counted

and how long it took from the first request to the last answer. What the kernel itself spends on a thread, its
16 KiB of kernel stack and more, is in none of these figures.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import psutil

import gopy.time
from gopy import Chan, go


def start_thread(fn: Callable[..., object], *args: object) -> None:
    threading.Thread(target=fn, args=args, daemon=True).start()


class Queue(queue.Queue[None]):
    """What threads have for a channel, with the names of a Chan."""

    send, recv, __len__ = queue.Queue.put, queue.Queue.get, queue.Queue.qsize


HALVES: dict[str, tuple[Callable[..., object], Callable[[float], None], type[Chan[None]] | type[Queue]]] = {
    "goroutines": (go, gopy.time.sleep, Chan),
    "OS threads": (start_thread, time.sleep, Queue),
}


def measure(half: str, requests: int, seconds: float) -> dict[str, float]:
    start, sleep, channel = HALVES[half]
    asked, answered = channel(requests), channel(requests)

    def request(seconds: float) -> None:
        asked.send(None)
        sleep(seconds)  # the slow back end
        answered.send(None)

    def footprint() -> tuple[int, int, int]:
        process = psutil.Process()
        memory = process.memory_info()
        return memory.rss, memory.vms, process.num_threads()

    start(request, 0)  # one beforehand, so that what is set up only once is not counted
    asked.recv()
    answered.recv()
    before = footprint()
    began = time.perf_counter()
    for _ in range(requests):
        start(request, seconds)
    for _ in range(requests):
        asked.recv()
    after = footprint()
    waiting = requests - len(answered)
    for _ in range(requests):
        answered.recv()
    return {
        "waiting": waiting,
        "resident": after[0] - before[0],
        "address": after[1] - before[1],
        "threads": after[2] - 1,
        "elapsed": time.perf_counter() - began,
    }


def in_fresh_process(half: str, requests: int, seconds: float) -> dict[str, float]:
    command = [sys.executable, __file__, f"-n{requests}", f"-s{seconds}", f"--half={half}"]
    # Free-threaded Python's allocator is to return freed memory at once, or that hides some of what is added.
    env = os.environ | {"MIMALLOC_PURGE_DELAY": "0"}
    child = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    if child.returncode != 0:  # most likely, the system has no more threads to give
        sys.exit(f"{half}   {child.stderr.strip().splitlines()[-1]}")
    return json.loads(child.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Waiting requests: what they cost as goroutines, as OS threads."
    )
    parser.add_argument("-n", type=int, default=1000, metavar="N", help="requests (default: %(default)s)")
    parser.add_argument(
        "-s", type=float, default=1, metavar="SECONDS", help="each waits (default: %(default)s)"
    )
    parser.add_argument("--half", choices=HALVES, help="only this half, in this process; prints JSON")
    args = parser.parse_args()
    if args.n < 1 or args.s <= 0:
        parser.error("need at least one request, and more than 0 seconds")
    if args.half:
        print(json.dumps(measure(args.half, args.n, args.s)))
        return

    print(f"{args.n} requests, all waiting at once; memory in KiB\n")
    print("             resident    each   address space    each   OS threads   each waits   all answered in")
    costs = {}
    for half in HALVES:
        seconds = args.s
        while (cost := in_fresh_process(half, args.n, seconds))["waiting"] < args.n:
            seconds *= 2  # the machine is busy: the first was answered before the last was asked
        costs[half] = cost
        resident, address = cost["resident"] / 1024, cost["address"] / 1024
        print(
            f"{half}   {resident:8.0f} {resident / args.n:7.1f}   {address:13.0f} {address / args.n:7.1f}"
            f"   {cost['threads']:10}   {seconds:8.2f} s   {cost['elapsed']:13.2f} s"
        )
    goroutines, one_thread = costs["goroutines"]["resident"], costs["OS threads"]["address"] / args.n
    print(
        f"\nAll goroutines together hold {goroutines / 2**20:.1f} MiB;"
        f" a single OS thread reserves {one_thread / 2**20:.1f} MiB."
    )


if __name__ == "__main__":
    main()
