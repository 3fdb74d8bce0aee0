"""How Sphinx makes the site: `python -m sphinx -W docs build/docs`, then open build/docs/index.html.

Sphinx with furo and MyST: all three are kept up, and the search works without a server. Refused: MkDocs,
whose last release is of 2024.
"""

import re
import sys
from pathlib import Path
from typing import Any

import gopy

DOCS = Path(__file__).resolve().parent
EXAMPLES = DOCS.parent / "examples"
sys.path.insert(0, str(DOCS / "extensions"))

project = "gopy"
author = "gopy contributors"
copyright = author
release = version = gopy.__version__

extensions = ["myst_parser", "pictures", "reference"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["extensions"]

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

highlight_language = "none"  # of blocks that name none
pygments_style = "friendly"
pygments_dark_style = "monokai"
nitpicky = False

html_theme = "furo"
html_title = "gopy"
html_static_path = ["_static"]
html_css_files = ["gopy.css"]
html_copy_source = False
html_show_sourcelink = False


def is_page(line: str) -> bool:
    return (DOCS / f"{line.strip()}.md").exists()


def on_source_read(app: Any, page: str, source: list[str]) -> None:
    """What differs between the site and the files as they are read in a repository."""
    if page == "index":  # a checkout need not have every page
        lines = source[0].splitlines(keepends=True)
        source[0] = "".join(line for line in lines if not re.fullmatch(r"[a-z-]+\n", line) or is_page(line))
    if page == "examples":  # the course itself: its links lead to programs, for download
        text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
        text = re.sub(r"\]\((?!\.\.|https?:)", "](../examples/", text)
        source[0] = text.replace("](../docs/", "](").replace("](README.md)", "](examples.md)")
    source[0] = source[0].replace("](../examples/README.md)", "](examples.md)")


def setup(app: Any) -> None:
    app.connect("source-read", on_source_read)
