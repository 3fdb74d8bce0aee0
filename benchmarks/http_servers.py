"""The HTTP servers that are put under load, one for each peer, each in a process of its own.

    python -m benchmarks.http_servers gopy 0

runs gopy's on core 0 and prints its port, and its worker's process id if that is another, as JSON. Each
answers /hello with twelve bytes of text and /json with a small object that is made for each answer. Peers
that only run WSGI applications run the same one, as "gopy, wsgi" does.
"""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.builds import build_go_programs, find_go
from benchmarks.echo_servers import BACKLOG, HERE, die_with_parent

HELLO = b"hello world\n"


def listening(port: int, pid: int | None = None) -> None:
    print(json.dumps({"port": port} | ({} if pid is None else {"pid": pid})), flush=True)


def made() -> bytes:
    return json.dumps({"message": "hello", "items": list(range(10)), "ok": True}).encode()


def gopy() -> None:
    from gopy import http, net

    mux = http.ServeMux()

    @mux.handle("GET /hello")
    def hello(w: http.ResponseWriter, r: http.Request) -> None:
        w.write(HELLO)

    @mux.handle("GET /json")
    def as_json(w: http.ResponseWriter, r: http.Request) -> None:
        w.header().set("Content-Type", "application/json")
        w.write(made())

    listener = net.listen("tcp", f"{HERE}:0", backlog=BACKLOG)
    listening(listener.addr.port)
    http.Server(handler=mux).serve(listener)


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The same as a WSGI application."""
    if environ["PATH_INFO"] == "/json":
        body = made()
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(HELLO)))])
    return [HELLO]


def gopy_wsgi() -> None:
    from gopy import http, net

    listener = net.listen("tcp", f"{HERE}:0", backlog=BACKLOG)
    listening(listener.addr.port)
    http.Server(handler=http.wsgi(application)).serve(listener)


def pywsgi() -> None:
    from gevent import pywsgi

    server = pywsgi.WSGIServer((HERE, 0), application, backlog=BACKLOG, log=None)
    server.start()
    listening(server.server_port)
    server.serve_forever()


def flask_application() -> Any:
    """Made by the worker, which has patched the standard library by then."""
    import flask

    app = flask.Flask(__name__)

    @app.get("/hello")
    def hello() -> flask.Response:
        return flask.Response(HELLO, content_type="text/plain")

    @app.get("/slow")
    def slow() -> str:
        time.sleep(0.1)
        return "slow"

    return app


def gunicorn(worker: str, load_app: Callable[[], Any]) -> None:
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for name, value in {
                "bind": f"{HERE}:0",
                "worker_class": worker,
                "backlog": BACKLOG,
                "keepalive": 60,
                "control_socket_disable": True,
                "post_worker_init": self.tell,
            }.items():
                if name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> Any:
            return load_app()

        @staticmethod
        def tell(worker: Any) -> None:
            listening(worker.sockets[0].getsockname()[1], os.getpid())
            threading.Thread(target=_end_with, args=(worker.ppid,), daemon=True).start()

    Application().run()


def _end_with(parent: int) -> None:
    """A worker whose master was killed has nobody to tell it."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(0)


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    body, kind = (made(), b"application/json") if scope["path"] == "/json" else (HELLO, b"text/plain")
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def with_uvicorn() -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            listening(self.servers[0].sockets[0].getsockname()[1])

    config = uvicorn.Config(
        asgi, HERE, 0, loop="uvloop", http="httptools", log_level="error", access_log=False, lifespan="off"
    )
    Server(config).run()


def with_aiohttp() -> None:
    import uvloop
    from aiohttp import web

    async def hello(request: web.Request) -> web.Response:
        return web.Response(body=HELLO, content_type="text/plain")

    async def as_json(request: web.Request) -> web.Response:
        return web.Response(body=made(), content_type="application/json")

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/hello", hello)
        app.router.add_get("/json", as_json)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, HERE, 0, backlog=BACKLOG)
        await site.start()
        listening(runner.addresses[0][1])
        await asyncio.Event().wait()

    uvloop.run(main())


def go() -> None:
    """Becomes the Go program."""
    command = find_go()
    if command is None:
        raise SystemExit("no go command")
    program = str(build_go_programs(command) / "http")
    os.execv(program, [program])


SERVERS = {
    "gopy": gopy,
    "gopy, wsgi": gopy_wsgi,
    "go": go,
    "uvicorn": with_uvicorn,
    "aiohttp": with_aiohttp,
    "gevent.pywsgi": pywsgi,
    "gunicorn, gevent": partial(gunicorn, "gevent", lambda: application),
    "gunicorn, gevent, Flask": partial(gunicorn, "gevent", flask_application),
    "gopy, gunicorn, Flask": partial(gunicorn, "gopy.gunicorn.Worker", flask_application),
}


def main() -> None:
    peer, cores = sys.argv[1:]
    sys.argv[1:] = []
    die_with_parent()
    os.sched_setaffinity(0, map(int, cores.split(",")))
    SERVERS[peer]()


if __name__ == "__main__":
    main()
