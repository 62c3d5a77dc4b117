"""What a device does not know now is null, and what an object raises ends neither its loop nor the equipment."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Iterator
from typing import NoReturn

import bench
import numpy
import pytest

from authority.drivers import build
from authority.drivers.limits import MoveFailed
from authority.drivers.object_answers import as_scalar, as_type
from authority.drivers.python_object import CallFailed, PythonObject
from authority.drivers.table_driver import TableDriver
from authority.drivers.text_options import TextObserve, read_answer

STAGE = {
    "object": "bench:Stage",
    "arguments": {"port": "COM3"},
    "kind": "motor",
    "units": "um",
    "low": 0.0,
    "high": 5000.0,
    "stop": "stop",
    "readings": {"position": {"get": "position", "type": "number"}, "moving": {"get": "is_moving", "type": "boolean"}},
    "control": {
        "move_to": {
            "call": "move",
            "target": "position",
            "parameters": {"position": {"type": "number"}},
        },
        "move_by": {
            "call": "move",
            "distance": "position",
            "parameters": {"position": {"type": "number"}},
        },
    },
}
LOOPY = {
    "object": "bench:Loopy",
    "asyncio": True,
    "open": "connect",
    "stop": "stop",
    "readings": {"position": {"get": "get_position", "type": "number"}},
    "observe": {"leave": {"get": "leave", "type": "number"}},
}


class NotHomed(bench.Stage):
    """A stage that does not know where it is."""

    position = math.nan  # type: ignore[assignment]


class Leaver(bench.Loopy):
    """An object whose coroutine ends the process, or says that it was interrupted."""

    async def leave(self) -> NoReturn:
        await asyncio.sleep(0)
        sys.exit("device gone")


def run(driver: TableDriver, action: str, **parameters: object) -> object:  # type: ignore[type-arg]
    return driver.declared[action].run(**parameters)


@pytest.fixture
def not_homed(monkeypatch: pytest.MonkeyPatch) -> Iterator[PythonObject]:
    monkeypatch.setattr(bench, "Stage", NotHomed)
    driver = build("python", STAGE)
    assert isinstance(driver, PythonObject)
    driver.open()
    yield driver
    driver.close()


@pytest.mark.parametrize("value", [math.nan, math.inf, numpy.float32("nan"), numpy.float64("-inf")])
@pytest.mark.parametrize("kind", ["number", "integer"])
def test_a_number_that_is_not_finite_is_not_known(value, kind):
    """DRV-53"""
    assert as_type(value, kind) is None
    assert as_scalar(value, kind) is None


def test_an_axis_that_does_not_know_where_it_is_can_be_read_and_moved_but_not_by_a_distance(not_homed):
    """DRV-53"""
    assert not_homed.readback().position is None
    not_homed.check("move_to", {"position": 10.0})
    not_homed.check("move_by", {"position": 10.0})
    with pytest.raises(MoveFailed, match="its position is not known now"):
        run(not_homed, "move_by", position=10.0)
    assert run(not_homed, "move_to", position=10.0) is None


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("NAN", "number", None),
        ("9.91E37", "number", None),
        ("-9.9E37", "number", None),
        ("INF", "integer", None),
        ("9.8E37", "number", 9.8e37),
        ("1.5,NAN", "list", [1.5, None]),
    ],
)
def test_a_device_that_says_not_a_number_does_not_know_it(text, answer, expected):
    """DRV-53, DRV-35"""
    assert read_answer(TextObserve(query="POS?", type=answer), text) == expected


def test_an_object_that_ends_the_process_fails_its_call_and_goes_on(monkeypatch):
    """DRV-52, DRV-47"""
    monkeypatch.setattr(bench, "Loopy", Leaver)
    driver = build("python", LOOPY)
    assert isinstance(driver, PythonObject)
    driver.open()
    with pytest.raises(CallFailed, match=r"^leave failed: it raised SystemExit: device gone$"):
        run(driver, "leave")
    assert driver.readback().position == 0.0
    driver.close()
