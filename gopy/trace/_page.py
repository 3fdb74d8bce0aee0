"""A trace as one page of HTML that needs nothing else: page.html, with the trace in it."""

import base64
import json
import zlib
from importlib import resources

from gopy.trace._file import Trace


def page(trace: Trace) -> str:
    template = (resources.files("gopy.trace") / "page.html").read_text("utf-8")
    head = {
        "dropped": trace.dropped,
        "reasons": trace.reasons,
        "sites": trace.sites,
        "texts": trace.texts,
        "names": trace.names,
    }
    data = json.dumps(head).replace("<", "\\u003c")  # no name ends the script that it is in
    events = base64.b64encode(zlib.compress(trace.events, 6)).decode()
    before, _, after = template.partition("@HEAD@")
    middle, _, end = after.partition("@EVENTS@")
    return f"{before}{data}{middle}{events}{end}"
