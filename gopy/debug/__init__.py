"""Looking into a running program: profiles, and who hogs a thread.

Go's runtime/pprof and its SIGQUIT dump, for what `python -m gopy ps|stacks|profile PID` does from outside.
docs/debugging.md finds a hang, a leak, a slow server and a hog with them.
"""

from gopy.debug._hogs import hogs
from gopy.debug._profile import cpu_profile, goroutine_profile

__all__ = ["cpu_profile", "goroutine_profile", "hogs"]
