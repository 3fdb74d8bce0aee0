"""A link checker: visit every page of a site and tell which links lead nowhere. It needs h11.

    python examples/http_server.py . &
    python examples/link_checker.py http://127.0.0.1:8080/README.md

Pages in HTML and Markdown are read for their links; links to other hosts are counted and left alone. No more
than `-n` connections are open at a time. Only main knows which pages have been seen, so there is no lock.
"""

import argparse
import re
import ssl
import sys
from dataclasses import dataclass, field
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import h11

from gopy import Chan, Defer, SendChan, deferring, go, net

HREFS = re.compile(r"""<(?:a|link)\s[^>]*href=["']([^"']*)|<(?:img|script)\s[^>]*src=["']([^"']*)""", re.I)
MARKDOWN = re.compile(r"\]\(<?([^()\s>]+(?:\([^()\s]*\))?)>?(?:\s+[\"'][^)]*)?\)|^\[[^\]]+\]:\s+(\S+)", re.M)
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]*`", re.M | re.S)


@dataclass
class Page:
    url: str
    problem: str = ""  # why it cannot be had
    links: list[str] = field(default_factory=list)


@deferring
def fetch(defer: Defer, url: str, timeout: float) -> tuple[int, dict[str, str], bytes]:
    """The status, headers and body of one page."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    tls = ssl.create_default_context() if secure else None
    conn = net.dial("tcp", f"{host}:{port}", timeout=timeout, tls=tls)
    defer(conn.close)
    conn.set_deadline(timeout)
    http = h11.Connection(h11.CLIENT)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = [("Host", parts.netloc), ("Connection", "close"), ("User-Agent", "gopy-link-checker")]
    conn.write(http.send(h11.Request(method="GET", target=target, headers=headers)) or b"")
    conn.write(http.send(h11.EndOfMessage()) or b"")
    status, found, body = 0, {}, bytearray()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(conn.read())
        elif isinstance(event, h11.Response):
            status = event.status_code
            found = {name.decode(): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, found, bytes(body)


def links_of(kind: str, text: str) -> list[str]:
    if kind == "text/html":
        return [a or b for a, b in HREFS.findall(text)]
    if kind == "text/markdown":
        text = CODE.sub("", text)
        return [a or b for a, b in MARKDOWN.findall(text)] + [a or b for a, b in HREFS.findall(text)]
    return []


@deferring
def visit(defer: Defer, url: str, timeout: float, tokens: Chan[bool], found: SendChan[Page]) -> None:
    """Fetch a page when a token is free, and send what was found there."""
    tokens.send(True)
    defer(tokens.recv)
    page = Page(url)
    try:
        status, headers, body = fetch(url, timeout)
        if status in (301, 302, 303, 307, 308) and "location" in headers:
            page.links.append(urljoin(url, headers["location"]))
        elif status != 200:
            page.problem = str(status)
        else:
            kind = headers.get("content-type", "").partition(";")[0]
            links = links_of(kind, body.decode("utf-8", "replace"))
            page.links += [urldefrag(urljoin(url, link.strip())).url for link in links]
    except (OSError, ValueError, h11.ProtocolError) as exc:
        page.problem = str(exc) or type(exc).__name__
    found.send(page)


def crawl(start: str, workers: int, timeout: float) -> tuple[list[Page], set[str]]:
    """All pages of the site that `start` leads to, and the links out of it."""
    tokens: Chan[bool] = Chan(workers)
    found: Chan[Page] = Chan()
    site = urlsplit(start)[:2]
    pages, seen, outside = [], {start}, set()
    pending = 1
    go(visit, start, timeout, tokens, found)
    while pending:
        page = found.recv()
        pending -= 1
        pages.append(page)
        for link in page.links:
            if urlsplit(link)[:2] != site:
                outside.add(link)
            elif link not in seen:
                seen.add(link)
                pending += 1
                go(visit, link, timeout, tokens, found)
    return sorted(pages, key=lambda page: page.url), outside


def main() -> int:
    parser = argparse.ArgumentParser(description="Tell which links of a site lead nowhere.")
    parser.add_argument("url")
    parser.add_argument("-n", "--workers", type=int, default=8, help="connections at a time, 8")
    parser.add_argument("-t", "--timeout", type=float, default=10.0, help="seconds for each page, 10")
    args = parser.parse_args()
    if urlsplit(args.url).scheme not in ("http", "https"):
        parser.error(f"not an http or https URL: {args.url}")
    pages, outside = crawl(urldefrag(args.url).url, max(args.workers, 1), args.timeout)
    broken = [page for page in pages if page.problem]
    for page in broken:
        print(f"{unquote(page.url)}: {page.problem}")
        for source in pages:
            if page.url in source.links:
                print(f"    linked from {unquote(source.url)}")
    links = sum(len(page.links) for page in pages)
    print(f"{len(pages)} pages, {links} links, {len(outside)} to other sites, {len(broken)} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
