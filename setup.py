"""The C part. Everything else is in pyproject.toml."""

import os
import shutil
import sys
import sysconfig

from setuptools import setup
from setuptools.command.build_ext import build_ext


class BuildExt(build_ext):
    """Says in one sentence what a machine without a compiler lacks, before the compiler's absence says it."""

    def build_extensions(self) -> None:
        compiler = getattr(self.compiler, "compiler", ["cc"])[0]
        header = os.path.join(sysconfig.get_path("include"), "Python.h")
        needed = {"a C compiler": shutil.which(compiler) or "", "Python's headers": header}
        lacking = [what for what, path in needed.items() if not os.path.exists(path)]
        if lacking:
            print(
                f"gopy is compiled on installation and this machine lacks {' and '.join(lacking)}: run "
                "`apt-get install gcc python3-dev` on Debian or Ubuntu, `dnf install gcc python3-devel` on "
                "Fedora, `apk add gcc musl-dev python3-dev` on Alpine, then install gopy again.",
                file=sys.stderr,
                flush=True,
            )
        super().build_extensions()


setup(cffi_modules=["csrc/build_ffi.py:ffi"], cmdclass={"build_ext": BuildExt})
