"""Runs the request corpora of other parsers against our server, and prints where the verdicts differ.

    git clone https://github.com/benoitc/gunicorn; git clone https://github.com/nodejs/llhttp
    python tests/http/corpus.py gunicorn llhttp

A folder may also be a bare repository. What they expect is a fact that we compare with; nothing of theirs is kept here.
docs/http.md says why each difference is there.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from gopy import go, http, net

Case = tuple[str, bytes, bool]  # its name, the bytes, whether they are taken


def files(repository: Path, folder: str) -> dict[str, bytes]:
    git = ["git", "-C", str(repository)]
    names = subprocess.run(
        [*git, "ls-tree", "-r", "--name-only", "HEAD", folder], check=True, capture_output=True
    )
    return {
        name: subprocess.run([*git, "show", f"HEAD:{name}"], check=True, capture_output=True).stdout
        for name in names.stdout.decode().split()
    }


def of_gunicorn(repository: Path) -> Iterator[Case]:
    for name, text in files(repository, "tests/requests").items():
        if name.endswith(".http"):
            data = (
                text.replace(b"\n", b"")
                .replace(b"\\r\\n", b"\r\n")
                .replace(b"\\n", b"\n")
                .replace(b"\\0", b"\0")
            )
            data = re.sub(rb"\\x([0-9a-fA-F]{2})", lambda found: bytes([int(found[1], 16)]), data)
            yield name.removeprefix("tests/requests/"), data.replace(b"\\r", b"\r"), "/valid/" in name


def of_llhttp(repository: Path) -> Iterator[Case]:
    block = re.compile(
        r"^#+ ([^\n]*)$(?:(?!^#).)*?<!-- meta=(\{.*?\}) -->\s*```(?:http|url)\n(.*?)\n```\s*```log\n(.*?)\n```",
        re.M | re.S,
    )
    for name, text in files(repository, "test/request").items():
        for title, meta, source, log in block.findall(text.decode()):
            if '"type": "request"' not in meta:
                continue
            source = re.sub(r"\\(\r\n|\r|\n)", "", source + "\n").replace("\r\n", "\n").replace("\n", "\r\n")
            for written, meant in (("\\r", "\r"), ("\\n", "\n"), ("\\t", "\t"), ("\\f", "\f")):
                source = source.replace(written, meant)
            source = re.sub(r"\\x([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), source)
            yield f"{Path(name).stem}: {title}", source.encode("latin-1", "replace"), "error code" not in log


def with_host(data: bytes) -> bytes:
    """Neither parser wants the Host that RFC 9112 does: that alone is not to be what they differ in."""
    if re.search(rb"\r\nhost[ \t]*:", data, re.I):
        return data
    return re.sub(rb"( HTTP/1\.1\r\n)", rb"\1Host: x\r\n", data)


def ask(addr: object, data: bytes) -> list[int]:
    """The statuses that a connection answers with."""
    with net.dial("tcp", str(addr)) as conn:
        conn.set_deadline(10)
        got = b""
        try:
            conn.write(data)
            conn.close_write()
            while more := conn.read():
                got += more
        except OSError:
            pass
        return [int(status) for status in re.findall(rb"(?:^|\n|\})HTTP/1\.1 (\d{3}) ", got)]


def answer(w: http.ResponseWriter, r: http.Request) -> None:
    r.body.read()
    w.write("}")


def main() -> int:
    listener = net.listen("tcp", "127.0.0.1:0")
    server = http.Server(handler=answer)
    go(lambda: server.serve(listener))
    for path in map(Path, sys.argv[1:]):
        cases = list(of_gunicorn(path) if "gunicorn" in str(path) else of_llhttp(path))
        differences = 0
        for name, data, theirs in cases:
            statuses = ask(listener.addr, with_host(data))
            ours = bool(statuses) and all(status < 400 for status in statuses)
            if ours != theirs:
                differences += 1
                print(f"{'taken' if theirs else 'refused'} by theirs, {statuses}: {name}\n    {data[:160]!r}")
        print(f"{path}: {len(cases)} requests, {differences} differences\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
