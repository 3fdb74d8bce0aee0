"""A web server that greets.  python examples/web/hello.py [ADDRESS]; then curl http://127.0.0.1:8080/gopher"""

import sys

from gopy import http, net


@http.handle("GET /{name...}")
def hello(w, r):
    w.write(f"Hello, {r.path_value('name') or 'world'}!\n")


listener = net.listen("tcp", sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8080")
print(f"listening on http://{listener.addr}", flush=True)
http.Server().serve(listener)
