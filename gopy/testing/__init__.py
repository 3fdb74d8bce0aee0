"""Testing concurrent code: Go's testing/synctest, a check for goroutines left behind, and a pytest plugin.

The plugin, gopy.testing.plugin, is registered by an entry point and loads gopy only for a test that uses it.
"""

from gopy._core import synctest_await as await_
from gopy._core import synctest_wait as wait
from gopy.testing._leaks import leaks
from gopy.testing._synctest import explore, synctest

__all__ = ["await_", "explore", "leaks", "synctest", "wait"]
