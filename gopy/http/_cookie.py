"""set_cookie()."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from gopy.http._header import is_token
from gopy.http._response import http_date

if TYPE_CHECKING:
    from gopy.http._response import ResponseWriter

_value = re.compile(
    r"[!#-+\--:<-\[\]-~ ,]*"
).fullmatch  # what RFC 6265 allows, and blanks and commas, in quotes
_attribute = re.compile(r"[ -:<-~]*").fullmatch


def set_cookie(
    w: ResponseWriter,
    name: str,
    value: str,
    *,
    path: str = "",
    domain: str = "",
    expires: datetime | None = None,
    max_age: int | None = None,
    secure: bool = False,
    http_only: bool = False,
    same_site: Literal["", "Lax", "Strict", "None"] = "",
    partitioned: bool = False,
) -> None:
    """Add a Set-Cookie to the answer. max_age is in seconds, 0 or less deletes the cookie.

    ValueError: the name is no token, or something has a character that no cookie may have."""
    if not is_token(name):
        raise ValueError(f"`name` must be a token, got {name!r}")
    if not _value(value):
        raise ValueError(f"`value` has a character that no cookie may have: {value!r}")
    for what, text in (("path", path), ("domain", domain)):
        if not _attribute(text):
            raise ValueError(f"`{what}` has a character that no cookie may have: {text!r}")
    if same_site not in ("", "Lax", "Strict", "None"):
        raise ValueError(f"`same_site` must be Lax, Strict or None, got {same_site!r}")
    parts = [f'{name}="{value}"' if " " in value or "," in value else f"{name}={value}"]
    parts += [f"{key}={text}" for key, text in (("Path", path), ("Domain", domain)) if text]
    if expires is not None:
        parts.append(f"Expires={http_date(expires.timestamp())}")
    if max_age is not None:
        parts.append(f"Max-Age={max(int(max_age), 0)}")
    flags = (("HttpOnly", http_only), ("Secure", secure), ("Partitioned", partitioned))
    parts += [key for key, wanted in flags if wanted]
    if same_site:
        parts.append(f"SameSite={same_site}")
    w.header().add("Set-Cookie", "; ".join(parts))
