"""Writes the reference's pages, one a module, before Sphinx reads them: docs/reference/, which git ignores.

Names come from the modules themselves (`__all__`), and so do docstrings; signatures come from the sources and
from _core.pyi, which is what type checkers see.
"""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, WrapperDescriptorType
from typing import Any

import gopy

PACKAGE = Path(gopy.__file__).parent
PUBLIC = [
    "gopy",
    "gopy.runtime",
    "gopy.sync",
    "gopy.atomic",
    "gopy.time",
    "gopy.context",
    "gopy.errgroup",
    "gopy.semaphore",
    "gopy.singleflight",
    "gopy.signal",
    "gopy.net",
    "gopy.http",
    "gopy.http.httptest",
    "gopy.monkey",
    "gopy.testing",
    "gopy.debug",
    "gopy.trace",
]
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
SHOWN_OF_OVERLOADS = 2  # where there are more, the last one, which is the general one, stands for all
PROTOCOL = {"__enter__", "__aenter__", "__iter__", "__aiter__", "__len__", "__call__"}


def path_of(module: str) -> Path | None:
    """Where its definitions are: its stub, or its source."""
    below = PACKAGE.joinpath(*module.split(".")[1:])
    paths = (below.with_suffix(".pyi"), below.with_suffix(".py"), below / "__init__.py")
    return next((path for path in paths if path.exists()), None)


MODULES = [name for name in PUBLIC if path_of(name)]


def public_names(module: ModuleType) -> list[str]:
    names = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    return [n for n in names if not inspect.ismodule(getattr(module, n))]


