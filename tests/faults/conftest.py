"""The trials borrow the clock, drivers and lab of the service's tests, and the processes of others'."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

for neighbour in ("service", "notebook", "drivers", "api"):
    sys.path.append(str(Path(__file__).parents[1] / neighbour))

from stage_bench import Bench  # noqa: E402 - it borrows, too


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lab: str) -> Iterator[Bench]:
    """An authority of the lab file `lab` in front of a stage."""
    here = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, *sys.path]))
    made = Bench(tmp_path, lab)
    yield made
    made.close()
