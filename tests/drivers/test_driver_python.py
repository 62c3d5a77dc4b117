"""Any Python object as equipment: one call at a time, a stop beside it, and each mistake in one sentence."""

from __future__ import annotations

import datetime
import decimal
import math
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import bench
import numpy
import pint
import pytest
import pyvisa.errors
from bench import WAIT_S, Stage

from authority.driver_values import MOST_VALUES, UnusableAnswer, plain_value
from authority.drivers import DriverMisconfigured, build
from authority.drivers.answers import as_scalar, as_type
from authority.drivers.python_object import CallFailed, PythonObject
from authority.drivers.table_driver import MoveFailed
from authority.ports import DriverUnavailable, MotionStopped, OutsideLimits, Readback

ROOT = Path(__file__).parents[2]
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


@pytest.fixture
def made() -> Iterator[Callable[..., PythonObject]]:
    opened: list[PythonObject] = []

    def make(**changes: object) -> PythonObject:
        driver = build("python", lab(**changes))
        assert isinstance(driver, PythonObject)
        opened.append(driver)
        driver.open()
        return driver

    yield make
    for driver in opened:
        driver.close()


@pytest.fixture
def other_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def until(condition: Callable[[], bool]) -> None:
    for _ in range(WAIT_S * 1000):
        if condition():
            return
        threading.Event().wait(0.001)
    raise AssertionError("waited in vain")


def run(driver: PythonObject, command: str, **parameters: object) -> object:
    return driver.declared[command].run(**parameters)


def test_methods_and_properties_are_commands_where_the_lab_file_names_them_and_nowhere_else(made):
    """DRV-40"""
    driver = made()
    stage = driver._object
    assert isinstance(stage, Stage)
    assert stage.port == "COM3"
    assert {name: one.command.kind for name, one in driver.declared.items()} == {
        "move_to": "control",
        "set_velocity": "control",
        "field": "observe",
        "look": "observe",
    }
    assert driver.declared["move_to"].command.parameters[0].units == "mm"
    assert run(driver, "move_to", position=3.5) == 3.5
    assert run(driver, "set_velocity", velocity=7.0) is None
    assert stage.velocity == 7.0
    assert run(driver, "field") == 1.5
    assert run(driver, "look", seconds=2.0) == {"seconds": 2.0, "gate": "shut"}
    assert driver.readback() == Readback(position=3.5, moving=False, units="mm", values=LIMITS)
    assert (driver.kind, driver.units) == ("motor", "mm")


def test_a_function_may_make_the_object_and_arguments_may_be_positional(made):
    """DRV-40"""
    driver = made(args=["COM7"], arguments={"start": 2.0})
    assert driver._object.port == "COM7"
    assert driver.readback().position == 2.0


def test_a_control_command_answers_what_comes_back_only_where_the_lab_file_says_its_type(made):
    """DRV-40"""
    plain_move = {"call": "move", "target": "position", "parameters": {"position": {"type": "number"}}}
    driver = made(
        control={"quiet": plain_move, "talking": {**plain_move, "type": "text"}, "where": {"get": "position"}}
    )
    assert run(driver, "quiet", position=1.0) is None
    assert run(driver, "talking", position=1.0) == "arrived"
    assert run(driver, "where") is None


def test_a_target_beyond_the_limits_never_reaches_the_object(made):
    driver = made()
    with pytest.raises(OutsideLimits, match=r"^-1 mm is outside the limits 0 to 5000 mm$"):
        driver.check("move_to", {"position": -1.0})
    with pytest.raises(OutsideLimits):
        run(driver, "move_to", position=-1.0)
    assert driver.readback().position == 0.0


def test_a_reading_may_be_inverted_and_may_have_none_now(made):
    """DRV-40"""
    done = {"get": "connected", "type": "boolean", "invert": True}
    position = {"get": "position", "type": "number"}
    driver = made(readings={"position": position, "moving": done, "field": {"get": "field", "type": "number"}})
    driver._object.field = None
    seen = driver.readback()
    assert (seen.moving, seen.values) == (False, {"field": None} | LIMITS)


