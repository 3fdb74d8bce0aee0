"""A web crawler: visit every page to which a site's first one leads, and tell which links are broken.

    python examples/web_crawler.py HOST:PORT

A goroutine for each page; tokens in a channel see to it that no more than four connections are open. Only
main knows which pages have been seen.
"""

import posixpath
import re
import sys
from dataclasses import dataclass, field

from gopy import Chan, Defer, SendChan, deferring, go, net


@dataclass
class Page:
    name: str
    status: str
    title: str = ""
    links: list[str] = field(default_factory=list)


TITLES = re.compile(r"<title>(.*?)</title>")
HREFS = re.compile(r'href="(.*?)"')


@deferring
def fetch(defer: Defer, address: str, name: str) -> tuple[str, str]:
    """Ask for one page and read the answer to its end."""
    conn = net.dial("tcp", address)
    defer(conn.close)
    conn.write(f"GET {name} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
    answer = b""
    while chunk := conn.read():
        answer += chunk
    head, _, body = answer.decode().partition("\r\n\r\n")
    return head.split()[1], body


@deferring
def visit(defer: Defer, address: str, name: str, tokens: Chan[bool], found: SendChan[Page]) -> None:
    """Fetch a page when a token is free, and send what was found there."""
    tokens.send(True)
    defer(tokens.recv)
    try:
        status, body = fetch(address, name)
    except OSError as err:
        found.send(Page(name, f"error: {err}"))
        return
    p = Page(name, status)
    if status == "200" and (title := TITLES.search(body)):
        p.title = title[1]
        for href in HREFS.findall(body):
            link = href.partition("#")[0]
            if link and ":" not in link:
                if link[0] != "/":
                    link = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
                p.links.append(link)
    found.send(p)


def main() -> None:
    address = sys.argv[1]
    tokens: Chan[bool] = Chan(4)
    found: Chan[Page] = Chan()
    seen = {"/"}
    pending = 1
    go(visit, address, "/", tokens, found)

    pages = []
    while pending > 0:
        p = found.recv()
        pages.append(p)
        for link in p.links:
            if link not in seen:
                seen.add(link)
                pending += 1
                go(visit, address, link, tokens, found)
        pending -= 1

    # Pages were found in any order.
    pages.sort(key=lambda p: p.name)
    broken = set()
    for p in pages:
        if p.status == "200":
            print(f"{p.name}: {p.title}, {len(p.links)} links")
        else:
            broken.add(p.name)
            print(f"{p.name}: {p.status}")
    for p in pages:
        for link in p.links:
            if link in broken:
                print("broken link:", p.name, "->", link)


if __name__ == "__main__":
    main()
