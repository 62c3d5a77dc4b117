"""PyMeasure: its class for Anaheim Automation's DP series on its adapter for tests, and a class on a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from as_worker import as_worker
from pymeasure.adapters import ProtocolAdapter
from pymeasure.instruments.anaheimautomation import DPSeriesMotorController
from stage_process import PATIENCE_S, StageProcess, until

from authority.drivers import build
from authority.drivers.python_object import CallFailed, PythonObject
from authority.ports import DriverUnavailable, MotionStopped, OutsideLimits

pairs: list[tuple[str | None, str | None]] = []


def make_controller(address: int) -> DPSeriesMotorController:
    """The instrument as a factory makes it: an adapter cannot be written in a lab file."""
    return DPSeriesMotorController(ProtocolAdapter(list(pairs)), address=address)


def assert_everything_was_said(driver: PythonObject) -> None:
    """Check that the instrument has heard all that it was to hear, by saying one thing more."""
    with pytest.raises(CallFailed, match="No communication pair left to write"):
        driver.declared["home"].run(home_mode=0)


LAB = {
    "object": f"{__name__}:make_controller",
    "arguments": {"address": 3},
    "kind": "motor",
    "units": "steps",
    "low": -1000.0,
    "high": 1000.0,
    "stop": "stop",
    "close": "adapter.close",
    "readings": {
        "position": {"get": "step_position", "type": "number"},
        "moving": {"get": "busy", "type": "boolean"},
    },
    "control": {
        "move_to": {
            "set": "step_position",
            "target": "position",
            "until": "rest",
            "answers": "position",
            "parameters": {"position": {"type": "integer"}},
        },
        "set_speed": {"set": "maxspeed", "parameters": {"speed": {"type": "integer", "low": 1, "high": 50000}}},
        "set_direction": {
            "set": "direction",
            "parameters": {"direction": {"type": "text", "choices": ["CW", "CCW"]}},
        },
        "home": {"call": "home", "parameters": {"home_mode": {"type": "integer", "choices": [0, 1]}}},
    },
    "observe": {"errors": {"get": "error_reg"}, "direction": {"get": "direction", "type": "text"}},
}


@pytest.fixture
def controller() -> Iterator[PythonObject]:
    pairs.clear()
    driver = build("python", LAB)
    assert isinstance(driver, PythonObject)
    yield driver
    driver.close()


def opened(driver: PythonObject, *said: tuple[str | None, str | None]) -> None:
    pairs.extend(said)
    driver.open()


def test_a_move_is_written_waited_for_and_answered_by_the_instrument(controller):
    """DRV-40"""
    opened(
        controller,
        *[("@3P250", None), ("@3G", None)],
        *[("@3VF", "1"), ("@3VF", "1"), ("@3VF", "0")],
        ("@3VZ", "250"),
    )
    assert controller.declared["move_to"].run(position=250) == 250.0
    assert_everything_was_said(controller)


def test_the_readback_asks_the_instrument(controller):
    """DRV-40, DRV-46"""
    opened(controller, ("@3VZ", "-12"), ("@3VF", "0"))
    seen = controller.readback()
    assert (seen.position, seen.moving, seen.units) == (-12.0, False, "steps")


def test_a_stop_is_the_instruments_own(controller):
    """DRV-43"""
    opened(controller, ("@3.", None))
    controller.stop()
    assert_everything_was_said(controller)


def test_the_properties_of_pymeasure_are_set_read_and_mapped(controller):
    """DRV-40, DRV-46"""
    opened(controller, ("@3M500", None), ("@3-", None), ("@3V+", "0"), ("@3!", "3"), ("@3H1", None))
    controller.declared["set_speed"].run(speed=500)
    controller.declared["set_direction"].run(direction="CCW")
    assert controller.declared["direction"].run() == "CCW"
    assert controller.declared["errors"].run() == "RCV_OVERFLOW_ERR|ENC_ERR_1"
    controller.declared["home"].run(home_mode=1)
    assert_everything_was_said(controller)


def test_a_target_beyond_the_limits_is_never_written(controller):
    """DRV-32"""
    opened(controller)
    with pytest.raises(OutsideLimits, match=r"^1001 steps is outside the limits -1000 to 1000 steps$"):
        controller.declared["move_to"].run(position=1001)


def test_what_the_instrument_refuses_is_told_in_its_own_words(controller):
    """DRV-44"""
    opened(controller)
    with pytest.raises(CallFailed, match=r"^step_position failed: No communication pair left to write"):
        controller.declared["move_to"].run(position=5)


def test_a_property_that_pymeasure_only_measures_cannot_be_set(controller):
    """DRV-45"""
    options = {**LAB, "control": {"set_busy": {"set": "busy", "parameters": {"busy": {"type": "boolean"}}}}}
    driver = build("python", {key: value for key, value in options.items() if key not in ("low", "high")})
    with pytest.raises(DriverUnavailable, match=r"busy cannot be set, it can only be read$"):
        driver.open()
    driver.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[StageProcess]:
    running = StageProcess(tmp_path)
    yield running
    running.close()


@pytest.fixture
def on_socket(stage: StageProcess) -> Iterator[PythonObject]:
    """The stage as a class of PyMeasure's, through VISA and a real connection; `go` blocks until it is there."""
    position = {"position": {"type": "number"}}
    options = {
        "object": "scpi_instrument:ScpiStage",
        "arguments": {"adapter": stage.resource},
        "units": "mm",
        "low": 0.0,
        "high": 100.0,
        "stop": "stop",
        "close": "adapter.close",
        "readings": {
            "position": {"get": "position", "type": "number"},
            "target": {"get": "target", "type": "number"},
            "moving": {"get": "moving", "type": "boolean"},
        },
        "control": {
            "move_to": {
                "set": "target",
                "target": "position",
                "until": "rest",
                "answers": "position",
                "parameters": position,
            },
            "go": {"call": "go", "target": "position", "answers": "position", "parameters": position},
            "set_velocity": {"set": "velocity", "parameters": {"velocity": {"type": "number", "units": "mm/s"}}},
        },
        "observe": {"name": {"get": "id", "type": "text"}},
    }
    driver = as_worker(build("python", options))
    assert isinstance(driver, PythonObject)
    driver.open()
    yield driver
    driver.close()


