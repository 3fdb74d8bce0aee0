"""Patterns of a ServeMux: the tables of Go's pattern_test.go."""

import pytest

from gopy.http._pattern import (
    PatternError,
    Relation,
    Segment,
    common_path,
    compare_methods,
    compare_paths,
    conflict,
    describe_conflict,
    difference_path,
    parse,
)

equivalent = Relation.EQUIVALENT
moreGeneral = Relation.MORE_GENERAL
moreSpecific = Relation.MORE_SPECIFIC
disjoint = Relation.DISJOINT
overlaps = Relation.OVERLAPS
INVERSE = {moreGeneral: moreSpecific, moreSpecific: moreGeneral}


def lit(text):
    return Segment(text)


def wild(name):
    return Segment(name, wild=True)


def multi(name):
    return Segment(name, wild=True, rest=True)


PARSED = [
    ("/", "", "", [multi("")]),
    ("/a", "", "", [lit("a")]),
    ("/a/", "", "", [lit("a"), multi("")]),
    ("/path/to/something", "", "", [lit("path"), lit("to"), lit("something")]),
    ("/{w1}/lit/{w2}", "", "", [wild("w1"), lit("lit"), wild("w2")]),
    ("/{w1}/lit/{w2}/", "", "", [wild("w1"), lit("lit"), wild("w2"), multi("")]),
    ("example.com/", "", "example.com", [multi("")]),
    ("GET /", "GET", "", [multi("")]),
    ("POST example.com/foo/{w}", "POST", "example.com", [lit("foo"), wild("w")]),
    ("/{$}", "", "", [lit("/")]),
    ("DELETE example.com/a/{foo12}/{$}", "DELETE", "example.com", [lit("a"), wild("foo12"), lit("/")]),
    ("/foo/{$}", "", "", [lit("foo"), lit("/")]),
    ("/{a}/foo/{rest...}", "", "", [wild("a"), lit("foo"), multi("rest")]),
    ("//", "", "", [lit(""), multi("")]),
    ("/foo///./../bar", "", "", [lit("foo"), lit(""), lit(""), lit("."), lit(".."), lit("bar")]),
    ("a.com/foo//", "", "a.com", [lit("foo"), lit(""), multi("")]),
    ("/%61%62/%7b/%", "", "", [lit("ab"), lit("{"), lit("%")]),
    ("GET\t  /", "GET", "", [multi("")]),
    ("POST \t  example.com/foo/{w}", "POST", "example.com", [lit("foo"), wild("w")]),
    ("DELETE    \texample.com/a/{foo12}/{$}", "DELETE", "example.com", [lit("a"), wild("foo12"), lit("/")]),
]


@pytest.mark.parametrize(("text", "method", "host", "segments"), PARSED)
def test_parse_pattern(text, method, host, segments):
    """pattern_test.go, TestParsePattern"""
    got = parse(text)
    assert (got.method, got.host, list(got.segments)) == (method, host, segments)


@pytest.mark.parametrize(
    ("text", "contains"),
    [
        ("", "empty pattern"),
        ("A=B /", "at offset 0: invalid method"),
        (" ", "at offset 1: host/path missing /"),
        ("/{w}x", "at offset 1: bad wildcard segment"),
        ("/x{w}", "at offset 1: bad wildcard segment"),
        ("/{wx", "at offset 1: bad wildcard segment"),
        ("/a/{/}/c", "at offset 3: bad wildcard segment"),
        ("/a/{%61}/c", "at offset 3: bad wildcard name"),
        ("/{a$}", "at offset 1: bad wildcard name"),
        ("/{}", "at offset 1: empty wildcard"),
        ("POST a.com/x/{}/y", "at offset 13: empty wildcard"),
        ("/{...}", "at offset 1: empty wildcard"),
        ("/{$...}", "at offset 1: bad wildcard"),
        ("/{$}/", "at offset 1: {$} not at end"),
        ("/{$}/x", "at offset 1: {$} not at end"),
        ("/abc/{$}/x", "at offset 5: {$} not at end"),
        ("/{a...}/", "at offset 1: {...} wildcard not at end"),
        ("/{a...}/x", "at offset 1: {...} wildcard not at end"),
        ("{a}/b", "at offset 0: host contains '{' (missing initial '/'?)"),
        ("/a/{x}/b/{x...}", "at offset 9: duplicate wildcard name"),
        ("GET //", "at offset 4: non-CONNECT pattern with unclean path"),
    ],
)
def test_parse_pattern_error(text, contains):
    """pattern_test.go, TestParsePatternError"""
    with pytest.raises(PatternError) as caught:
        parse(text)
    assert contains in str(caught.value)


