"""What all tests of gopy.monkey and gopy.gunicorn share."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """They have not been run often enough on a busy machine to be among those that every change must pass."""
    for item in items:
        if item.path.parent.name == "monkey":
            item.add_marker(pytest.mark.soak)
