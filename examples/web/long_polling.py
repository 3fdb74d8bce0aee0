"""Long polling: who asks for messages gets those that are there, or waits for the next one.

python examples/web/long_polling.py [ADDRESS]
curl 'http://127.0.0.1:8080/messages?after=0' &
curl -d hello http://127.0.0.1:8080/messages

One goroutine, the hub, owns the messages and those who wait; handlers talk to it by channels.
"""

import json
import sys

from gopy import Chan, go, http, net, recv, select

LONGEST = 30.0  # seconds that a poll waits

messages, polls, leaving = Chan(), Chan(), Chan()


def hub():
    said = []
    waiting = set()
    while True:
        match select(recv(messages), recv(polls), recv(leaving)):
            case (0, text, _):
                said.append(text)
                for answers in waiting:
                    answers.send([len(said), [text]])  # it has room
                waiting.clear()
            case (1, (after, answers), _):
                if after < len(said):
                    answers.send([len(said), said[after:]])
                else:
                    waiting.add(answers)
            case (2, answers, _):
                waiting.discard(answers)


mux = http.ServeMux()


@mux.handle("POST /messages")
def say(w, r):
    messages.send(r.body.read().decode())
    w.write_header(204)


@mux.handle("GET /messages")
def poll(w, r):
    after = int(r.query().get("after", ["0"])[0])
    answers = Chan(1)
    polls.send((after, answers))
    try:
        which, found, _ = select(recv(answers), recv(r.context().done()), timeout=LONGEST)
    except TimeoutError:
        which, found = 0, [after, []]
        leaving.send(answers)
    if which == 1:  # the client is gone
        leaving.send(answers)
        return
    last, texts = found
    w.header().set("Content-Type", "application/json")
    w.write(json.dumps({"last": last, "messages": texts}, separators=(",", ":")) + "\n")


go(hub)
listener = net.listen("tcp", sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8080")
print(f"listening on http://{listener.addr}", flush=True)
http.Server(handler=mux).serve(listener)
