"""What is cheap to send must be cheap to take: time by the length of a request, memory and descriptors within bounds.

The texts are so long that a step for each pair of their characters would take minutes.
"""

import io
import resource

import pytest

from gopy import go, http
from gopy.http import httptest
from gopy.http._files import etags, parse_range
from gopy.http._form import parse_media_type
from gopy.http._pattern import clean_path

LONG = 400_000


def form_of(body, kind, path="/"):
    r = httptest.new_request("POST", path, body, header={"Content-Type": kind})
    return r, r.form()


# Time


def test_paths_up_and_down():
    assert clean_path("/a" * LONG + "/.." * LONG + "/b") == "/b"
    assert clean_path("/.." * LONG + "/") == "/"


def test_etags():
    assert len(etags('"",' * LONG)) == LONG
    assert etags("," * LONG) == []


@pytest.mark.parametrize(
    "part", [" " * LONG + "x", "1" + " " * LONG + "x", "1-" + " " * LONG + "x", "1" * LONG]
)
def test_ranges(part):
    assert parse_range(f"bytes={part}", 10) is None


@pytest.mark.parametrize(
    "value",
    [
        'form-data; name="' + ";" * LONG,
        'form-data; name="' + ";" * LONG + '"; x',
        "form-data" + ";" * LONG,
        "form-data; " + "a" * LONG,
        "form-data; a" + " " * LONG + "b",
        'form-data; a="' + '\\"' * LONG,
        "form-data; a=" + " " * LONG + "b",
        'form-data; a=""' + " " * LONG,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_parameters_that_take_long(value):
    assert parse_media_type(value)[0] == "form-data"


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("", ("", {})),
        ("Text/HTML ;Charset=UTF-8", ("text/html", {"charset": "UTF-8"})),
        ('a/b; x="c;d=\\"e\\\\"; y = z ;; q', ("a/b", {"x": 'c;d="e\\', "y": "z"})),
        ('a/b; filename="C:\\dir\\file"', ("a/b", {"filename": "C:\\dir\\file"})),
        ('a/b; =; x="unfinished', ("a/b", {"x": '"unfinished'})),
        ("a/b; x=1; X=2; filename*=UTF-8''x", ("a/b", {"x": "1"})),
    ],
)
def test_parameters(value, want):
    assert parse_media_type(value) == want


# Memory and descriptors


def test_values_are_limited():
    kind = "application/x-www-form-urlencoded"
    assert len(form_of(b"a&" * 9_999, kind)[1]["a"]) == 9_999
    with pytest.raises(ValueError, match="10000 values"):
        form_of(b"a&" * 10_000, kind)
    with pytest.raises(ValueError, match="10000 values"):
        form_of(b"", kind, "/?" + "&" * 10_000)


def test_too_many_values_are_answered(serve, caplog):
    served = serve(lambda w, r: w.write(repr(r.query())))
    assert served.get("/?" + "&" * 20_000)[0] == 400
    assert not caplog.records


def part(name, data=b"", more=b""):
    return b'--B\r\nContent-Disposition: form-data; name="%s"; filename="f"\r\n%s\r\n%s\r\n' % (
        name,
        more,
        data,
    )


def test_fields_of_parts_are_limited():
    pytest.importorskip("python_multipart")
    body = part(b"a", more=b"X: " + b"x" * (1 << 20) + b"\r\n") + b"--B--\r\n"
    with pytest.raises(ValueError):
        form_of(body, "multipart/form-data; boundary=B")


def test_many_files_take_one_descriptor(until):
    pytest.importorskip("python_multipart")
    sizes = [0, 1, 8192, 100_000] * 200
    body = b"".join(part(b"%d" % i, bytes([i % 256]) * size) for i, size in enumerate(sizes)) + b"--B--\r\n"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open("/dev/null") as free:
        resource.setrlimit(resource.RLIMIT_NOFILE, (free.fileno() + 4, hard))
        try:
            r, _ = form_of(body, "multipart/form-data; boundary=B")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    files = [each for (each,) in r.files().values()]
    assert len(files) == len(sizes)

    def read_all(first):
        for i in range(first, len(files), 2):
            assert files[i].file.read() == bytes([i % 256]) * sizes[i]

    for reader in [go(read_all, first) for first in range(2)]:  # they share the store
        reader.join()
    file = files[3].file
    assert file.seek(-2, io.SEEK_END) == 99_998 and file.read(10) == b"\3\3" and file.tell() == 100_000
    with pytest.raises(ValueError):
        file.seek(-1)
    store = files[0].store
    r.end()
    assert file.closed and store.closed


def test_the_fields_of_a_slow_head_are_counted_as_they_come(serve):
    """Each takes 64 bytes or more in memory, and may have had four."""
    served = serve(lambda w, r: w.write("x"))
    with served.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        client.send(b"a:\r\n" * 300)
        assert client.read_all().startswith(b"HTTP/1.1 431 ")  # though the head has no end


# Values that are too much for Python's own functions


@pytest.mark.parametrize(
    ("field", "status"),
    [
        ("If-Modified-Since: Mon, 01 Jan 99999999999 00:00:00 GMT", 200),
        ("If-Modified-Since: Mon, 01 Jan 2024 99:99:99 GMT", 200),
        ("If-Modified-Since: Mon, 01 Jan 2024 00:00:00 +" + "9" * 20, 200),
        ("If-Unmodified-Since: " + "9" * 5000, 200),
        ("Range: bytes=" + "9" * 5000 + "-", 416),
        ("Range: bytes=0-" + "9" * 5000, 416),
        ("Range: bytes=-" + "9" * 18, 206),
        ("Range: bytes=\u0663-", 416),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_fields_beyond_reason(serve, tmp_path, field, status, caplog):
    (tmp_path / "file").write_text("data")
    served = serve(http.file_server(tmp_path))
    lines = f"GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{field}\r\n\r\n"
    with served.client() as client:
        client.send(lines.encode())
        assert client.answer()[0] == status
    assert not caplog.records


def test_a_list_of_files_with_links_that_lead_nowhere(serve, tmp_path):
    (tmp_path / "file").write_text("data")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nothing")
    status, _, body = serve(http.file_server(tmp_path)).get("/")
    assert status == 200 and body.count(b"<a href") == 3
