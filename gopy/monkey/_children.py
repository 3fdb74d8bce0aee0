"""The part `subprocess`: Popen waits for a child by its pidfd, and its pipes wait before they read or write.

A pipe is never made non-blocking: the child may share it, and would find it so.
"""

import io
import select
import subprocess
import warnings
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from gopy import _core
from gopy.monkey import _registry
from gopy.monkey._descriptors import await_exit, read_ready, readv_now, write_ready

_NO_LINES = (  # as io.open() says it
    "line buffering (buffering=1) isn't supported in binary mode, the default buffer size will be used"
)


class PipeFile(io.FileIO):
    """One end of a pipe, blocking in the kernel. A read takes what is there, a write at most what is sure
    to find room.
    """

    def readinto(self, buffer: Any, /) -> int | None:
        if not _core.parks():
            return super().readinto(buffer)
        fd = self.fileno()
        return read_ready(fd, lambda: readv_now(fd, [buffer]), partial(super().readinto, buffer))  # type: ignore[no-any-return]

    def read(self, size: int | None = -1, /) -> bytes | None:  # type: ignore[override]
        if size is None or size < 0:
            return self.readall()
        if not _core.parks():
            return super().read(size)
        fd = self.fileno()
        return read_ready(fd, lambda: _core.read_now(fd, size), partial(super().read, size))  # type: ignore[no-any-return]

    def readall(self) -> bytes:
        chunks = []
        while chunk := self.read(65536):
            chunks.append(chunk)
        return b"".join(chunks)

    def write(self, data: Any, /) -> int | None:  # type: ignore[override]
        if not _core.parks():
            return super().write(data)
        with memoryview(data) as whole, whole.cast("B") as view:
            some = view[: select.PIPE_BUF]
            return write_ready(self.fileno(), [some], super().write, some)  # type: ignore[no-any-return]


def _open(file: Any, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any) -> Any:
    """io.open(), for Popen's pipes."""
    if not isinstance(file, int) or mode not in ("rb", "wb"):
        return open(file, mode, buffering, *args, **kwargs)
    raw = PipeFile(file, mode)
    if buffering == 0:
        return raw
    if buffering == 1:
        warnings.warn(_NO_LINES, RuntimeWarning, stacklevel=3)
    buffered: Any = io.BufferedReader if mode == "rb" else io.BufferedWriter
    return buffered(raw, io.DEFAULT_BUFFER_SIZE if buffering < 0 or buffering == 1 else buffering)


def _making_wait(original: Callable[..., int]) -> Callable[..., int]:
    def _wait(self: Any, timeout: float | None) -> int:
        if self.returncode is not None or not _core.parks():
            return original(self, timeout)
        try:
            ended = await_exit(self.pid, timeout if timeout is None else max(timeout, 0))
        except TimeoutError:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
        return original(self, None if ended else timeout)

    return _wait


def patch() -> None:
    _registry.replace_method(subprocess.Popen, "_wait", _making_wait)
    namespace = ModuleType("io")
    namespace.__dict__.update(vars(io), open=_open)
    _registry.replace(subprocess, "io", namespace, everywhere=False)
