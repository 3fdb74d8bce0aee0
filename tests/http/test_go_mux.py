"""ServeMux: the tables of Go's routing_tree_test.go, server_test.go and serve_test.go."""

import pytest

from gopy import http
from gopy.http import httptest
from gopy.http._mux import Node, Tree, _is_exact, first_segment
from gopy.http._pattern import clean_path, parse


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("/a/b/c", ["a", "b", "c"]),
        ("/a/b/", ["a", "b", "/"]),
        ("/", ["/"]),
        ("/a/%62/c", ["a", "b", "c"]),
        ("/a%2Fb%2fc", ["a/b/c"]),
    ],
)
def test_routing_first_segment(path, want):
    """routing_tree_test.go, TestRoutingFirstSegment"""
    got = []
    while path:
        piece, path = first_segment(path)
        got.append(piece)
    assert got == want


def tree_of(*patterns):
    tree = Tree()
    for pattern in patterns:
        tree.add(parse(pattern), pattern)
    return tree


ROUTES = [
    (
        ["/a", "/a/b", "/a/{x}", "/g/h/i", "/g/{x}/j", "/a/b/{x...}", "/a/b/{y}", "/a/b/{$}"],
        [
            ("GET", "", "/a", "/a", ()),
            ("Get", "", "/b", "", ()),
            ("Get", "", "/a/b", "/a/b", ()),
            ("Get", "", "/a/c", "/a/{x}", ("c",)),
            ("Get", "", "/a/b/", "/a/b/{$}", ()),
            ("Get", "", "/a/b/c", "/a/b/{y}", ("c",)),
            ("Get", "", "/a/b/c/d", "/a/b/{x...}", ("c/d",)),
            ("Get", "", "/g/h/i", "/g/h/i", ()),
            ("Get", "", "/g/h/j", "/g/{x}/j", ("h",)),
        ],
    ),
    (
        [
            "/item/",
            "POST /item/{user}",
            "GET /item/{user}",
            "/item/{user}",
            "/item/{user}/{id}",
            "/item/{user}/new",
            "/item/{$}",
            "POST alt.com/item/{user}",
            "GET /headwins",
            "HEAD /headwins",
            "/path/{p...}",
        ],
        [
            ("GET", "", "/item/jba", "GET /item/{user}", ("jba",)),
            ("POST", "", "/item/jba", "POST /item/{user}", ("jba",)),
            ("HEAD", "", "/item/jba", "GET /item/{user}", ("jba",)),
            ("get", "", "/item/jba", "/item/{user}", ("jba",)),
            ("POST", "", "/item/jba/17", "/item/{user}/{id}", ("jba", "17")),
            ("GET", "", "/item/jba/new", "/item/{user}/new", ("jba",)),
            ("GET", "", "/item/", "/item/{$}", ()),
            ("GET", "", "/item/jba/17/line2", "/item/", ()),
            ("POST", "alt.com", "/item/jba", "POST alt.com/item/{user}", ("jba",)),
            ("GET", "alt.com", "/item/jba", "GET /item/{user}", ("jba",)),
            ("GET", "", "/item", "", ()),
            ("GET", "", "/headwins", "GET /headwins", ()),
            ("GET", "", "/path/to/file", "/path/{p...}", ("to/file",)),
            ("GET", "", "/path/*", "/path/{p...}", ("*",)),
        ],
    ),
    (
        ["/a/b/{$}"],
        [
            ("GET", "", "/a/b", "", ()),
            ("GET", "", "/a/b/", "/a/b/{$}", ()),
            ("GET", "", "/a/b/c", "", ()),
            ("GET", "", "/a/b/c/d", "", ()),
        ],
    ),
    (
        ["/a/b/{w}"],
        [
            ("GET", "", "/a/b", "", ()),
            ("GET", "", "/a/b/", "", ()),
            ("GET", "", "/a/b/c", "/a/b/{w}", ("c",)),
            ("GET", "", "/a/b/c/d", "", ()),
        ],
    ),
    (
        ["/a/b/{w...}"],
        [
            ("GET", "", "/a/b", "", ()),
            ("GET", "", "/a/b/", "/a/b/{w...}", ("",)),
            ("GET", "", "/a/b/c", "/a/b/{w...}", ("c",)),
            ("GET", "", "/a/b/c/d", "/a/b/{w...}", ("c/d",)),
        ],
    ),
    (
        ["/a/b/{$}", "/a/b/{w}", "/a/b/{w...}"],
        [
            ("GET", "", "/a/b", "", ()),
            ("GET", "", "/a/b/", "/a/b/{$}", ()),
            ("GET", "", "/a/b/c", "/a/b/{w}", ("c",)),
            ("GET", "", "/a/b/c/d", "/a/b/{w...}", ("c/d",)),
        ],
    ),
]


