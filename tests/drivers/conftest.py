"""What the tests of drivers share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import epics_server
import pytest
from virtual_time import VirtualTime

for neighbour in ("api", "faults", "service"):  # an authority in a process, the checker of records, a lab in one loop
    sys.path.append(str(Path(__file__).parents[1] / neighbour))


@pytest.fixture
def clock() -> VirtualTime:
    return VirtualTime()


@pytest.fixture(scope="module")
def ioc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[epics_server.EpicsServer]:
    """A process that serves our simulated motor records: `sim:m1`, `sim:m2` and `sim:slow` (see `motor_ioc`)."""
    with epics_server.serving(epics_server.OURS, tmp_path_factory.mktemp("epics") / "ioc.log") as server:
        yield server


@pytest.fixture(scope="module")
def closing() -> Iterator[ThreadPoolExecutor]:
    """Threads in which the tests of a module close what takes its time to close."""
    with ThreadPoolExecutor() as threads:
        yield threads
