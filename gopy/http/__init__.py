"""Go's net/http over gopy.net: servers and clients in goroutines. Needs gopy's extra `http`: httptools and
python-multipart."""

import importlib
from typing import TYPE_CHECKING, Any

try:
    import httptools as _httptools  # noqa: F401
except ImportError:
    raise ImportError("gopy.http needs httptools: pip install httptools") from None

from gopy.http._body import BodyTooLarge as BodyTooLarge
from gopy.http._cookie import set_cookie as set_cookie
from gopy.http._files import file_server as file_server
from gopy.http._handlers import HandlerTimeout as HandlerTimeout
from gopy.http._handlers import error as error
from gopy.http._handlers import not_found as not_found
from gopy.http._handlers import redirect as redirect
from gopy.http._handlers import strip_prefix as strip_prefix
from gopy.http._handlers import timeout_handler as timeout_handler
from gopy.http._header import Header as Header
from gopy.http._mux import ServeMux as ServeMux
from gopy.http._mux import handle as handle
from gopy.http._pattern import PatternError as PatternError
from gopy.http._request import Request as Request
from gopy.http._response import BodyNotAllowed as BodyNotAllowed
from gopy.http._response import ContentLengthError as ContentLengthError
from gopy.http._response import Hijacked as Hijacked
from gopy.http._response import ResponseWriter as ResponseWriter
from gopy.http._server import Handler as Handler
from gopy.http._server import Server as Server
from gopy.http._server import ServerClosed as ServerClosed
from gopy.http._server import listen_and_serve as listen_and_serve
from gopy.http._wsgi import wsgi as wsgi

if TYPE_CHECKING:
    from gopy.http import httptest as httptest
    from gopy.http._client import Client as Client
    from gopy.http._client import Response as Response
    from gopy.http._client import TooManyRedirects as TooManyRedirects
    from gopy.http._client import get as get
    from gopy.http._client import post as post


_OF_THE_CLIENT = ("Client", "Response", "TooManyRedirects", "get", "post")


def __getattr__(name: str) -> Any:
    """What servers do without is imported when it is asked for: the client, and httptest."""
    if name == "httptest":
        return importlib.import_module("gopy.http.httptest")
    if name in _OF_THE_CLIENT:
        value = globals()[name] = getattr(importlib.import_module("gopy.http._client"), name)
        return value
    raise AttributeError(f"module 'gopy.http' has no attribute {name!r}")


__all__ = [
    "BodyNotAllowed",
    "BodyTooLarge",
    "Client",
    "ContentLengthError",
    "Handler",
    "HandlerTimeout",
    "Header",
    "Hijacked",
    "PatternError",
    "Request",
    "Response",
    "ResponseWriter",
    "ServeMux",
    "Server",
    "ServerClosed",
    "TooManyRedirects",
    "error",
    "file_server",
    "get",
    "handle",
    "listen_and_serve",
    "not_found",
    "post",
    "redirect",
    "set_cookie",
    "strip_prefix",
    "timeout_handler",
    "wsgi",
]