def test_while_a_call_moves_the_readback_is_the_last_one_and_says_so(made, other_thread):
    """DRV-41, DRV-42"""
    driver = made()
    stage = driver._object
    run(driver, "move_to", position=2.0)
    assert driver.readback().moving is False
    move = other_thread.submit(run, driver, "move_to", position=1000.0)
    assert stage.moving_now.wait(WAIT_S)
    assert driver.readback() == Readback(position=2.0, moving=True, units="mm", values=LIMITS)
    waiting = other_thread.submit(run, driver, "look", seconds=1.0)
    stage._halted.set()
    assert move.result(WAIT_S) == 3.0
    assert waiting.result(WAIT_S) == {"seconds": 1.0, "gate": "shut"}
    assert driver.readback() == Readback(position=3.0, moving=False, units="mm", values=LIMITS)
    assert stage.beside == []


def test_a_readback_that_is_old_says_so(made, other_thread):
    """DRV-42"""
    driver = made()
    stage = driver._object
    driver.readback()
    stage.may_send.clear()
    look = other_thread.submit(run, driver, "move_to", position=3.0)
    until(lambda: driver._calling)
    driver._last_at -= 60.0  # as if it had been so for a minute
    assert driver.readback().error == "it is busy with a call: this is what it said before"
    stage.may_send.set()
    assert look.result(WAIT_S) == 3.0
    assert driver.readback().error is None


def test_no_two_threads_are_ever_in_the_object(made, other_thread):
    """DRV-41"""
    driver = made()
    everything = [
        other_thread.submit(work)
        for turn in range(20)
        for work in (
            lambda turn=turn: run(driver, "move_to", position=float(turn)),
            lambda: run(driver, "look", seconds=0.0),
            lambda: run(driver, "set_velocity", velocity=1.0),
            driver.readback,
        )
    ]
    for one in everything:
        one.result(WAIT_S)
    assert driver._object.beside == []


def test_a_stop_goes_to_the_object_beside_a_call_that_does_not_end(made, other_thread):
    """DRV-10, DRV-41, DRV-43"""
    driver = made()
    stage = driver._object
    move = other_thread.submit(run, driver, "move_to", position=1000.0)
    assert stage.moving_now.wait(WAIT_S)
    driver.stop()
    with pytest.raises(MotionStopped, match=r"^stopped at 1 mm$"):
        move.result(WAIT_S)
    assert stage.stops == 2  # beside the call, and once more after it
    assert stage.beside == []


def test_a_stop_that_overtakes_the_order_to_move_is_given_again_behind_it(made, other_thread):
    """DRV-41"""
    driver = made(control={"move_to": {**MOVE, "fixed": {"wait": False}}})
    stage = driver._object
    stage.may_send.clear()
    move = other_thread.submit(run, driver, "move_to", position=4.0)
    until(lambda: driver._calling)
    driver.stop()
    assert stage.stops == 1
    stage.may_send.set()  # the object sends its order only now
    with pytest.raises(MotionStopped):
        move.result(WAIT_S)
    assert stage.stops == 2


def test_a_stop_that_comes_right_before_the_order_is_given_again_behind_it(made):
    """DRV-41"""
    driver = made(concurrent=True)
    looked = driver.refuse_stopped

    def overtaken(stops: int) -> None:
        looked(stops)
        driver.stop()

    driver.refuse_stopped = overtaken
    with pytest.raises(MotionStopped):
        run(driver, "move_to", position=4.0)
    assert driver._object.stops == 2


def test_an_object_that_does_not_say_whether_it_moves_is_not_taken_to_rest(made):
    """DRV-46"""
    driver = made()
    driver._object.is_moving = lambda: None
    with pytest.raises(CallFailed, match=r"^is_moving: it answered nothing, so that nobody knows whether it moves$"):
        driver.readback()


def test_what_waits_behind_a_call_when_a_stop_comes_is_not_called_any_more(made, other_thread):
    """DRV-43"""
    driver = made()
    stage = driver._object
    with driver._turns:
        behind = other_thread.submit(run, driver, "move_to", position=4.0)
        until(lambda: driver._busy)  # it has begun and waits for its turn
        driver.stop()
    with pytest.raises(MotionStopped, match="before the device had the command"):
        behind.result(WAIT_S)
    assert stage.position == 0.0


