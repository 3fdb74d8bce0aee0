"""What cffi compiles into gopy._core. setup.py names `ffi`.

After a change to csrc/: `python setup.py build_ext --inplace`, or pip install again.
With GOPY_DEBUG_BUILD=1 and --force the runtime checks its laws as it runs, see csrc/HACKING.md.
"""

import glob
import os
import sysconfig

import greenlet
from cffi import FFI

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)

ffi = FFI()
ffi.cdef("int gopy_init(void);")


def _files(pattern: str) -> list[str]:
    """From the root, as an archive of the sources needs them."""
    return sorted(os.path.relpath(path, ROOT) for path in glob.glob(os.path.join(HERE, "*", pattern)))


ffi.set_source(
    "gopy._core",
    '#include "python/pymodule.h"',
    sources=_files("*.c"),
    include_dirs=[HERE, os.path.dirname(greenlet.__file__)],
    depends=_files("*.h"),
    define_macros=[
        # The runtime's locks and atomics exist only where the GIL does not.
        ("GOPY_THREADED", str(int(bool(sysconfig.get_config_var("Py_GIL_DISABLED"))))),
        ("GOPY_LAWS", str(int(os.environ.get("GOPY_DEBUG_BUILD", "") == "1"))),
    ],
    extra_compile_args=[
        "-std=gnu11", "-O3", "-g", "-Wall", "-Wextra", "-fexceptions", "-fvisibility=hidden", "-flto=auto",
        "-Wno-missing-field-initializers",
        # Where a function happens to begin decides how well the interpreter's jumps around a call of it are
        # predicted: a mutex pair took 43 or 71 ns. On cache lines, a change elsewhere does not move that.
        "-falign-functions=64",
        "-U_CFFI_NO_LIMITED_API",  # on free-threaded builds cffi defines it twice, which warns
        # On free-threaded 3.15 cffi asks for the stable ABI whatever py_limited_api says; it hides the types.
        "-UPy_TARGET_ABI3T",
    ],
    extra_link_args=["-flto=auto", "-O3"],
    py_limited_api=False,  # our types are more than the limited API allows
)  # fmt: skip
