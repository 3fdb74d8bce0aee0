"""gopy.http where its extra is not installed, and what it exports."""

import pytest

from gopy import http


def test_without_httptools(run_program):
    done = run_program("""
        import sys
        sys.modules["httptools"] = None  # an import of it fails
        import gopy
        for how in ("import gopy.http", "from gopy import http", "gopy.http"):
            try:
                exec(how)
            except ImportError as exc:
                print(exc)
        from gopy import *
    """)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "gopy.http needs httptools: pip install httptools\n" * 3


def test_without_python_multipart(run_program):
    done = run_program("""
        import sys
        sys.modules["python_multipart.multipart"] = sys.modules["python_multipart"] = None
        from gopy.http import httptest
        r = httptest.new_request("POST", "/", b"x", header={"Content-Type": "multipart/form-data; boundary=B"})
        try:
            r.form()
        except ImportError as exc:
            print(exc)
    """)
    assert done.stdout == "multipart forms need python-multipart: pip install python-multipart\n", done.stderr


def test_what_is_exported_is_there_and_documented():
    assert http.__all__ == sorted(http.__all__, key=lambda name: (name[0].islower(), name))
    for name in http.__all__:
        value = getattr(http, name)
        assert name == "Handler" or value.__doc__, name
    with pytest.raises(AttributeError):
        http.nothing
    assert "httptest" not in http.__all__ and http.httptest.Server.__doc__
