"""Drivers that tell a device lines of text, each over its own line to a stage in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import tomllib
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from as_worker import as_worker
from stage_process import PATIENCE_S, ROOT, StageProcess, until

from authority.drivers import build
from authority.drivers.declare import InvalidParameters
from authority.drivers.text import DeviceError, TextDriver
from authority.drivers.text_options import BadAnswer
from authority.ports import DriverUnavailable, MotionStopped, OutsideLimits, fence_of_command

TABLE = tomllib.loads((Path(__file__).parent / "stage_table.toml").read_text(encoding="utf-8"))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[StageProcess]:
    process = StageProcess(tmp_path, "--velocity", "50", "--pty")
    yield process
    process.close()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[StageProcess]:
    """A stage that is still on its way whenever a test looks."""
    process = StageProcess(tmp_path, "--velocity", "1", "--pty")
    yield process
    process.close()


@pytest.fixture(params=["visa", "serial", pytest.param("visa-serial", marks=pytest.mark.slow)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def driver_of(kind: str, stage: StageProcess, **more: object) -> TextDriver:
    name, option, place = {
        "visa": ("visa", "resource", stage.resource),
        "visa-serial": ("visa", "resource", f"ASRL{stage.terminal}::INSTR"),
        "serial": ("serial", "port", stage.terminal),
    }[kind]
    given = TABLE | {option: place} | more
    made = as_worker(build(name, {key: value for key, value in given.items() if value is not None}))
    assert isinstance(made, TextDriver)
    return made


@pytest.fixture
def driver(kind: str, stage: StageProcess) -> Iterator[TextDriver]:
    made = driver_of(kind, stage)
    made.open()
    yield made
    made.close()


def run(driver: TextDriver, action: str, **parameters: object) -> object:
    return driver.declared[action].run(**parameters)


class InThread(threading.Thread):
    """A command that runs in a thread of its own, as the worker's do."""

    def __init__(self, driver: TextDriver, action: str, **parameters: object) -> None:
        super().__init__(daemon=True)
        self._work = lambda: run(driver, action, **parameters)
        self.raised: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except Exception as raised:  # noqa: BLE001 - the test asks for it
            self.raised = raised

    def ended(self) -> BaseException | None:
        self.join(PATIENCE_S)
        assert not self.is_alive()
        return self.raised


def test_a_stage_moves_and_answers_where_it_is(driver, stage):
    """DRV-30, DRV-33"""
    assert run(driver, "move_to", position=5.0) == 5.0
    assert run(driver, "move_by", distance=-3.0) == 2.0
    assert run(driver, "set_velocity", velocity=40.0) == 40.0
    assert run(driver, "temperature") == 293.15
    assert run(driver, "ask", words="*IDN") == "motorlock,SCPI stage,0,1"
    shown = driver.readback()
    assert (shown.position, shown.target, shown.velocity, shown.moving) == (2.0, 2.0, 40.0, False)
    assert (shown.units, dict(shown.values), driver.kind) == (
        "mm",
        {"temperature": 293.15, "low": 0.0, "high": 200.0},
        "motor",
    )
    assert stage.told() == ["move 5", "move 2", "velocity 40"]


def test_nothing_reaches_the_device_of_what_is_beyond_the_limits(driver, stage):
    """DRV-32"""
    driver.readback()
    for action, parameters in [
        ("move_to", {"position": 200.1}), ("move_by", {"distance": -0.1}), ("set_velocity", {"velocity": 50.1}),
    ]:  # fmt: skip
        with pytest.raises(OutsideLimits):
            driver.check(action, parameters)
        with pytest.raises(OutsideLimits):
            run(driver, action, **parameters)
    assert stage.told() == []


def test_a_stop_goes_out_while_a_thread_waits_for_an_answer_that_does_not_come(kind, slow):
    """DRV-34, DRV-10, STOP-3"""
    driver = driver_of(kind, slow, timeout_s=PATIENCE_S)
    driver.open()
    slow.tell("SIM:HOLD MOV?")
    move = InThread(driver, "move_to", position=90.0)
    until(lambda: slow.told() == ["move 90"], "the move has begun")
    driver.stop()
    until(lambda: slow.told() == ["move 90", "stop"], "the stage has the stop")
    assert move.is_alive(), "it still waits for its answer"
    slow.tell("SIM:OK")
    assert isinstance(move.ended(), MotionStopped)
    driver.close()


def test_a_stop_ends_a_move_as_stopped_and_the_stage_stands(kind, slow):
    """DRV-34, DRV-10"""
    driver = driver_of(kind, slow)
    driver.open()
    move = InThread(driver, "move_to", position=90.0)
    until(lambda: driver.readback().moving, "it moves")
    driver.stop()
    stopped = move.ended()
    assert isinstance(stopped, MotionStopped)
    shown = driver.readback()
    assert not shown.moving
    assert 0 < shown.position < 90
    assert str(stopped).startswith("stopped at ")
    driver.close()