def test_a_stop_at_rest_ends_nothing_that_comes_later(made):
    """DRV-43"""
    driver = made()
    driver.stop()
    assert run(driver, "move_to", position=2.0) == 2.0


def test_a_stop_that_the_object_does_not_take_is_said(made):
    """DRV-43"""
    driver = made()
    driver._object.connected = False
    with pytest.raises(DriverUnavailable, match=r"^stop failed: COM3 is gone$"):
        driver.stop()
    driver._object = None
    with pytest.raises(DriverUnavailable, match="cannot be stopped"):
        driver.stop()


def test_a_stop_that_the_object_does_not_take_is_no_end_of_its_command(made, other_thread):
    """DRV-43"""
    driver = made()
    stage = driver._object

    def refuse() -> None:
        raise RuntimeError("the stop button is broken")

    stage.stop = refuse
    stage.may_send.clear()
    move = other_thread.submit(run, driver, "move_to", position=4.0)
    until(lambda: driver._calling)
    with pytest.raises(DriverUnavailable, match=r"^stop failed: the stop button is broken$"):
        driver.stop()
    stage.may_send.set()
    assert move.result(WAIT_S) == 4.0


def test_where_there_is_nothing_to_stop_a_call_that_takes_too_long_has_failed_all_the_same(made, other_thread):
    """DRV-43"""
    slow = {"call": "move", "parameters": {"position": {"type": "number"}}, "deadline_s": 0.05}
    driver = made(stop="", readings={}, low=None, high=None, control={"fill": slow})
    stage = driver._object
    stage.may_send.clear()
    filling = other_thread.submit(run, driver, "fill", position=4.0)
    until(lambda: driver._calling)
    until(lambda: not any(isinstance(one, threading.Timer) for one in threading.enumerate()))  # the deadline is over
    stage.may_send.set()
    with pytest.raises(MoveFailed, match=r"^was not done after 0.05 s$"):
        filling.result(WAIT_S)
    driver.stop()


def test_a_call_that_does_not_end_by_its_deadline_is_stopped_and_failed(made):
    """DRV-33, DRV-43"""
    driver = made(control={"move_to": {**MOVE, "deadline_s": 0.05}})
    with pytest.raises(MoveFailed, match=r"^was not done after 0.05 s and was stopped at 1 mm$"):
        run(driver, "move_to", position=1000.0)
    assert driver._object.stops >= 1


def test_an_object_that_says_so_is_called_from_several_threads_at_once(made, other_thread):
    """DRV-41"""
    driver = made(concurrent=True)
    stage = driver._object
    move = other_thread.submit(run, driver, "move_to", position=1000.0)
    assert stage.moving_now.wait(WAIT_S)
    assert driver.readback().moving is True
    assert "position beside move" in stage.beside
    driver.stop()
    with pytest.raises(MotionStopped):
        move.result(WAIT_S)


@pytest.mark.parametrize("call", ["begin", "submit"])
def test_a_status_that_a_call_returns_is_waited_for_and_a_stop_ends_that(made, other_thread, call):
    """DRV-43"""
    driver = made(object="bench:Promising", control={"move_to": {**MOVE, "call": call}})
    stage = driver._object

    def begun(position: float):
        move = other_thread.submit(run, driver, "move_to", position=position)
        until(lambda: hasattr(stage, "status" if call == "begin" else "future"))
        return move

    move = begun(3.0)
    assert driver.readback().position == 0.0  # nobody is kept from the object meanwhile
    stage.status.finish() if call == "begin" else stage.future.set_result(3.0)
    assert move.result(WAIT_S) == 0.0
    vars(stage).pop("status" if call == "begin" else "future")
    move = begun(4.0)
    stage.status = getattr(stage, "status", bench.Status())
    driver.stop()
    with pytest.raises(MotionStopped):
        move.result(WAIT_S)


def test_a_status_that_fails_or_is_never_done_is_a_failed_command(made, other_thread):
    """DRV-43"""
    driver = made(object="bench:Promising", control={"move_to": {**MOVE, "call": "begin", "deadline_s": 0.05}})
    with pytest.raises(MoveFailed, match=r"^was not done after 0.05 s"):
        run(driver, "move_to", position=1.0)
    stage = driver._object
    driver = made(object="bench:Promising", control={"move_to": {**MOVE, "call": "begin"}})
    stage = driver._object
    move = other_thread.submit(run, driver, "move_to", position=1.0)
    until(lambda: hasattr(stage, "status"))
    stage.status.finish(RuntimeError("the drive is off"))
    with pytest.raises(CallFailed, match=r"^begin failed: the drive is off$"):
        move.result(WAIT_S)