COMPARED_METHODS = [
    ("/", "/", equivalent),
    ("GET /", "GET /", equivalent),
    ("HEAD /", "HEAD /", equivalent),
    ("POST /", "POST /", equivalent),
    ("GET /", "POST /", disjoint),
    ("GET /", "/", moreSpecific),
    ("HEAD /", "/", moreSpecific),
    ("GET /", "HEAD /", moreGeneral),
]

COMPARED_PATHS = [
    ("/a", "/a", equivalent),
    ("/a", "/b", disjoint),
    ("/a", "/", moreSpecific),
    ("/a", "/{$}", disjoint),
    ("/a", "/{x}", moreSpecific),
    ("/a", "/{x...}", moreSpecific),
    ("/b/a", "/b/a", equivalent),
    ("/b/a", "/b/b", disjoint),
    ("/b/a", "/b/", moreSpecific),
    ("/b/a", "/b/{$}", disjoint),
    ("/b/a", "/b/{x}", moreSpecific),
    ("/b/a", "/b/{x...}", moreSpecific),
    ("/{z}/a", "/{z}/a", equivalent),
    ("/{z}/a", "/{z}/b", disjoint),
    ("/{z}/a", "/{z}/", moreSpecific),
    ("/{z}/a", "/{z}/{$}", disjoint),
    ("/{z}/a", "/{z}/{x}", moreSpecific),
    ("/{z}/a", "/{z}/{x...}", moreSpecific),
    ("/{z}", "/a", moreGeneral),
    ("/{z}", "/a/b", disjoint),
    ("/{z}", "/{$}", disjoint),
    ("/{z}", "/{x}", equivalent),
    ("/{z}", "/", moreSpecific),
    ("/{z}", "/{x...}", moreSpecific),
    ("/b/{z}", "/b/a", moreGeneral),
    ("/b/{z}", "/b/a/b", disjoint),
    ("/b/{z}", "/b/{$}", disjoint),
    ("/b/{z}", "/b/{x}", equivalent),
    ("/b/{z}", "/b/", moreSpecific),
    ("/b/{z}", "/b/{x...}", moreSpecific),
    ("/", "/a", moreGeneral),
    ("/", "/a/b", moreGeneral),
    ("/", "/{$}", moreGeneral),
    ("/", "/{x}", moreGeneral),
    ("/", "/", equivalent),
    ("/", "/{x...}", equivalent),
    ("/b/", "/b/a", moreGeneral),
    ("/b/", "/b/a/b", moreGeneral),
    ("/b/", "/b/{$}", moreGeneral),
    ("/b/", "/b/{x}", moreGeneral),
    ("/b/", "/b/", equivalent),
    ("/b/", "/b/{x...}", equivalent),
    ("/{z}/", "/{z}/a", moreGeneral),
    ("/{z}/", "/{z}/a/b", moreGeneral),
    ("/{z}/", "/{z}/{$}", moreGeneral),
    ("/{z}/", "/{z}/{x}", moreGeneral),
    ("/{z}/", "/{z}/", equivalent),
    ("/{z}/", "/a/", moreGeneral),
    ("/{z}/", "/{z}/{x...}", equivalent),
    ("/{z}/", "/a/{x...}", moreGeneral),
    ("/a/{z}/", "/{z}/a/", overlaps),
    ("/a/{z}/b/", "/{x}/c/{y...}", overlaps),
    ("/{m...}", "/a", moreGeneral),
    ("/{m...}", "/a/b", moreGeneral),
    ("/{m...}", "/{$}", moreGeneral),
    ("/{m...}", "/{x}", moreGeneral),
    ("/{m...}", "/", equivalent),
    ("/{m...}", "/{x...}", equivalent),
    ("/b/{m...}", "/b/a", moreGeneral),
    ("/b/{m...}", "/b/a/b", moreGeneral),
    ("/b/{m...}", "/b/{$}", moreGeneral),
    ("/b/{m...}", "/b/{x}", moreGeneral),
    ("/b/{m...}", "/b/", equivalent),
    ("/b/{m...}", "/b/{x...}", equivalent),
    ("/b/{m...}", "/a/{x...}", disjoint),
    ("/{z}/{m...}", "/{z}/a", moreGeneral),
    ("/{z}/{m...}", "/{z}/a/b", moreGeneral),
    ("/{z}/{m...}", "/{z}/{$}", moreGeneral),
    ("/{z}/{m...}", "/{z}/{x}", moreGeneral),
    ("/{z}/{m...}", "/{w}/", equivalent),
    ("/{z}/{m...}", "/a/", moreGeneral),
    ("/{z}/{m...}", "/{z}/{x...}", equivalent),
    ("/{z}/{m...}", "/a/{x...}", moreGeneral),
    ("/a/{m...}", "/a/b/{y...}", moreGeneral),
    ("/a/{m...}", "/a/{x}/{y...}", moreGeneral),
    ("/a/{z}/{m...}", "/a/b/{y...}", moreGeneral),
    ("/a/{z}/{m...}", "/{z}/a/", overlaps),
    ("/a/{z}/{m...}", "/{z}/b/{y...}", overlaps),
    ("/a/{z}/b/{m...}", "/{x}/c/{y...}", overlaps),
    ("/a/{z}/a/{m...}", "/{x}/b", disjoint),
    ("/{$}", "/a", disjoint),
    ("/{$}", "/a/b", disjoint),
    ("/{$}", "/{$}", equivalent),
    ("/{$}", "/{x}", disjoint),
    ("/{$}", "/", moreSpecific),
    ("/{$}", "/{x...}", moreSpecific),
    ("/b/{$}", "/b", disjoint),
    ("/b/{$}", "/b/a", disjoint),
    ("/b/{$}", "/b/a/b", disjoint),
    ("/b/{$}", "/b/{$}", equivalent),
    ("/b/{$}", "/b/{x}", disjoint),
    ("/b/{$}", "/b/", moreSpecific),
    ("/b/{$}", "/b/{x...}", moreSpecific),
    ("/b/{$}", "/b/c/{x...}", disjoint),
    ("/b/{x}/a/{$}", "/{x}/c/{y...}", overlaps),
    ("/{x}/b/{$}", "/a/{x}/{y}", disjoint),
    ("/{x}/b/{$}", "/a/{x}/c", disjoint),
    ("/{z}/{$}", "/{z}/a", disjoint),
    ("/{z}/{$}", "/{z}/a/b", disjoint),
    ("/{z}/{$}", "/{z}/{$}", equivalent),
    ("/{z}/{$}", "/{z}/{x}", disjoint),
    ("/{z}/{$}", "/{z}/", moreSpecific),
    ("/{z}/{$}", "/a/", overlaps),
    ("/{z}/{$}", "/a/{x...}", overlaps),
    ("/{z}/{$}", "/{z}/{x...}", moreSpecific),
    ("/a/{z}/{$}", "/{z}/a/", overlaps),
]


