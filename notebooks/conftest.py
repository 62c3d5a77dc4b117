"""Runs the notebooks against an authority of their own, with the demonstration lab, in the environment of the tests.

nbval starts a notebook's kernel before any fixture runs, so the authority is started with the test session.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from environment import pytest_configure, pytest_unconfigure

__all__ = ["pytest_configure", "pytest_unconfigure"]

AUTHORITY = pytest.StashKey[subprocess.Popen[str]]()
DATA = pytest.StashKey[tempfile.TemporaryDirectory[str]]()
READY = "motorlock authority listening on "


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the authority, and let the kernels know where it is."""
    data = tempfile.TemporaryDirectory(prefix="motorlock-notebooks-")
    command = [sys.executable, "-m", "authority", "serve", "--open", "--port", "0", "--data", data.name]
    authority = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    session.config.stash[DATA], session.config.stash[AUTHORITY] = data, authority
    line = authority.stdout.readline() if authority.stdout else ""
    if not line.startswith(READY):
        pytest.exit(f"the authority did not start: {line!r}", 3)
    os.environ["MOTORLOCK_URL"] = line.removeprefix(READY).strip()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the authority."""
    authority = session.config.stash.get(AUTHORITY, None)
    if authority is not None:
        authority.terminate()
        authority.communicate(timeout=30)
        session.config.stash[DATA].cleanup()