def test_a_connection_that_is_lost_during_a_status_ends_the_waiting(made, other_thread):
    """DRV-44"""
    driver = made(object="bench:Promising", control={"move_to": {**MOVE, "call": "begin"}})
    stage = driver._object
    move = other_thread.submit(run, driver, "move_to", position=1.0)
    until(lambda: hasattr(stage, "status"))
    stage.connected = False
    with pytest.raises(DriverUnavailable, match=r"^position failed, and the connection is taken for lost"):
        driver.readback()
    with pytest.raises(DriverUnavailable, match=r"^lost during begin: position failed, and .*; it may be moving$"):
        move.result(WAIT_S)


def test_an_object_that_cannot_be_made_is_unavailable_until_it_can(made):
    """DRV-44"""
    bench.Choosy.refusals = 1
    driver = build("python", lab(object="bench:Choosy"))
    with pytest.raises(DriverUnavailable, match=r"^bench:Choosy cannot be made: COM3 is in use$"):
        driver.open()
    for use in (driver.readback, lambda: run(driver, "field"), lambda: run(driver, "move_to", position=1.0)):
        with pytest.raises(DriverUnavailable):
            use()
    driver.open()
    assert driver.readback().connected
    driver.close()


def test_after_a_lost_connection_the_object_is_made_afresh_and_the_old_one_closed(made):
    """DRV-44"""
    driver = made()
    old = driver._object
    old.connected = False
    with pytest.raises(
        DriverUnavailable, match=r"^move failed, and the connection is taken for lost: COM3 is gone; it may be moving$"
    ):
        run(driver, "move_to", position=1.0)
    with pytest.raises(DriverUnavailable, match="COM3 is gone"):
        driver.readback()
    driver.open()
    assert driver._object is not old
    assert old.closed == 1
    assert driver.readback().connected
    driver.open()  # nothing is lost: it stays
    assert driver._object.closed == 0


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (TimeoutError("no answer"), True),
        (pyvisa.errors.VisaIOError(pyvisa.constants.StatusCode.error_connection_lost), True),
        (type("DisconnectedError", (Exception,), {})("gone"), True),
        (type("CableOut", (Exception,), {})("gone"), True),
        (type("StatusTimeoutError", (TimeoutError,), {})("the move took too long"), False),
        (FileNotFoundError("no such recipe"), False),
        (ValueError("12 is not in range"), False),
    ],
)
def test_only_errors_of_the_connection_mean_that_it_is_lost(made, error, lost):
    """DRV-44"""
    driver = made(lost_on=["CableOut"])

    def fail() -> None:
        raise error

    driver._object.look = lambda **_: fail()
    with pytest.raises(DriverUnavailable if lost else CallFailed, match=r"^look failed"):
        run(driver, "look", seconds=1.0)
    if lost:
        with pytest.raises(DriverUnavailable):
            driver.readback()
    else:
        assert driver.readback().connected


def test_what_is_called_after_it_was_made_may_fail_too(made):
    """DRV-44"""
    driver = build("python", lab(open="connect"))
    driver._make = lambda **_: BrokenStage()
    with pytest.raises(DriverUnavailable, match=r"^bench:Stage: connect failed: no power$"):
        driver.open()
    assert BrokenStage.last.closed == 1


class BrokenStage(Stage):
    last: BrokenStage

    def connect(self) -> None:
        type(self).last = self
        raise RuntimeError("no power")