@pytest.mark.parametrize(("one", "other", "relation"), COMPARED_METHODS)
def test_compare_methods(one, other, relation):
    """pattern_test.go, TestCompareMethods"""
    a, b = parse(one), parse(other)
    assert compare_methods(a, b) is relation
    assert compare_methods(b, a) is INVERSE.get(relation, relation)


@pytest.mark.parametrize(("one", "other", "relation"), COMPARED_PATHS)
def test_compare_paths(one, other, relation):
    """pattern_test.go, TestComparePaths"""
    a, b = parse(one), parse(other)
    assert compare_paths(a, a) is compare_paths(b, b) is equivalent
    assert compare_paths(a, b) is relation
    assert compare_paths(b, a) is INVERSE.get(relation, relation)


@pytest.mark.parametrize(
    ("one", "other", "want"),
    [
        ("/a", "/a", True),
        ("/a", "/ab", False),
        ("/a/b/cd", "/a/b/cd", True),
        ("/a/b/cd", "/a/b/c", False),
        ("/a/b/c", "/a/c/c", False),
        ("/{x}", "/{y}", True),
        ("/{x}", "/a", False),
        ("/{x}/{y}", "/{x}/a", False),
        ("/{x}/{y}", "/{x}/a/b", False),
        ("/{x}", "/a/{y}", False),
        ("/{x}/{y}", "/{x}/a/", False),
        ("/{x}", "/a/{y...}", False),
        ("/{x}/a/{y}", "/{x}/a/{y...}", False),
        ("/{x}/{y}", "/{x}/a/{$}", False),
        ("/{x}/{y}/{$}", "/{x}/a/{$}", False),
        ("/a/{x}", "/{x}/b", True),
        ("/", "GET /", False),
        ("/", "GET /foo", False),
        ("GET /", "GET /foo", False),
        ("GET /", "/foo", True),
        ("GET /foo", "HEAD /", True),
    ],
)
def test_conflicts_with(one, other, want):
    """pattern_test.go, TestConflictsWith"""
    a, b = parse(one), parse(other)
    assert conflict(a, b) is conflict(b, a) is want


