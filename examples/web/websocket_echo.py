"""A WebSocket server that echoes, with a page that talks to it.  python examples/web/websocket_echo.py
[ADDRESS]

wsproto (pip install wsproto) knows the protocol and no network. hijack() gives the connection away: from then
on it is this program's, and the server forgets it.
"""

import sys

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Request, TextMessage

from gopy import http, net

PAGE = """<!doctype html><title>echo</title><p id=said></p><script>
const socket = new WebSocket(`ws://${location.host}/echo`)
socket.onopen = () => socket.send("hello from a page")
socket.onmessage = event => { document.querySelector("#said").textContent = event.data }
</script>
"""

mux = http.ServeMux()


@mux.handle("GET /{$}")
def page(w, r):
    w.write(PAGE)


@mux.handle("GET /echo")
def echo(w, r):
    if r.header.get("Upgrade").lower() != "websocket":
        http.error(w, "a WebSocket is wanted", 426)
        return
    # wsproto wants to see the request, which has been read already.
    lines = [f"GET {r.url} HTTP/1.1", f"Host: {r.host}"]
    lines += [f"{name}: {value}" for name, values in r.header.items() for value in values]
    conn, ahead = w.hijack()
    with conn:
        talk(conn, "\r\n".join([*lines, "", ""]).encode("latin-1"), ahead)


def talk(conn, data, ahead):
    protocol = WSConnection(ConnectionType.SERVER)
    while data:
        protocol.receive_data(data)
        for event in protocol.events():
            match event:
                case Request():
                    conn.write(protocol.send(AcceptConnection()))
                case TextMessage(data=text):
                    conn.write(protocol.send(TextMessage(text, message_finished=event.message_finished)))
                case BytesMessage(data=some):
                    conn.write(
                        protocol.send(BytesMessage(bytes(some), message_finished=event.message_finished))
                    )
                case Ping():
                    conn.write(protocol.send(event.response()))
                case CloseConnection():
                    conn.write(protocol.send(event.response()))
                    return
        data, ahead = ahead or conn.read(), b""


listener = net.listen("tcp", sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8080")
print(f"listening on http://{listener.addr}", flush=True)
http.Server(handler=mux).serve(listener)