def test_an_object_whose_call_never_ends_is_not_made_afresh_beside_it(made, other_thread):
    """DRV-44"""
    driver = made()
    held, let_go = threading.Event(), threading.Event()

    def hang() -> None:
        with driver._turns:
            held.set()
            assert let_go.wait(WAIT_S)

    hanging = other_thread.submit(hang)
    assert held.wait(WAIT_S)
    with pytest.raises(DriverUnavailable, match="busy with a call that does not end"):
        driver.open()
    let_go.set()
    hanging.result(WAIT_S)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"object": "benchh:Stage"}, "there is no module benchh: install it here, or set PYTHONPATH to its folder"),
        ({"object": "bench:Stagge"}, "bench has no 'Stagge', perhaps 'Stage' or 'stage' is meant."),
        ({"object": "bench:stage"}, "bench:stage is Stage, but must be a class or a function that makes the object"),
        ({"object": "needy:Stage"}, "the module needy needs nowhere_at_all, which is not installed here"),
        ({"object": "broken:Stage"}, "the module broken cannot be imported: no licence"),
        ({"object": "Stage"}, "'Stage' names no object: write package.module:Class, such as ophyd:EpicsMotor"),
        ({"arguments": {"prot": 1}}, "cannot be made with args and arguments as given: got an unexpected keyword"),
        ({"object": 5}, "object needs a text; you gave 5"),
        ({"control": {"m": {}}}, "control.m needs one of call, set, get, and has none"),
        ({"control": {"m": {"call": "a", "get": "b"}}}, "control.m needs one of call, set, get, and has call, get"),
        ({"control": {"m": {"set": "velocity"}}}, "control.m has set, which needs exactly one parameter, not 0"),
        ({"control": {"m": {"call": "x..move"}}}, "control.m has call = 'x..move', which is no dotted name"),
        ({"observe": {"f": {"get": "a", "fixed": {"b": 1}}}}, "observe.f has get, which takes no parameters"),
        (
            {"readings": {"position": {"get": "position", "type": "number", "invert": True}}},
            "readings.position has invert, which only a boolean can have, not number",
        ),
    ],
)
def test_a_mistake_that_the_lab_file_shows_is_told_before_anything_is_made(changes, sentence, tmp_path, monkeypatch):
    """DRV-31, DRV-45"""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needy.py").write_text("import nowhere_at_all\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("raise RuntimeError('no\\n  licence')\n", encoding="utf-8")
    if "control" in changes:
        changes = {"low": 0.0, **changes, "control": {"move_to": MOVE, **changes["control"]}}
    with pytest.raises(DriverMisconfigured) as told:
        build("python", lab(**changes))
    assert sentence in str(told.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"stop": "stopp"}, "stop: Stage has no 'stopp', perhaps 'stop' or 'stops' is meant"),
        ({"close": "port"}, "close: Stage.port is str, no method"),
        ({"readings": {**READINGS, "moving": {"get": "ismoving", "type": "boolean"}}}, "perhaps 'is_moving'"),
        ({"observe": {"f": {"get": "axis.field"}}}, "observe.f.get: Stage has no 'axis'"),
        ({"observe": {"f": {"call": "position"}}}, "is a property, no method: write set = "),
        (
            {"control": {"set_x": {"set": "position", "parameters": {"x": {"type": "number"}}}}},
            "control.set_x.set: Stage.position cannot be set, it can only be read",
        ),
        (
            {"control": {"set_x": {"set": "move", "parameters": {"x": {"type": "number"}}}}},
            'Stage.move is a method: write call = "move"',
        ),
        (
            {"control": {"move_to": {"call": "move", "parameters": {"x": {"type": "number"}}}}},
            "cannot be called with (x): missing a required argument: 'position'",
        ),
        (
            {"stop": "move"},
            "stop: Stage.move(position: 'float', wait: 'bool' = True) -> 'str' cannot be called with ()",
        ),
    ],
)
def test_what_the_object_has_not_is_told_when_it_is_made_and_it_is_made_once(changes, sentence):
    """DRV-45"""
    changes = {"low": None, "high": None, **changes} if "control" in changes else changes
    driver = build("python", lab(**changes))
    with pytest.raises(DriverUnavailable) as told:
        driver.open()
    assert str(told.value).startswith("bench:Stage: ")
    assert sentence in str(told.value)
    made = driver._object
    with pytest.raises(DriverUnavailable):
        driver.open()
    assert driver._object is made
    with pytest.raises(DriverUnavailable):
        driver.readback()
    driver.close()


