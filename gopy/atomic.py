"""Go's package sync/atomic: values that goroutines and threads may read and change at once, each method being
one step.

The integers wrap around as Go's when `add` passes their ends. What is given to a method must fit into them:
ValueError if not, TypeError if it is no int.
"""

from gopy._core import Bool, Int32, Int64, Pointer, Uint32, Uint64, Value

__all__ = ["Bool", "Int32", "Int64", "Pointer", "Uint32", "Uint64", "Value"]
