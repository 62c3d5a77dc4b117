"""Any Python object as equipment: how it is made, declared, lost and made again, and each mistake in one sentence."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import bench
import pytest
import pyvisa.errors
from bench import WAIT_S
from python_lab import LIMITS, MOVE, READINGS, lab, run

from authority.drivers import DriverMisconfigured, build
from authority.drivers.python_object import CallFailed
from authority.ports import DriverUnavailable, OutsideLimits, Readback

ROOT = Path(__file__).parents[2]


def test_methods_and_properties_are_commands_where_the_lab_file_names_them_and_nowhere_else(made):
    """DRV-40"""
    driver = made()
    stage = bench.made[-1]
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
    assert bench.made[-1].port == "COM7"
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
    bench.made[-1].field = None
    seen = driver.readback()
    assert (seen.moving, seen.values) == (False, {"field": None} | LIMITS)


def test_an_object_that_does_not_say_whether_it_moves_is_not_taken_to_rest(made):
    """DRV-46"""
    driver = made()
    bench.made[-1].is_moving = lambda: None
    with pytest.raises(CallFailed, match=r"^is_moving: it answered nothing, so that nobody knows whether it moves$"):
        driver.readback()


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
    old = bench.made[-1]
    old.connected = False
    with pytest.raises(
        DriverUnavailable, match=r"^move failed, and the connection is taken for lost: COM3 is gone; it may be moving$"
    ):
        run(driver, "move_to", position=1.0)
    with pytest.raises(DriverUnavailable, match="COM3 is gone"):
        driver.readback()
    driver.open()
    new = bench.made[-1]
    assert new is not old
    assert old.closed == 1
    assert driver.readback().connected
    driver.open()  # nothing is lost: it stays
    assert bench.made[-1] is new
    assert new.closed == 0


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

    bench.made[-1].look = lambda **_: fail()
    with pytest.raises(DriverUnavailable if lost else CallFailed, match=r"^look failed"):
        run(driver, "look", seconds=1.0)
    if lost:
        with pytest.raises(DriverUnavailable):
            driver.readback()
    else:
        assert driver.readback().connected


def test_what_is_called_after_it_was_made_may_fail_too():
    """DRV-44"""
    driver = build("python", lab(object="bench:Broken", open="connect"))
    with pytest.raises(DriverUnavailable, match=r"^bench:Broken: connect failed: no power$"):
        driver.open()
    assert bench.made[-1].closed == 1


def test_an_object_whose_call_never_ends_is_not_made_afresh_beside_it(made, other_thread):
    """DRV-44"""
    driver = made()
    stage = bench.made[-1]
    stage.may_send.clear()
    look = other_thread.submit(run, driver, "look", seconds=1.0)
    assert stage.called.wait(WAIT_S)
    with pytest.raises(DriverUnavailable, match="busy with a call that does not end"):
        driver.open()
    stage.may_send.set()
    assert look.result(WAIT_S)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"object": "benchh:Stage"}, "there is no module benchh: install it here, or set PYTHONPATH to its folder"),
        ({"object": "bench:Stagge"}, "bench has no 'Stagge', perhaps Stage is meant."),
        ({"object": "bench:stage"}, "bench:stage is Stage, but must be a class or a function that makes the object"),
        ({"object": "needy:Stage"}, "the module needy needs nowhere_at_all, which is not installed here"),
        ({"object": "broken:Stage"}, "the module broken cannot be imported: no licence"),
        ({"object": "Stage"}, "'Stage' names no object: write package.module:Class, such as ophyd:EpicsMotor"),
        ({"arguments": {"prot": 1}}, "cannot be made with args and arguments as given: got an unexpected keyword"),
        ({"object": 5}, "object must be a text, not 5"),
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
        ({"stop": "stopp"}, "stop: Stage has no 'stopp', perhaps stop is meant"),
        ({"close": "port"}, "close: Stage.port is str, no method"),
        ({"readings": {**READINGS, "moving": {"get": "ismoving", "type": "boolean"}}}, "perhaps is_moving"),
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
    objects = len(bench.made)
    with pytest.raises(DriverUnavailable):
        driver.open()
    assert len(bench.made) == objects
    with pytest.raises(DriverUnavailable):
        driver.readback()
    driver.close()


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