def test_what_is_sent_over_a_socket_does_not_wait_on_the_way_for_what_was_sent_before(stage):
    """DRV-34"""
    driver = driver_of("visa", stage)
    driver.open()
    waits = []
    for number in map(int, os.listdir("/dev/fd")):
        try:
            one = socket.socket(fileno=os.dup(number))
        except OSError:  # no socket, or the one that lists
            continue
        with one, contextlib.suppress(OSError):  # one of another test is no longer connected
            if one.family == socket.AF_INET and one.getpeername()[1] == stage.port:
                waits.append(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0)
    assert waits == [False]
    driver.close()


def test_what_a_stop_overtakes_is_not_sent_any_more(kind, stage):
    """DRV-34"""
    driver = driver_of(kind, stage, timeout_s=PATIENCE_S)
    driver.open()
    stage.tell("SIM:HOLD POS?")
    move = InThread(driver, "move_by", distance=90.0)  # it waits for the position that it counts from
    until(lambda: stage.ask("SIM?") == ["HOLD 1"], "the position is asked")
    driver.stop()
    until(lambda: stage.told() == ["stop"], "the stage has the stop")
    stage.tell("SIM:OK")
    assert isinstance(move.ended(), MotionStopped)
    assert stage.told() == ["stop"]
    driver.close()


def test_a_command_whose_device_fell_silent_ends_as_stopped_after_a_stop(kind, slow):
    """DRV-34"""
    driver = driver_of(kind, slow, timeout_s=0.3)
    driver.open()
    slow.tell("SIM:HANG")
    move = InThread(driver, "move_to", position=90.0)
    until(lambda: slow.told() == ["move 90"], "the move has begun")
    driver.stop()
    assert isinstance(move.ended(), MotionStopped)
    assert slow.told() == ["move 90", "stop"]
    driver.close()


def test_a_stop_reconnects_where_the_connection_was_given_up(kind, stage):
    """DRV-34"""
    driver = driver_of(kind, stage, timeout_s=0.3)
    driver.open()
    stage.tell("SIM:HANG")
    with pytest.raises(DriverUnavailable):
        driver.readback()
    driver.stop()
    until(lambda: stage.told() == ["stop"], "the stage has the stop")
    driver.close()


def test_a_stop_that_cannot_be_delivered_raises(stage):
    """DRV-34, STOP-4"""
    driver = driver_of("visa", stage)
    driver.open()
    stage.kill()
    with pytest.raises(DriverUnavailable):
        driver.readback()
    with pytest.raises(DriverUnavailable):
        driver.stop()
    driver.close()
    stage.start()


def test_a_late_answer_is_never_taken_for_the_next_ones(kind, stage):
    """DRV-35"""
    driver = driver_of(kind, stage, timeout_s=0.3)
    driver.open()
    stage.tell("SIM:HOLD TEMP?")
    with pytest.raises(DriverUnavailable, match=r"no answer within 0\.3 s: check that it is switched on"):
        run(driver, "temperature")
    with pytest.raises(DriverUnavailable, match="not connected"):
        run(driver, "ask", words="*IDN")
    stage.tell("SIM:OK")  # here it comes
    driver.open()
    assert driver.readback().position == 0.0
    assert run(driver, "ask", words="*IDN") == "motorlock,SCPI stage,0,1"
    driver.close()


def test_a_late_answer_over_a_socket_is_not_even_read_while_the_next_one_is_awaited(stage):
    """DRV-35"""
    driver = driver_of("visa", stage, timeout_s=2.0)
    driver.open()
    stage.tell("SIM:HOLD TEMP?", "SIM:HOLD *IDN?")
    with pytest.raises(DriverUnavailable):
        run(driver, "temperature")
    driver.open()
    found: list[object] = []
    asking = threading.Thread(target=lambda: found.append(run(driver, "ask", words="*IDN")))
    asking.start()
    until(lambda: stage.ask("SIM?") == ["HOLD HOLD 2"], "the next question is asked")
    stage.tell("SIM:OK")  # here come both
    asking.join(PATIENCE_S)
    assert found == ["motorlock,SCPI stage,0,1"]
    driver.close()


def test_an_answer_that_comes_twice_is_read_once(driver, stage):
    """DRV-35"""
    stage.tell("SIM:TWICE")
    for _ in range(5):
        assert driver.readback().velocity == 50.0
        assert run(driver, "temperature") == 293.15
        assert run(driver, "ask", words="*IDN") == "motorlock,SCPI stage,0,1"


def test_an_answer_that_cannot_be_read_is_an_error_that_shows_it(driver, stage):
    """DRV-35"""
    stage.tell("SIM:GARBLE TEMP?")
    with pytest.raises(BadAnswer, match=r"answered '#\?!051\.392x', which is no number"):
        run(driver, "temperature")
    stage.tell("SIM:OK")
    assert run(driver, "temperature") == 293.15


def test_an_error_that_the_device_keeps_fails_the_command_with_its_sentence(driver):
    """DRV-35, CMD-17"""
    with pytest.raises(DeviceError, match=r'says -200,"Execution error;150 mm is not from 0 to 100 mm"$'):
        run(driver, "move_to", position=150.0)
    assert run(driver, "move_to", position=1.0) == 1.0


