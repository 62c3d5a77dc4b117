"""What the tests of drivers share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import epics_server
import pytest
from as_worker import as_worker
from epics_motors import FAST, SLOW, Outsider, motors
from python_lab import lab
from virtual_time import VirtualTime

from authority.drivers import build
from authority.drivers.epics import EpicsMotor
from authority.drivers.python_object import PythonObject

for neighbour in ("api", "faults", "service"):  # an authority in a process, the checker of records, a lab in one loop
    sys.path.append(str(Path(__file__).parents[1] / neighbour))
sys.path.append(str(Path(__file__).parents[2] / "examples"))  # the simulated stage


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


@pytest.fixture(scope="module")
def someone(ioc: epics_server.EpicsServer) -> Iterator[Outsider]:
    """A client of the server of motor records that knows nothing of the authority."""
    someone = Outsider()
    yield someone
    someone.close()


@pytest.fixture
def outsider(someone: Outsider) -> Outsider:
    """That client, with the motor records as they are at the start."""
    for record in (FAST, SLOW):
        someone.write(f"{record}:Reset", 1)
    return someone


@pytest.fixture
def motor_of(outsider: Outsider, closing: ThreadPoolExecutor) -> Iterator[Callable[..., EpicsMotor]]:
    """What makes and opens a motor of the motor records, by default of `FAST`."""
    with motors(FAST, closing) as make:
        yield make


@pytest.fixture
def made() -> Iterator[Callable[..., PythonObject]]:
    """What makes and opens a driver of a stage of `bench`, with changes of its lab file."""
    opened: list[PythonObject] = []

    def make(**changes: object) -> PythonObject:
        driver = as_worker(build("python", lab(**changes)))
        assert isinstance(driver, PythonObject)
        opened.append(driver)
        driver.open()
        return driver

    yield make
    for driver in opened:
        driver.close()


@pytest.fixture
def other_thread() -> Iterator[ThreadPoolExecutor]:
    """Where a test lets a move run while it does something else."""
    with ThreadPoolExecutor() as pool:
        yield pool
