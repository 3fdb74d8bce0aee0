"""Package sync: Pool."""

import pytest

from gopy import sync


def test_pool_is_bounded():
    pool = sync.Pool()
    for i in range(5000):
        pool.put(i)
    kept = 0
    while pool.get() is not None:
        kept += 1
    assert kept == 1024


def test_pool_arguments():
    pool = sync.Pool(list)
    pool.put(None)
    assert pool.get() == []
    with pytest.raises(TypeError, match="`new` must be callable, got int"):
        sync.Pool(3)
