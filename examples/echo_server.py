"""An echo server: it sends back whatever it is sent, to any number of clients at once.

    python examples/echo_server.py              # on 127.0.0.1:7000
    python examples/echo_server.py :9000        # on every interface, IPv4 and IPv6
    nc 127.0.0.1 7000                           # in another terminal

A goroutine for each connection, which reads and writes as if it were alone. Ctrl-C ends it.
"""

import sys

from gopy import net


def echo(conn: net.Conn) -> None:
    while data := conn.read():
        conn.write(data)


def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:7000"
    with net.listen("tcp", address) as listener:
        print(f"listening on {listener.addr}", flush=True)
        listener.serve(echo)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