@pytest.mark.parametrize(("patterns", "cases"), ROUTES)
def test_routing_node_match(patterns, cases):
    """routing_tree_test.go, TestRoutingNodeMatch"""
    tree = tree_of(*patterns)
    for method, host, path, want, values in cases:
        found = tree.match(host, method, path)
        assert (str(found[0].pattern), found[1]) == (want, values) if want else found is None, (
            method,
            host,
            path,
        )


HOSTS = ["GET a.com/", "PUT b.com/", "POST /foo/{x}"]


@pytest.mark.parametrize(
    ("patterns", "host", "path", "want"),
    [
        (["POST /"], "", "/foo", "POST"),
        (["GET /"], "", "/foo", "GET,HEAD"),
        (HOSTS, "", "/foo", ""),
        (HOSTS, "", "/foo/bar", "POST"),
        (HOSTS, "a.com", "/foo/bar", "GET,HEAD,POST"),
        (HOSTS, "b.com", "/bar", "PUT"),
        (["/"], "", "/", ""),
    ],
)
def test_matching_methods(patterns, host, path, want):
    """routing_tree_test.go, TestMatchingMethods"""
    assert ",".join(tree_of(*patterns).methods(host, path)) == want


@pytest.mark.parametrize(
    ("pattern", "path", "want"),
    [
        ("", "/a", False),
        ("/", "/a", False),
        ("/a", "/a", True),
        ("/a/{x...}", "/a/b", False),
        ("/a/{x}", "/a/b", True),
        ("/a/b/", "/a/b/", True),
        ("/a/b/{$}", "/a/b/", True),
        ("/a/", "/a/b/", False),
    ],
)
def test_exact_match(pattern, path, want):
    """server_test.go, TestExactMatch"""
    node = Node()
    if pattern:
        node.pattern = parse(pattern)
    assert _is_exact((node, ()) if pattern else None, path) is want


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("//", "/"),
        ("/x", "/x"),
        ("//x", "/x"),
        ("x//", "/x/"),
        ("a//b/////c", "/a/b/c"),
        ("/foo/../bar/./..//baz", "/baz"),
    ],
)
def test_clean_path(path, want):
    """server_test.go, TestCleanPath"""
    assert clean_path(path) == want


def name(text):
    def handler(w, r):
        w.header().set("Result", text)
        w.write("")

    return handler


def ask(mux, method, host, url):
    """(status, Location or Result) that a mux answers."""
    r = httptest.new_request(method, url)
    r.host = host
    w = httptest.ResponseRecorder(r)
    mux(w, r)
    return w.code, w.header().get("Location") or w.header().get("Result")


@pytest.mark.parametrize(
    ("method", "path", "want"),
    [
        ("GET", "/", "1"),
        ("GET", "//", "/"),
        ("GET", "/foo/../bar/./..//baz", "/baz"),
        ("GET", "/foo", "3"),
        ("GET", "/foo/x", "2"),
        ("GET", "/bar/x", "4"),
        ("GET", "/bar", "/bar/"),
        ("CONNECT", "/", "1"),
        ("CONNECT", "//", "1"),
        ("CONNECT", "//foo", "5"),
        ("CONNECT", "/foo/../bar/./..//baz", "2"),
        ("CONNECT", "/foo", "3"),
        ("CONNECT", "/foo/x", "2"),
        ("CONNECT", "/bar/x", "4"),
        ("CONNECT", "/bar", "/bar/"),
    ],
)
def test_find_handler(method, path, want):
    """server_test.go, TestFindHandler"""
    mux = http.ServeMux()
    for pattern, i in ("/", 1), ("/foo/", 2), ("/foo", 3), ("/bar/", 4), ("//foo", 5):
        mux.handle(pattern, name(str(i)))
    assert ask(mux, method, "example.com", path) == (200 if want.isdigit() else 307, want)


def test_empty_serve_mux():
    """server_test.go, TestEmptyServeMux"""
    mux = http.ServeMux()
    assert mux.handler(httptest.new_request("GET", "/"))[1] == ""
    assert ask(mux, "GET", "example.com", "/")[0] == 404


