"""Runs the request corpora of other parsers against our server, and prints where the verdicts differ.

    for name in benoitc/gunicorn nodejs/llhttp python-hyper/h11; do git clone https://github.com/$name; done
    python tests/http/corpus.py gunicorn llhttp h11

A folder may also be a bare repository. What they expect is a fact that we compare with; nothing of theirs is kept here.
docs/http.md says why each difference is there.
"""

import ast
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


def of_h11(repository: Path) -> Iterator[Case]:
    """The requests that are written out in h11's tests, which has no corpus of its own. Whether it takes one, it
    tells itself."""
    for name, text in files(repository, "h11/tests").items():
        if not name.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, bytes) and b" HTTP/" in node.value:
                data = with_host(node.value)
                if not data.startswith(b"HTTP/") and h11_takes(data) is not None:
                    yield f"{Path(name).stem}:{node.lineno}", data, h11_takes(data)
    for name, data in files(repository, "fuzz/afl-server-examples").items():
        if h11_takes(with_host(data)) is not None:
            yield name, data, h11_takes(with_host(data))


def h11_takes(data: bytes) -> bool | None:
    """None: the request has no end."""
    import h11

    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                return None
    except h11.RemoteProtocolError:
        return False
    return True


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


CORPORA = {"gunicorn": of_gunicorn, "llhttp": of_llhttp, "h11": of_h11}


def main() -> int:
    listener = net.listen("tcp", "127.0.0.1:0")
    server = http.Server(handler=answer)
    go(lambda: server.serve(listener))
    for path in map(Path, sys.argv[1:]):
        of = next(of for name, of in CORPORA.items() if name in str(path))
        cases = list(of(path))
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
