"""A stage of `bench` as a lab file has it, for the tests of the driver of Python objects."""

from __future__ import annotations

import threading
from collections.abc import Callable

from bench import WAIT_S

from authority.drivers.python_object import PythonObject

MOVE = {"call": "move", "target": "position", "parameters": {"position": {"type": "number"}}, "answers": "position"}
LIMITS: dict[str, float | int | bool | str | None] = {"low": 0.0, "high": 5000.0}
READINGS = {"position": {"get": "position", "type": "number"}, "moving": {"get": "is_moving", "type": "boolean"}}


def lab(**changes: object) -> dict[str, object]:
    """The options of a stage, as a lab file has them."""
    whole = {
        "object": "bench:Stage",
        "arguments": {"port": "COM3"},
        "kind": "motor",
        "units": "mm",
        "low": 0.0,
        "high": 5000.0,
        "stop": "stop",
        "close": "shut",
        "readings": READINGS,
        "control": {
            "move_to": MOVE,
            "set_velocity": {"set": "velocity", "parameters": {"velocity": {"type": "number", "units": "mm/s"}}},
        },
        "observe": {
            "field": {"get": "field", "units": "T"},
            "look": {"call": "look", "parameters": {"seconds": {"type": "number"}}, "fixed": {"gate": "shut"}},
        },
        **changes,
    }
    return {key: value for key, value in whole.items() if value is not None}


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; fail when it never holds."""
    for _ in range(WAIT_S * 1000):
        if condition():
            return
        threading.Event().wait(0.001)
    raise AssertionError("waited in vain")


def run(driver: PythonObject, command: str, **parameters: object) -> object:
    """Run a command of a driver."""
    return driver.declared[command].run(**parameters)
