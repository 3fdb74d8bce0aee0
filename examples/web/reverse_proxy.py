"""A reverse proxy: hands requests on to another server, and its answers back, both while they come.

python examples/web/reverse_proxy.py http://127.0.0.1:9000 [ADDRESS]
"""

import sys

from gopy import http, net

# Fields of a connection, not of what goes over it (RFC 9110, 7.6.1).
HOP_BY_HOP = [
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Te",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
]


def passed_on(header):
    """A header without what is of the connection, which may name further fields of its own."""
    header = header.clone()
    for value in header.values("Connection"):
        for name in value.split(","):
            header.delete(name.strip())
    for name in HOP_BY_HOP:
        header.delete(name)
    return header


target = sys.argv[1].rstrip("/")
client = http.Client(follow_redirects=0, max_idle_per_host=100)


def proxy(w, r):
    header = passed_on(r.header)
    header.add("X-Forwarded-For", str(r.remote_addr.host))
    header.set("Host", r.host)
    if "Accept-Encoding" not in header:
        header.set("Accept-Encoding", "identity")  # what is sent goes back as it is
    body = None if r.content_length == 0 else r.body
    try:
        answer = client.do(r.method, target + r.url, body=body, header=header, ctx=r.context())
    except OSError:
        http.error(w, "Bad Gateway", 502)
        return
    with answer:
        w.header().update(passed_on(answer.header))
        w.write_header(answer.status)
        while data := answer.body.read1():
            w.write(data)
            w.flush()


listener = net.listen("tcp", sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:8080")
print(f"listening on http://{listener.addr}", flush=True)
http.Server(handler=proxy).serve(listener)
