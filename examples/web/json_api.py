"""A JSON API over a store that a mutex guards.  python examples/web/json_api.py [ADDRESS]

curl -X POST -d '{"name": "gopher"}' http://127.0.0.1:8080/items
curl http://127.0.0.1:8080/items/1
"""

import json
import sys

from gopy import http, net, sync


class Store:
    def __init__(self):
        self.mutex = sync.Mutex()  # guards the rest
        self.items = {}
        self.last = 0

    def add(self, name):
        with self.mutex:
            self.last += 1
            self.items[self.last] = {"id": self.last, "name": name}
            return self.items[self.last]

    def get(self, number):
        with self.mutex:
            return self.items.get(number)

    def delete(self, number):
        with self.mutex:
            return self.items.pop(number, None)

    def all(self):
        with self.mutex:
            return [self.items[number] for number in sorted(self.items)]


store = Store()
mux = http.ServeMux()


def answer(w, status, value):
    w.header().set("Content-Type", "application/json")
    w.write_header(status)
    w.write(json.dumps(value, separators=(",", ":")) + "\n")


@mux.handle("GET /items")
def list_items(w, r):
    answer(w, 200, store.all())


@mux.handle("POST /items")
def add_item(w, r):
    try:
        name = json.loads(r.body.read())["name"]
    except (ValueError, KeyError, TypeError):
        http.error(w, "an object with a name is wanted", 400)
        return
    answer(w, 201, store.add(name))


def number_of(r):
    text = r.path_value("id")
    return int(text) if text.isascii() and text.isdigit() else 0


@mux.handle("GET /items/{id}")
def get_item(w, r):
    item = store.get(number_of(r))
    if item is None:
        http.error(w, "no such item", 404)
        return
    answer(w, 200, item)


@mux.handle("DELETE /items/{id}")
def delete_item(w, r):
    if store.delete(number_of(r)) is None:
        http.error(w, "no such item", 404)
        return
    w.write_header(204)


listener = net.listen("tcp", sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8080")
print(f"listening on http://{listener.addr}", flush=True)
http.Server(handler=mux).serve(listener)
