"""What the tests of drivers share."""

from __future__ import annotations

from collections.abc import Iterator

import epics_server
import pytest
from virtual_time import VirtualTime


@pytest.fixture
def clock() -> VirtualTime:
    return VirtualTime()


@pytest.fixture(scope="module")
def ioc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[epics_server.EpicsServer]:
    """A process that serves our simulated motor records: `sim:m1`, `sim:m2` and `sim:slow` (see `motor_ioc`)."""
    with epics_server.serving(epics_server.OURS, tmp_path_factory.mktemp("epics") / "ioc.log") as server:
        yield server