@pytest.mark.parametrize(
    ("pattern", "handler", "error", "message"),
    [
        ("", name(""), ValueError, "empty pattern"),
        ("/", 3, TypeError, "`handler`"),
        ("/{x", name(""), ValueError, r"parsing '/\{x': at offset 1: bad wildcard segment"),
        ("/a", name(""), RuntimeError, r"conflicts with pattern.* \(registered at .*test_go_mux.py:\d+"),
        (3, name(""), TypeError, "`pattern`"),
    ],
)
def test_register_err(pattern, handler, error, message):
    """server_test.go, TestRegisterErr"""
    mux = http.ServeMux()
    mux.handle("/a", name(""))
    with pytest.raises(error, match=message):
        mux.handle(pattern, handler)
    with pytest.raises(ValueError, match="matches the same requests"):
        mux.handle("/a", name(""))


def test_escaped_paths_and_patterns():
    """server_test.go, TestEscapedPathsAndPatterns"""
    matches = {
        "/a": ["/a", "/%61"],
        "/%62": ["/b", "/%62"],
        "/%7B/%7D": ["/{/}", "/%7b/}", "/{/%7d", "/%7B/%7D"],
        "/%x": ["/%25x"],
    }
    mux = http.ServeMux()
    for pattern in matches:
        mux.handle(pattern, name(pattern))
    for pattern, paths in matches.items():
        for path in paths:
            assert mux.handler(httptest.new_request("GET", path))[1] == pattern
            assert ask(mux, "GET", "x", path) == (200, pattern)


REGISTERED = {
    "/dir/": 200,
    "/search": 201,
    "codesearch.google.com/search": 202,
    "codesearch.google.com/": 203,
}


def mux_of(patterns):
    mux = http.ServeMux()
    for pattern, status in patterns.items():
        mux.handle(pattern, lambda w, r, status=status: w.write_header(status))
    return mux


SERVED = [
    ("GET", "google.com", "/", 404, ""),
    ("GET", "google.com", "/dir", 307, "/dir/"),
    ("GET", "google.com", "/dir/", 200, "/dir/"),
    ("GET", "google.com", "/dir/file", 200, "/dir/"),
    ("GET", "google.com", "/search", 201, "/search"),
    ("GET", "google.com", "/search/", 404, ""),
    ("GET", "google.com", "/search/foo", 404, ""),
    ("GET", "codesearch.google.com", "/search", 202, "codesearch.google.com/search"),
    ("GET", "codesearch.google.com", "/search/", 203, "codesearch.google.com/"),
    ("GET", "codesearch.google.com", "/search/foo", 203, "codesearch.google.com/"),
    ("GET", "codesearch.google.com", "/", 203, "codesearch.google.com/"),
    ("GET", "codesearch.google.com:443", "/", 203, "codesearch.google.com/"),
    ("GET", "images.google.com", "/search", 201, "/search"),
    ("GET", "images.google.com", "/search/", 404, ""),
    ("GET", "images.google.com", "/search/foo", 404, ""),
    ("GET", "google.com", "/../search", 307, "/search"),
    ("GET", "google.com", "/dir/..", 307, ""),
    ("GET", "google.com", "/dir/..", 307, ""),
    ("GET", "google.com", "/dir/./file", 307, "/dir/"),
    ("CONNECT", "google.com", "/dir", 307, "/dir/"),
    ("CONNECT", "google.com", "/../search", 404, ""),
    ("CONNECT", "google.com", "/dir/..", 200, "/dir/"),
    ("CONNECT", "google.com", "/dir/..", 200, "/dir/"),
    ("CONNECT", "google.com", "/dir/./file", 200, "/dir/"),
]


@pytest.mark.parametrize(("method", "host", "path", "status", "pattern"), SERVED)
def test_serve_mux_handler(method, host, path, status, pattern):
    """serve_test.go, TestServeMuxHandler"""
    mux = mux_of(REGISTERED)
    r = httptest.new_request(method, path)
    r.host = host
    assert mux.handler(r)[1] == pattern
    assert ask(mux, method, host, path)[0] == status


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("/pkg/bar//extra%2fpath", 200),
        ("/dir/b%2fc/..", 200),
        ("/doesnotexist/b%2fc/..", 404),
    ],
)
def test_serve_mux_handler_redirects(url, status):
    """serve_test.go, TestServeMuxHandlerRedirects"""
    mux = mux_of(REGISTERED | {"/pkg/bar/extra%2fpath": 200})
    code, location = ask(mux, "GET", "google.com", url)
    assert code == 307
    assert ask(mux, "GET", "google.com", location)[0] == status