@pytest.mark.parametrize("command", ["move_to", "go"])
def test_a_pymeasure_class_moves_a_device_on_a_socket_and_a_stop_ends_it_on_the_way(on_socket, stage, command):
    """DRV-40, DRV-41, DRV-43"""
    on_socket.declared["set_velocity"].run(velocity=50.0)
    assert on_socket.declared[command].run(position=1.0) == 1.0
    on_socket.declared["set_velocity"].run(velocity=1.0)
    with ThreadPoolExecutor() as other_thread:
        move = other_thread.submit(on_socket.declared[command].run, position=90.0)
        until(lambda: stage.ask("MOV?") == ["1"], "it moves")
        assert on_socket.readback().moving is True
        on_socket.stop()
        with pytest.raises(MotionStopped, match=r"^stopped at \d"):
            move.result(PATIENCE_S)
    seen = on_socket.readback()
    assert (seen.moving, seen.position < 50) == (False, True)
    assert stage.told()[-1] == "stop"
    assert on_socket.declared["name"].run().startswith("motorlock,SCPI stage")


def test_a_device_that_dies_is_found_again_when_it_is_back(on_socket, stage):
    """DRV-44"""
    assert on_socket.readback().connected
    stage.kill()
    with pytest.raises(DriverUnavailable, match=r"^position failed, and the connection is taken for lost: "):
        on_socket.readback()
    with pytest.raises(DriverUnavailable):
        on_socket.declared["move_to"].run(position=5.0)
    stage.start()

    def is_back() -> bool:  # as the authority does: read, open, read again
        try:
            return on_socket.readback().connected
        except DriverUnavailable:
            on_socket.open()
            return False

    until(is_back, "the stage answers again")
    assert on_socket.declared["move_to"].run(position=0.5) == 0.5
