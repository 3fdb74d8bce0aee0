"""A pub-sub hub: publishers and subscribers that know only topics; one goroutine knows who wants what.

The hub never waits for a subscriber: who has no room for a message misses it, and can ask how many it missed.
"""

from typing import NamedTuple

from gopy import Chan, default, go, recv, select, send, sync


class Message(NamedTuple):
    topic: str
    text: str


class Subscriber:
    def __init__(self, room: int) -> None:
        self.inbox: Chan[Message] = Chan(room)
        self.missed = 0  # the hub's, until the inbox is closed


class Subscription(NamedTuple):
    topic: str
    who: Subscriber
    ok: Chan[bool]


class Publication(NamedTuple):
    message: Message
    heard: Chan[int]


class Hub:
    def __init__(self) -> None:
        self.subscribe: Chan[Subscription] = Chan()
        self.unsubscribe: Chan[Subscription] = Chan()
        self.publish: Chan[Publication] = Chan()
        self.stop: Chan[bool] = Chan()
        go(self.run)

    def run(self) -> None:
        """Own the table of topics: nobody else ever sees it."""
        topics: dict[str, set[Subscriber]] = {}
        while True:
            match select(recv(self.subscribe), recv(self.unsubscribe), recv(self.publish), recv(self.stop)):
                case (0, s, _):
                    topics.setdefault(s.topic, set()).add(s.who)
                    s.ok.send(True)
                case (1, s, _):
                    topics.get(s.topic, set()).discard(s.who)
                    s.ok.send(True)
                case (2, p, _):
                    heard = 0
                    for who in topics.get(p.message.topic, ()):
                        match select(send(who.inbox, p.message), default):
                            case (0, _, _):
                                heard += 1
                            case (1, _, _):
                                who.missed += 1
                    p.heard.send(heard)
                case (3, _, _):
                    closed: set[Subscriber] = set()
                    for subscribers in topics.values():
                        for who in subscribers:
                            if who not in closed:
                                who.inbox.close()
                                closed.add(who)
                    self.stop.send(True)
                    return

    def join(self, who: Subscriber, *topics: str) -> None:
        for topic in topics:
            s = Subscription(topic, who, Chan())
            self.subscribe.send(s)
            s.ok.recv()

    def leave(self, who: Subscriber, topic: str) -> None:
        s = Subscription(topic, who, Chan())
        self.unsubscribe.send(s)
        s.ok.recv()

    def tell(self, topic: str, text: str) -> int:
        """Say how many got the message."""
        p = Publication(Message(topic, text), Chan())
        self.publish.send(p)
        return p.heard.recv()

    def shut_down(self) -> None:
        self.stop.send(True)
        self.stop.recv()


def main() -> None:
    h = Hub()
    keen = Subscriber(10)
    lazy = Subscriber(2)
    h.join(keen, "weather", "sport")
    h.join(lazy, "sport")

    # The keen one reads all the time, in a goroutine; the lazy one looks into its inbox at the end.
    wg = sync.WaitGroup()
    read: list[Message] = []

    def reader() -> None:
        for m in keen.inbox:
            read.append(m)

    wg.go(reader)

    print("weather: heard by", h.tell("weather", "rain"))
    print("chess: heard by", h.tell("chess", "mate"))
    for i in range(1, 5):
        print("sport: heard by", h.tell("sport", f"round {i}"))
    h.leave(keen, "weather")
    print("weather: heard by", h.tell("weather", "sun"))
    h.shut_down()
    wg.wait()

    for m in read:
        print("keen:", m.topic, m.text)
    for m in lazy.inbox:
        print("lazy:", m.topic, m.text)
    print("missed:", keen.missed, lazy.missed)


if __name__ == "__main__":
    main()