def test_errors_of_before_are_nobodys(kind, stage):
    """DRV-35"""
    stage.tell("DANCE")
    driver = driver_of(kind, stage)
    driver.open()
    assert run(driver, "move_to", position=1.0) == 1.0
    driver.close()


def test_a_text_that_could_be_more_than_a_value_is_refused_before_anything_is_sent(driver, stage):
    """DRV-36"""
    for action in ("say", "ask"):
        for words in ["MOVE 5;STOP", "MOVE 5\nSTOP", "STOP\r", "STÖP", "STOP\x00"]:
            with pytest.raises(InvalidParameters, match=f"{action} cannot send words") as refused:
                driver.check(action, {"words": words})
            assert refused.value.errors[0]["loc"] == ["body", "parameters", "words"]
            with pytest.raises(ValueError, match="words has "):
                run(driver, action, words=words)
    driver.check("say", {"words": "STOP 1,2"})
    assert stage.told() == []


def test_the_fence_goes_with_every_control_command_and_a_device_may_refuse_a_lower_one(driver, stage):
    """DRV-37"""

    def under(fence: int, action: str, **parameters: object) -> object:
        context = copy_context()
        context.run(fence_of_command.set, fence)
        return context.run(run, driver, action, **parameters)

    under(7, "move_to", position=1.0)
    under(9, "set_velocity", velocity=40.0)
    with pytest.raises(DeviceError, match="has obeyed fence 9 and refuses move of fence 8"):
        under(8, "move_to", position=2.0)
    driver.stop()
    facts = [(fact["fact"], fact["fence"]) for fact in stage.facts if "fence" in fact]
    assert facts == [("begin", 7), ("begin", 9), ("refused", 8)]
    until(lambda: stage.told()[-1] == "stop", "a stop needs no fence")


def test_a_device_that_went_away_is_unavailable_and_comes_back(stage):
    """DRV-6, DRV-7"""
    driver = driver_of("visa", stage)
    driver.open()
    stage.kill()
    with pytest.raises(DriverUnavailable, match=stage.resource):
        driver.readback()
    with pytest.raises(DriverUnavailable):
        driver.open()
    stage.start()
    driver.open()
    assert driver.readback().position == 0.0
    driver.close()


def test_a_move_outlives_a_connection_that_breaks_once(stage):
    """DRV-33"""
    table = {key: value for key, value in TABLE.items() if key != "errors"}  # what is asked next is whether it moves
    driver = build("visa", table | {"resource": stage.resource})
    driver.open()
    move = InThread(driver, "move_to", position=40.0)
    until(lambda: stage.told() == ["move 40"], "the move has begun")
    stage.tell("SIM:DROP")
    assert move.ended() is None
    assert driver.readback().position == 40.0
    driver.close()


def test_a_move_whose_device_went_away_says_that_it_may_still_move(slow):
    """DRV-33"""
    driver = driver_of("visa", slow)
    driver.open()
    move = InThread(driver, "move_to", position=90.0)
    until(lambda: slow.told() == ["move 90"], "the move has begun")
    slow.kill()
    lost = move.ended()
    assert isinstance(lost, DriverUnavailable)
    assert str(lost).endswith("; it may be moving")
    driver.close()
    slow.start()


def examples(section: str) -> list[dict[str, Any]]:
    """The lab files in a section of the page on drivers."""
    text = (ROOT / "docs" / "drivers.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return [tomllib.loads(block) for block in re.findall(r"^```toml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)]


def test_the_examples_of_the_documentation_drive_what_they_are_written_for(stage):
    """DRV-30, DRV-38, DRV-39"""
    (lab,) = examples("visa")
    options = lab["equipment"]["stage_z"]["options"]
    driver = build("visa", options | {"resource": stage.resource})
    driver.open()
    assert run(driver, "set_velocity", velocity=20.0) == 20.0
    assert run(driver, "move_to", position=2.0) == 2.0
    assert run(driver, "move_by", distance=-1.0) == 1.0
    assert run(driver, "temperature") == 293.15
    driver.close()
    (lab,) = examples("serial")
    driver = build("serial", lab["equipment"]["stage_a"]["options"])
    assert set(driver.declared) == {"move_to"}


def test_what_is_sent_and_read_in_the_devices_units_is_shown_in_ours(kind, stage):
    """DRV-30"""
    scale = {"per_unit": 0.1}  # a device that counts centimetres
    readings = {name: dict(TABLE["readings"][name]) for name in ("position", "moving")}
    readings["position"] |= scale
    control = {"move_to": TABLE["control"]["move_to"] | {"parameters": {"position": {"type": "number"} | scale}}}
    driver = driver_of(kind, stage, readings=readings, control=control, max_velocity=None)
    driver.open()
    assert run(driver, "move_to", position=20.0) == 20.0
    assert stage.told() == ["move 2"]
    assert driver.readback().position == 20.0
    driver.close()
