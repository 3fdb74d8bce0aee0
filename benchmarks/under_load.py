"""Runs a peer's server in a process of its own, on a core of its own, and the load on another core.

What counts is the server's CPU time, the kernel's count for its process in ns; others' work is not in it.
"""

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from time import clock_gettime

from benchmarks.builds import build_load

REPOSITORY = Path(__file__).parent.parent


def own_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


CORES = own_cores()


class Server:
    """A peer's server, which runs until kill(): of echo_servers, or of another module of servers."""

    def __init__(
        self, peer: str, cores: Sequence[int] = CORES[:1], folder: str = "", module: str = "echo_servers"
    ) -> None:
        command = [sys.executable, "-m", f"benchmarks.{module}", peer, ",".join(map(str, cores))]
        command += [folder] if folder else []
        self.process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.kill()
            raise RuntimeError(f"the server of {peer} ended with exit status {self.process.returncode}")
        said = json.loads(line)
        self.port: int = said["port"]
        self.worker: int = said.get("pid", self.pid)  # whose CPU time counts
        os.sched_setaffinity(0, CORES[-1:])  # from here on this process is the load, or starts it

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def cpu(self) -> float:
        """Seconds of CPU time that it has taken, all its threads together."""
        return clock_gettime((~self.pid << 3) | 2)  # as clock_getcpuclockid(3) does


@cache
def running_server(
    peer: str, cores: Sequence[int] = tuple(CORES[:1]), folder: str = "", module: str = "echo_servers"
) -> Server:
    """One that has been warmed up by whoever used it before. It is killed at exit."""
    server = Server(peer, cores, folder, module)
    atexit.register(server.kill)
    return server


def load(server: Server, connections: int, requests: int, path: str = "") -> dict[str, float]:
    """What load.c prints, for echoes, or for GETs of a path: the server's CPU time for so many requests,
    their time, and their p99 latency."""
    command = [
        str(build_load()),
        *map(str, (server.port, server.worker, connections, requests)),
        *filter(None, [path]),
    ]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: exit status {done.returncode}")
    numbers: dict[str, float] = json.loads(done.stdout)
    return numbers


CONNECTIONS = 50


def ask(peer: str, n: int, *, module: str = "echo_servers", path: str = "") -> tuple[float, float]:
    """n requests to a peer's server over 50 connections: the server's CPU time for all of them, and the p99
    latency of one, n times, as a table divides by n."""
    numbers = load(running_server(peer, module=module), CONNECTIONS, n, path)
    return numbers["cpu"], numbers["p99"] * n