@pytest.mark.parametrize(
    ("one", "other", "want"),
    [
        ("/a/{x}", "/a/{y}", "the same requests"),
        ("/", "/{m...}", "the same requests"),
        ("/a/{x}", "/{y}/b", "both match some paths"),
        ("/a", "GET /{x}", "matches more methods than GET /{x"),
        ("GET /a", "HEAD /", "matches more methods than HEAD /, but has a more specific path pattern"),
        ("POST /", "/a", "matches fewer methods than /a, but has a more general path pattern"),
    ],
)
def test_describe_conflict(one, other, want):
    """pattern_test.go, TestDescribeConflict"""
    assert want in describe_conflict(parse(one), parse(other))


@pytest.mark.parametrize(
    ("one", "other", "want"),
    [
        ("/a/{x}", "/{x}/a", "/a/a"),
        ("/a/{z}/", "/{z}/a/", "/a/a/"),
        ("/a/{z}/{m...}", "/{z}/a/", "/a/a/"),
        ("/{z}/{$}", "/a/", "/a/"),
        ("/{z}/{$}", "/a/{x...}", "/a/"),
        ("/a/{z}/{$}", "/{z}/a/", "/a/a/"),
        ("/a/{x}/b/{y...}", "/{x}/c/{y...}", "/a/c/b/"),
        ("/a/{x}/b/", "/{x}/c/{y...}", "/a/c/b/"),
        ("/a/{x}/b/{$}", "/{x}/c/{y...}", "/a/c/b/"),
        ("/a/{z}/{x...}", "/{z}/b/{y...}", "/a/b/"),
    ],
)
def test_common_path(one, other, want):
    """pattern_test.go, TestCommonPath"""
    a, b = parse(one), parse(other)
    assert compare_paths(a, b) is overlaps
    assert common_path(a, b) == want


@pytest.mark.parametrize(
    ("one", "other", "want"),
    [
        ("/a/{x}", "/{x}/a", "/a/x"),
        ("/{x}/a", "/a/{x}", "/x/a"),
        ("/a/{z}/", "/{z}/a/", "/a/z/"),
        ("/{z}/a/", "/a/{z}/", "/z/a/"),
        ("/{a}/a/", "/a/{z}/", "/ax/a/"),
        ("/a/{z}/{x...}", "/{z}/b/{y...}", "/a/z/"),
        ("/{z}/b/{y...}", "/a/{z}/{x...}", "/z/b/"),
        ("/a/b/", "/a/b/c", "/a/b/"),
        ("/a/b/{x...}", "/a/b/c", "/a/b/"),
        ("/a/b/{x...}", "/a/b/c/d", "/a/b/"),
        ("/a/b/{x...}", "/a/b/c/d/", "/a/b/"),
        ("/a/{z}/{m...}", "/{z}/a/", "/a/z/"),
        ("/{z}/a/", "/a/{z}/{m...}", "/z/a/"),
        ("/{z}/{$}", "/a/", "/z/"),
        ("/a/", "/{z}/{$}", "/a/x"),
        ("/{z}/{$}", "/a/{x...}", "/z/"),
        ("/a/{foo...}", "/{z}/{$}", "/a/foo"),
        ("/a/{z}/{$}", "/{z}/a/", "/a/z/"),
        ("/{z}/a/", "/a/{z}/{$}", "/z/a/x"),
        ("/a/{x}/b/{y...}", "/{x}/c/{y...}", "/a/x/b/"),
        ("/{x}/c/{y...}", "/a/{x}/b/{y...}", "/x/c/"),
        ("/a/{c}/b/", "/{x}/c/{y...}", "/a/cx/b/"),
        ("/{x}/c/{y...}", "/a/{c}/b/", "/x/c/"),
        ("/a/{x}/b/{$}", "/{x}/c/{y...}", "/a/x/b/"),
        ("/{x}/c/{y...}", "/a/{x}/b/{$}", "/x/c/"),
    ],
)
def test_difference_path(one, other, want):
    """pattern_test.go, TestDifferencePath"""
    a, b = parse(one), parse(other)
    assert compare_paths(a, b) in (overlaps, moreGeneral)
    assert difference_path(a, b) == want
