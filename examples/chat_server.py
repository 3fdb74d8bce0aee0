"""A chat server: what one client types, the others read.

    python examples/chat_server.py              # on 127.0.0.1:7001
    nc 127.0.0.1 7001                           # in several other terminals

After the one in "The Go Programming Language", section 8.10. One goroutine, the broadcaster, knows the
clients: nobody else touches that set, so there is no lock. Each client has one goroutine that reads what is
typed and one that writes what arrives for it. A client that does not read what it is sent is let go, so that
it can hold up nobody.
"""

import sys
from dataclasses import dataclass, field

from gopy import Chan, default, go, net, recv, select, send

BACKLOG = 64  # messages that a client may be behind


@dataclass(eq=False)
class Client:
    name: str
    conn: net.Conn
    messages: Chan[str] = field(default_factory=lambda: Chan(BACKLOG))


entering: Chan[Client] = Chan()
leaving: Chan[Client] = Chan()
said: Chan[str] = Chan()


def broadcaster() -> None:
    clients: set[Client] = set()

    def tell_all(message: str) -> None:
        for client in list(clients):
            if select(send(client.messages, message), default)[0] == 1:  # it is too far behind
                clients.remove(client)
                client.messages.close()
                client.conn.close()

    while True:
        match select(recv(said), recv(entering), recv(leaving)):
            case (0, message, _):
                tell_all(message)
            case (1, client, _):
                tell_all(f"{client.name} has arrived")
                others = ", ".join(sorted(other.name for other in clients)) or "nobody"
                client.messages.send(f"You are {client.name}; here are: {others}")
                clients.add(client)
            case (2, client, _):
                if client in clients:
                    clients.remove(client)
                    client.messages.close()
                tell_all(f"{client.name} has left")


def write(client: Client) -> None:
    try:
        for message in client.messages:
            client.conn.write(f"{message}\n".encode())
    except OSError:
        pass  # it is gone: the reader sees that, too
    client.conn.close()


def handle(conn: net.Conn) -> None:
    client = Client(str(conn.remote_addr), conn)
    go(write, client)
    entering.send(client)
    try:
        with conn.makefile("r", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                said.send(f"{client.name}: {line.rstrip()}")
    except OSError:
        pass
    leaving.send(client)


def main() -> None:
    with net.listen("tcp", sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:7001") as listener:
        print(f"listening on {listener.addr}", flush=True)
        go(broadcaster)
        listener.serve(handle)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
