"""What free-threaded Python gopy has been checked on. The rest of it is C: see csrc/python/pyframes.c."""

import sys
import sysconfig
import warnings

CHECKED = ((3, 13), (3, 14))


def warn_if_unchecked() -> None:
    """Called once, on import. A warning and no refusal: what is unknown may well be right."""
    version = sys.version_info[:2]
    if not sysconfig.get_config_var("Py_GIL_DISABLED") or version in CHECKED:
        return
    warnings.warn(
        f"gopy has not been checked on free-threaded Python {version[0]}.{version[1]}: whether its garbage "
        "collector sees all that parked goroutines refer to is unknown; where it does not, a program may call "
        "the wrong function or crash. Python with a GIL, of any version, has no such risk.",
        RuntimeWarning,
        stacklevel=3,
    )
