"""Serves the files of a directory.  python examples/web/file_server.py DIRECTORY [ADDRESS]"""

import sys

from gopy import http, net

mux = http.ServeMux()
mux.handle("/files/", http.strip_prefix("/files", http.file_server(sys.argv[1])))

listener = net.listen("tcp", sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:8080")
print(f"listening on http://{listener.addr}", flush=True)
http.Server(handler=mux).serve(listener)