@pytest.mark.parametrize("concurrent", [True, False])
def test_an_object_moves_while_a_move_of_ours_is_in_it_or_awaited_whatever_it_says_itself(
    made, other_thread, concurrent
):
    """DRV-65"""
    begin = {**MOVE, "call": "begin"}
    readings = {**READINGS, "moving": {"get": "resting", "type": "boolean"}}
    bench.Promising.resting = False  # it never says that it moves
    try:
        driver = made(object="bench:Promising", concurrent=concurrent, control={"move_to": begin}, readings=readings)
        assert not driver.readback().moving
        move = other_thread.submit(run, driver, "move_to", position=3.0)
        until(lambda: hasattr(driver._object, "status") and bool(driver._object.status._callbacks))
        assert driver.readback().moving
        driver._object.status.finish()
        move.result(WAIT_S)
        assert not driver.readback().moving
    finally:
        del bench.Promising.resting


def test_a_stop_that_does_not_stop_the_object_says_that_it_is_still_moving(made, other_thread):
    """DRV-65"""
    driver = made(object="bench:Promising", control={"move_to": {**MOVE, "call": "begin"}})
    move = other_thread.submit(run, driver, "move_to", position=3.0)
    until(lambda: hasattr(driver._object, "status") and bool(driver._object.status._callbacks))
    driver._object.moving_now.set()
    driver.stop()
    with pytest.raises(MotionStopped, match=r"^stopped at 0 mm, but is still moving$"):
        move.result(WAIT_S)
    assert driver.readback().moving


def test_a_coroutine_is_refused_where_the_lab_file_does_not_say_asyncio(made):
    """DRV-47"""
    driver = made()
    driver._object.look = bench.Loopy.get_position
    driver._options.observe["look"].fixed.clear()
    with pytest.raises(CallFailed, match=r"^look: it is a coroutine: write asyncio = true$"):
        run(driver, "look", self=driver._object)


LOOPY = {
    "object": "bench:Loopy",
    "asyncio": True,
    "open": "connect",
    "kind": "motor",
    "stop": "stop",
    "tolerance": 0.01,
    "settle_s": 0.01,
    "readings": {"position": {"get": "get_position", "type": "number"}},
    "control": {"move_to": MOVE},
}


@pytest.fixture
def loopy() -> Iterator[PythonObject]:
    driver = build("python", LOOPY)
    assert isinstance(driver, PythonObject)
    driver.open()
    yield driver
    driver.close()


def test_an_object_of_an_event_loop_is_made_and_called_in_one(loopy):
    """DRV-47"""
    assert run(loopy, "move_to", position=2.0) == 2.0
    assert loopy.readback().position == 2.0


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_stop_ends_a_coroutine_that_waits_and_cancels_one_that_does_not_end(loopy, other_thread, stubborn):
    """DRV-43, DRV-47"""
    mover = loopy._object
    mover.stubborn = stubborn
    move = other_thread.submit(run, loopy, "move_to", position=1000.0)
    assert mover.moving.wait(WAIT_S)
    assert loopy.readback().moving is True
    loopy.stop()
    with pytest.raises(MotionStopped):
        move.result(WAIT_S)
    assert mover.cancelled is stubborn
    assert mover.stops == 2


def test_a_coroutine_that_does_not_end_by_its_deadline_is_stopped_cancelled_and_failed():
    """DRV-43, DRV-47"""
    driver = build("python", {**LOOPY, "control": {"move_to": {**MOVE, "deadline_s": 0.05}}})
    assert isinstance(driver, PythonObject)
    driver.open()
    driver._object.stubborn = True
    with pytest.raises(MoveFailed, match=r"^was not done after 0.05 s and was stopped at 0$"):
        run(driver, "move_to", position=1000.0)
    assert driver._object.cancelled
    driver.close()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (numpy.bool_(True), True),
        (numpy.float64(1.5), 1.5),
        (numpy.float32(0.5), 0.5),
        (numpy.int16(3), 3),
        (numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (float("nan"), None),
        (math.inf, None),
        (numpy.array([1.0, numpy.nan]), [1.0, None]),
        (1 + 2j, {"real": 1.0, "imag": 2.0}),
        (bench.Colour.RED, "RED"),
        (bench.Flags.LOW, "LOW"),
        (bench.Flags(0), 0),
        (bench.Sample(1.0, bench.Colour.RED), {"x": 1.0, "colour": "RED"}),
        ({"a": (1, 2), 3: {4}}, {"a": [1, 2], "3": [4]}),
        (b"+1.5", "+1.5"),
        (decimal.Decimal("1.5"), 1.5),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.timedelta(seconds=90), 90.0),
        (PurePosixPath("a/b"), "a/b"),
        (ValueError("too hot"), "ValueError: too hot"),
        (pint.Quantity(2.0, "mm"), {"value": 2.0, "units": "millimeter"}),
        (pint.Quantity(numpy.array([1.0, 2.0]), "V"), {"value": [1.0, 2.0], "units": "volt"}),
    ],
)
def test_an_answer_becomes_what_json_can_hold(value, expected):
    """DRV-46"""
    found = plain_value(value)
    assert found == expected
    assert type(found) is type(expected)


