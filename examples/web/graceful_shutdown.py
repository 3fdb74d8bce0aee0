"""A server that ends in good order.  python examples/web/graceful_shutdown.py [ADDRESS]; then kill -TERM it.

After SIGTERM or Ctrl-C nobody is accepted any more, requests under way are answered, for ten seconds at most.
"""

import sys
from signal import SIGINT, SIGTERM

from gopy import Chan, context, go, http, net, signal, time


def slow(w, r):
    w.write("begun, ")
    w.flush()
    time.sleep(0.5)
    w.write("done\n")


ctx, stop = signal.notify_context(context.background(), SIGINT, SIGTERM)
server = http.Server(handler=slow)
listener = net.listen("tcp", sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8080")
print(f"listening on http://{listener.addr}", flush=True)
ended = Chan()


@go
def serve():
    try:
        server.serve(listener)
    except http.ServerClosed:
        ended.close()


ctx.done().recv()
stop()
print("shutting down", flush=True)
limit, cancel = context.with_timeout(context.background(), 10)
server.shutdown(limit)
cancel()
ended.recv()
print("all requests have been answered")