@pytest.mark.parametrize("path", ["//foo.txt", "///foo.txt", "/../../foo.txt"])
def test_mux_redirect_leading_slashes(path):
    """serve_test.go, TestMuxRedirectLeadingSlashes"""
    assert ask(http.ServeMux(), "GET", "test", path) == (307, "/foo.txt")


def test_serve_with_slash_redirect_keeps_query_string():
    """serve_test.go, TestServeWithSlashRedirectKeepsQueryString"""
    mux = http.ServeMux()
    mux.handle("/testOne/", name("one"))
    assert ask(mux, "GET", "x", "/testOne?this=that") == (307, "/testOne/?this=that")
    assert ask(mux, "GET", "x", "/testOne/?this=that") == (200, "one")


HOST_PATTERNS = [
    "example.com/pkg/foo/",
    "example.com/pkg/bar",
    "example.com/pkg/bar/",
    "example.com:3000/pkg/connect/",
]
HOST_PATTERNS += ["example.com:9000/", "/pkg/baz/", "example.com/a%2fb/"]


@pytest.mark.parametrize(
    ("method", "host", "path", "status", "want"),
    [
        ("GET", "example.com", "/", 404, ""),
        ("GET", "example.com", "/pkg/foo", 307, "/pkg/foo/"),
        ("GET", "example.com", "/pkg/bar", 200, "example.com/pkg/bar"),
        ("GET", "example.com", "/pkg/bar/", 200, "example.com/pkg/bar/"),
        ("GET", "example.com", "/pkg/baz", 307, "/pkg/baz/"),
        ("GET", "example.com:3000", "/pkg/foo", 307, "/pkg/foo/"),
        ("CONNECT", "example.com", "/", 404, ""),
        ("CONNECT", "example.com:3000", "/", 404, ""),
        ("CONNECT", "example.com:9000", "/", 200, "example.com:9000/"),
        ("CONNECT", "example.com", "/pkg/foo", 307, "/pkg/foo/"),
        ("CONNECT", "example.com:3000", "/pkg/foo", 404, ""),
        ("CONNECT", "example.com:3000", "/pkg/baz", 307, "/pkg/baz/"),
        ("CONNECT", "example.com:3000", "/pkg/connect", 307, "/pkg/connect/"),
        ("GET", "example.com", "/a%2fb", 307, "/a%2fb/"),
    ],
)
def test_serve_with_slash_redirect_for_host_patterns(method, host, path, status, want):
    """serve_test.go, TestServeWithSlashRedirectForHostPatterns"""
    mux = http.ServeMux()
    for pattern in HOST_PATTERNS:
        mux.handle(pattern, name(pattern))
    code, got = ask(mux, method, host, path)
    assert code == status and (got == want or status == 404)


def test_path_values_and_methods():
    """request_test.go, TestPathValueAndPattern, and 405."""
    mux = http.ServeMux()

    @mux.handle("GET /b/{d}/e/{f...}")
    def get(w, r):
        w.write(f"{r.pattern}|{r.path_value('d')}|{r.path_value('f')}|{r.path_value('none')}")

    mux.handle("POST /b/{x}", name("post"))
    r = httptest.new_request("GET", "/b/c%2Fd/e/g/h%20i?x=y")
    w = httptest.ResponseRecorder(r)
    mux(w, r)
    assert w.body == b"GET /b/{d}/e/{f...}|c/d|g/h i|"
    assert get.__name__ == "get"
    w = httptest.ResponseRecorder()
    mux(w, httptest.new_request("DELETE", "/b/c/e/f"))
    assert (w.code, w.header().get("Allow")) == (405, "GET, HEAD")
    w = httptest.ResponseRecorder()
    mux(w, httptest.new_request("GET", "/b/c"))
    assert (w.code, w.header().get("Allow")) == (405, "POST")


def test_paths_without_wildcards_take_the_same_way():
    """What is found in the table of exact paths is what the tree would have found."""
    patterns = ["/", "/a", "GET /b", "/b", "/c/", "/c/{$}", "POST /d", "HEAD /e", "GET /e", "/%66", "/g%2Fh"]
    mux = http.ServeMux()
    for pattern in patterns:
        mux.handle(pattern, name(pattern))
    for method in "GET", "HEAD", "POST", "get":
        for path in "/", "/a", "/b", "/c", "/c/", "/c/d", "/d", "/e", "/f", "/%66", "/g%2fh", "/g/h", "/a?b":
            found = mux._tree.match("", method, path.partition("?")[0])
            code, got = ask(mux, method, "x", path)
            assert code == 307 or got == str(found[0].pattern), (method, path)