class Sources:
    """Where names are defined, as text: their definitions by module and name."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, list[ast.stmt]]] = {}

    def definitions(self, module: str, name: str) -> list[ast.stmt]:
        if module not in self._of:
            self._of[module] = self._read(module)
        return self._of[module].get(name, [])

    @staticmethod
    def _read(module: str) -> dict[str, list[ast.stmt]]:
        path = path_of(module)
        found: dict[str, list[ast.stmt]] = {}
        for node in ast.parse(path.read_text(encoding="utf-8")).body if path else []:
            for name in names_of(node):
                found.setdefault(name, []).append(node)
        return found


def names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, Definition):
        return [node.name]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


SOURCES = Sources()


def home_of(module: ModuleType, name: str) -> tuple[str, str]:
    """(module, name) under which it is defined: what imports in the sources lead to."""
    here, wanted = module.__name__, name
    for _ in range(6):
        if SOURCES.definitions(here, wanted):
            return here, wanted
        step = imported(here, wanted)
        if step is None:
            break
        here, wanted = step
    value = getattr(module, name)
    return getattr(value, "__module__", here), getattr(value, "__name__", name)


def imported(module: str, name: str) -> tuple[str, str] | None:
    """Where `from gopy... import name` takes it from."""
    path = path_of(module)
    if path is None:
        return None
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("gopy"):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return node.module, alias.name
    return None


def is_alias(module: ModuleType, name: str) -> bool:
    """Whether it is another name for a type, or a constant: what has no docstring."""
    nodes = SOURCES.definitions(*home_of(module, name))
    return bool(nodes) and isinstance(nodes[-1], ast.Assign | ast.AnnAssign)


def is_overload(node: ast.stmt) -> bool:
    return isinstance(node, Definition) and any(
        isinstance(d, ast.Name) and d.id == "overload" for d in node.decorator_list
    )


def shown(nodes: list[ast.stmt]) -> list[ast.stmt]:
    """Of overloads those to show; of anything else the last definition."""
    overloads = [node for node in nodes if is_overload(node)]
    if not overloads:
        return nodes[-1:]
    return overloads if len(overloads) <= SHOWN_OF_OVERLOADS else overloads[-1:]


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str, method: bool) -> str:
    text = ast.unparse(node.args)
    if method:
        text = re.sub(r"^(self|cls)(: \w+)?(, /)?(, )?", "", text)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    prefix = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{prefix}{name}({text}){returns}"


def as_markdown(doc: str) -> str:
    """A docstring as Markdown: what is indented is code, and only what stands in backquotes is special."""
    blocks = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(doc)):
        if all(line.startswith("    ") for line in block.splitlines()):
            blocks.append(f"```text\n{textwrap.dedent(block)}\n```")
        else:
            pieces = re.split(r"(`[^`]+`)", block)
            pieces[::2] = [re.sub(r"([*_<>\[\]{}|$])", r"\\\1", piece) for piece in pieces[::2]]
            blocks.append("".join(pieces))
    return "\n\n".join(blocks)


def doc_of(value: Any, node: ast.stmt | None) -> str:
    """Of the object; where the runtime has none, of its definition."""
    python_s_own = WrapperDescriptorType, int, float, str, tuple
    doc = None if isinstance(value, python_s_own) else value.__doc__
    if isinstance(node, Definition):
        doc = doc or ast.get_docstring(node)
    return as_markdown(doc) if doc else ""


def directive(kind: str, signatures: list[str], body: str, depth: int) -> list[str]:
    """One for each signature; the text stands under the last."""
    fence, lines = "`" * (8 - depth), []
    for i, each in enumerate(signatures):
        lines += [f"{fence}{{py:{kind}}} {each}", *([":no-index:"] if i else []), ""]
        lines += [body if i == len(signatures) - 1 else "", fence, ""]
    return lines


def function(name: str, nodes: list[ast.stmt], value: Any, depth: int, method: bool) -> list[str]:
    picked = [n for n in shown(nodes) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    kind = "method" if method else "function"
    if method and "property" in [d.id for d in picked[0].decorator_list if isinstance(d, ast.Name)]:
        returns = f"\n:type: {ast.unparse(picked[0].returns)}" if picked[0].returns else ""
        return directive("property", [name + returns], doc_of(value, picked[0]), depth)
    return directive(kind, [signature(n, name, method) for n in picked], doc_of(value, picked[0]), depth)


def members(cls: type, node: ast.ClassDef, home: str) -> Iterator[tuple[str, list[ast.stmt]]]:
    """Its public methods and attributes, with those of bases that are not public themselves."""
    found: dict[str, list[ast.stmt]] = {}
    for each in node.body:
        for name in names_of(each):
            if not name.startswith("_") or name in PROTOCOL:
                found.setdefault(name, []).append(each)
    for base in node.bases:
        inner = base.value if isinstance(base, ast.Subscript) else base
        if isinstance(inner, ast.Name | ast.Attribute):
            base_name = inner.id if isinstance(inner, ast.Name) else inner.attr
            for definition in SOURCES.definitions(home, base_name) or SOURCES.definitions(
                "gopy._core", base_name
            ):
                if isinstance(definition, ast.ClassDef):
                    for name, nodes in members(cls, definition, home):
                        found.setdefault(name, nodes)
    yield from found.items()


def class_(name: str, node: ast.ClassDef, value: type, home: str) -> list[str]:
    init = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    signatures = [signature(n, name, True).removesuffix(" -> None") for n in shown(list(init))] or [name]
    if issubclass(value, BaseException) or "Protocol" in ast.unparse(node).split("\n")[0]:
        signatures = [name]
    body = [doc_of(value, node), ""]
    for member, nodes in members(value, node, home):
        if isinstance(nodes[-1], ast.FunctionDef | ast.AsyncFunctionDef):
            body += function(member, nodes, getattr(value, member, None), 2, True)
        elif isinstance(nodes[-1], ast.AnnAssign):
            annotation = ast.unparse(nodes[-1].annotation)
            body += directive("attribute", [f"{member}\n:type: {annotation}"], "", 2)
    kind = "exception" if issubclass(value, BaseException) else "class"
    return directive(kind, signatures, "\n".join(body).strip(), 1)


def entry(module: ModuleType, name: str) -> list[str]:
    home, own = home_of(module, name)
    nodes, value = SOURCES.definitions(home, own), getattr(module, name)
    if nodes and isinstance(nodes[-1], ast.ClassDef):
        return class_(name, nodes[-1], value, home)
    if nodes and isinstance(nodes[-1], ast.FunctionDef | ast.AsyncFunctionDef):
        return function(name, nodes, value, 1, False)
    written = next((n for n in nodes if isinstance(n, ast.AnnAssign | ast.Assign)), None)
    about = f"\n:value: {ast.unparse(written.value)}" if written is not None and written.value else ""
    return directive("data", [name + about], doc_of(None, None), 1)


def page(module: ModuleType) -> str:
    lines = [f"# {module.__name__}", "", as_markdown(module.__doc__ or ""), ""]
    lines += ["```{py:module} " + module.__name__, "```", ""]
    for name in public_names(module):
        lines += entry(module, name)
    return "\n".join(lines)


def write(folder: Path) -> None:
    """The pages, and their index. What is as it was is not touched, so that Sphinx need not read it again."""
    folder.mkdir(exist_ok=True)
    modules = [importlib.import_module(name) for name in MODULES]
    names = "\n".join(module.__name__ for module in modules)
    index = f"# Reference\n\nEvery public name, module by module.\n\n```{{toctree}}\n\n{names}\n```\n"
    pages = {"index": index} | {module.__name__: page(module) for module in modules}
    for old in folder.glob("*.md"):
        if old.stem not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, Any]:
    app.connect("builder-inited", lambda app: write(Path(app.srcdir) / "reference"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