def test_a_quantity_is_answered_in_the_unit_of_the_lab_file(made):
    """DRV-46"""
    assert plain_value(pint.Quantity(2.0, "mm"), "um") == pytest.approx(2000.0)
    driver = made()
    driver._object.field = pint.Quantity(1500.0, "mT")
    assert run(driver, "field") == pytest.approx(1.5)
    with pytest.raises(UnusableAnswer, match="cannot be had in V"):
        plain_value(pint.Quantity(2.0, "mm"), "V")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (object(), "it answered a object, <object object at .*, which cannot be sent on: name one of its attributes"),
        (print, "it answered a builtin_function_or_method"),
        (b"\xff\x00", "it answered 2 bytes that are no text"),
        (numpy.zeros(MOST_VALUES + 1), "it answered 1000001 values, but at most 1000000 can be answered"),
        ([0] * (MOST_VALUES + 1), "it answered 1000001 values"),
    ],
)
def test_an_answer_that_json_cannot_hold_is_refused_with_what_it_is(value, sentence):
    """DRV-46"""
    with pytest.raises(UnusableAnswer, match=sentence):
        plain_value(value)


def test_an_answer_that_contains_itself_is_refused():
    """DRV-46"""
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(UnusableAnswer, match="contains itself"):
        plain_value(endless)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (numpy.int32(2), "number", 2.0),
        (2.0, "integer", 2),
        (1.0, "boolean", True),
        (0, "boolean", False),
        (3, "text", "3"),
        ((1, 2), "list", [1, 2]),
        ("x", "object", "x"),
        (object(), "nothing", None),
    ],
)
def test_an_answer_is_of_the_type_that_the_lab_file_says(value, kind, expected):
    """DRV-46"""
    found = as_type(value, kind)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind"),
    [("x", "number"), (True, "number"), (2.5, "integer"), (True, "integer"), (2, "boolean"), ({}, "list")],
)
def test_an_answer_of_another_type_is_refused(value, kind):
    """DRV-46"""
    with pytest.raises(UnusableAnswer, match=f"which is no {kind}: check its type in the lab file"):
        as_type(value, kind)
    with pytest.raises(UnusableAnswer, match="no single value"):
        as_scalar([1], "list")


def test_the_address_is_how_the_object_is_made_or_what_the_lab_file_says():
    """DRV-48"""
    assert build("python", lab()).address == "bench:Stage(port='COM3')"
    assert build("python", lab(args=["COM1"], arguments={"start": 1.0})).address == "bench:Stage('COM1', start=1.0)"
    assert build("python", lab(arguments={})).address == "bench:Stage"
    assert build("python", lab(address="COM3")).address == "COM3"


def test_the_examples_of_the_documentation_are_a_lab_file_without_a_mistake(tmp_path):
    """DRV-40, DRV-45"""
    text = (ROOT / "docs" / "drivers.md").read_text(encoding="utf-8")
    section = text.partition("\n## python\n")[2].partition("\n## ")[0]
    examples = re.findall(r"^```toml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    lab = tmp_path / "lab.toml"
    lab.write_text("\n".join(examples), encoding="utf-8")
    # ophyd begins to listen to the network when it is imported, but not with this layer.
    env = {**os.environ, "OPHYD_CONTROL_LAYER": "dummy"}
    command = [sys.executable, "-m", "authority", "check", str(lab)]
    checked = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert checked.returncode == 0, checked.stderr
