"""What the tests of identity need: processes of other users, which only root can start."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def other_user() -> int:
    """The number of a user of this machine who is not the one that runs the tests."""
    if os.getuid() != 0:
        pytest.xfail("only root can start processes of another user")
    return 1  # daemon, on every Unix
