"""A port scanner: which TCP ports of a host accept connections?

    python examples/port_scanner.py 127.0.0.1
    python examples/port_scanner.py localhost -p 1-65535 -n 500 -t 0.5

A goroutine for each of `-n` workers, which take ports from one channel and send those that answered to
another. A port that says nothing costs its worker `-t` seconds and nobody else any. Scan only what is yours.
"""

import argparse
import sys
from socket import getservbyport

from gopy import Chan, RecvChan, SendChan, go, net, sync


def scan(host: str, timeout: float, ports: RecvChan[int], found: SendChan[int]) -> None:
    for port in ports:
        try:
            net.dial("tcp", f"{host}:{port}", timeout=timeout).close()
        except OSError:
            continue  # refused, silent or unreachable
        found.send(port)


def open_ports(host: str, wanted: range, workers: int, timeout: float) -> list[int]:
    ports: Chan[int] = Chan()
    found: Chan[int] = Chan()

    def hand_out() -> None:
        for port in wanted:
            ports.send(port)
        ports.close()

    go(hand_out)
    scanners = sync.WaitGroup()
    for _ in range(min(workers, len(wanted))):
        scanners.go(scan, host, timeout, ports, found)

    def close_when_done() -> None:
        scanners.wait()
        found.close()

    go(close_when_done)
    return sorted(found)


def port_range(text: str) -> range:
    first, _, last = text.partition("-")
    ports = range(int(first), int(last or first) + 1)
    if not ports or ports[0] < 1 or ports[-1] > 65535:
        raise ValueError
    return ports


def main() -> int:
    parser = argparse.ArgumentParser(description="Which TCP ports of a host accept connections?")
    parser.add_argument("host")
    parser.add_argument("-p", "--ports", type=port_range, default=range(1, 1025), help="1-1024")
    parser.add_argument("-n", "--workers", type=int, default=100, help="connections at a time, 100")
    parser.add_argument("-t", "--timeout", type=float, default=1.0, help="seconds for each, 1")
    args = parser.parse_args()
    try:
        address = net.lookup_host(args.host)[0]  # once, not for each port
    except OSError as exc:
        parser.exit(1, f"{parser.prog}: {args.host}: {exc}\n")
    host = f"[{address}]" if ":" in address else address
    for port in open_ports(host, args.ports, max(args.workers, 1), args.timeout):
        try:
            print(port, getservbyport(port, "tcp"))
        except OSError:
            print(port)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
