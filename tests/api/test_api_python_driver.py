"""Python objects behind a real authority: ophyd's `EpicsMotor` on a real EPICS server, and a class that blocks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The server of motor records and the classes lie beside the tests of the drivers.
sys.path.append(str(Path(__file__).parents[1] / "drivers"))

import epics_server
from rest_lab import Authority, Person, ok, refused, running, until

pytestmark = pytest.mark.epics

LAB = """
[equipment.stage_z]
driver = "python"
[equipment.stage_z.options]
object = "ophyd:EpicsMotor"
arguments = { prefix = "sim:slow", name = "stage_z" }
address = "sim:slow on port PORT"
kind = "motor"
units = "mm"
low = 0.0
high = 50.0
open = "wait_for_connection"
close = "destroy"
stop = "stop"
concurrent = true
[equipment.stage_z.options.readings]
position = { get = "position", type = "number" }
moving = { get = "moving", type = "boolean" }
target = { get = "user_setpoint.get", type = "number" }
[equipment.stage_z.options.control.move_to]
call = "move"
fixed = { wait = false }
target = "position"
until = "rest"
answers = "position"
parameters = { position = { type = "number" } }
[equipment.stage_z.options.control.set_velocity]
call = "velocity.put"
parameters = { value = { type = "number", units = "mm/s", low = 0.1, high = 20.0 } }
[equipment.stage_z.options.observe.velocity]
get = "velocity.get"
type = "number"
units = "mm/s"
[equipment.stage_z.options.observe.limits]
get = "limits"

[equipment.press]
driver = "python"
[equipment.press.options]
object = "bench:Stage"
arguments = { port = "COM4 of PORT" }
stop = "stop"
readings.position = { get = "position", type = "number" }
readings.moving = { get = "is_moving", type = "boolean" }
observe.field = { get = "field", type = "number", units = "T" }
[equipment.press.options.control.move_to]
call = "move"
target = "position"
answers = "position"
parameters = { position = { type = "number" } }
"""


@pytest.fixture(scope="module")
def ioc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[epics_server.EpicsServer]:
    with epics_server.serving(epics_server.OURS, tmp_path_factory.mktemp("epics") / "ioc.log") as server:
        yield server


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, ioc: epics_server.EpicsServer) -> Iterator[Authority]:
    path = os.pathsep.join([str(Path(epics_server.__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**ioc.client_environment(), "OPHYD_CONTROL_LAYER": "caproto", "PYTHONPATH": path}
    with running(tmp_path_factory.mktemp("lab"), lab=LAB.replace("PORT", str(ioc.port)), env=env) as authority:
        until(lambda: readback(authority)["connected"], "ophyd finds the record")
        yield authority


def readback(lab: Authority, equipment: str = "stage_z") -> dict[str, object]:
    found: dict[str, object] = lab.status(equipment)["readback"]
    return found


def test_ophyds_motor_moves_in_view_of_all_and_answers_where_it_arrived(lab: Authority, ann: Person) -> None:
    """DRV-40, DRV-43"""
    ann.has("stage_z")
    ok(ann.command("set_velocity", "stage_z", value=10.0))
    answer = ok(ann.command("move_to", "stage_z", position=3.0))
    assert (answer["outcome"], answer["data"]) == ("done", pytest.approx(3.0))
    seen = readback(lab)
    assert (seen["position"], seen["target"], seen["units"]) == (pytest.approx(3.0), 3.0, "mm")
    ok(ann.command("set_velocity", "stage_z", value=1.0))


def test_an_observer_is_answered_and_moves_nothing(lab: Authority, ann: Person) -> None:
    """DRV-40, DRV-46"""
    ok(ann.acquire("stage_z", lock_mode="observer"))
    assert ok(ann.command("velocity", "stage_z"))["data"] > 0
    assert ok(ann.command("limits", "stage_z"))["data"] == [0.0, 100.0]
    refused(ann.command("move_to", "stage_z", position=1.0), 403, "lock_required")


def test_another_user_stops_ophyds_motor_during_its_move(lab: Authority, ann: Person, bob: Person) -> None:
    """DRV-10, DRV-43"""
    ann.has("stage_z")
    ann.begins("move_to", "stage_z", "far", position=49.0)
    until(lambda: readback(lab)["moving"], "it moves")
    assert ok(bob.stop("stage_z"))["outcome"] == "stopped"
    answer = ok(ann.command("move_to", "stage_z", "far", position=49.0))
    assert answer["outcome"] == "stopped"
    assert "stopped at " in answer["error"]
    until(lambda: not readback(lab)["moving"], "it rests")
    assert readback(lab)["position"] < 40


def test_a_target_beyond_the_lab_files_limits_never_reaches_the_record(lab: Authority, ann: Person) -> None:
    """DRV-3, DRV-32"""
    ann.has("stage_z")
    before = readback(lab)["target"]
    body = refused(ann.command("move_to", "stage_z", position=50.5), 422, "outside_limits")
    assert "50.5 mm is outside the limits 0 to 50 mm" in body["detail"]
    assert readback(lab)["target"] == before


def test_a_blocking_move_is_seen_and_stopped_by_another_user(lab: Authority, ann: Person, bob: Person) -> None:
    """DRV-41, DRV-42, DRV-43"""
    ann.has("press")
    ann.begins("move_to", "press", "far", position=1000.0)
    until(lambda: readback(lab, "press")["moving"], "it moves")
    assert ok(bob.stop("press"))["outcome"] == "stopped"
    assert ok(ann.command("move_to", "press", "far", position=1000.0))["outcome"] == "stopped"
    until(lambda: not readback(lab, "press")["moving"], "it rests")


@pytest.mark.slow
def test_a_record_that_is_lost_is_found_again_and_the_lock_is_kept(
    lab: Authority, ann: Person, ioc: epics_server.EpicsServer
) -> None:
    """DRV-7, DRV-44"""
    ann.has("stage_z")
    ioc.kill()
    try:
        until(lambda: not readback(lab)["connected"], "the loss is seen")
        refused(ann.command("move_to", "stage_z", position=1.0), 503, "driver_unavailable")
    finally:
        ioc.start()
    until(lambda: readback(lab)["connected"], "the record is found again")
    assert lab.status("stage_z")["session_id"] == ann.session_id
    assert ok(ann.command("move_to", "stage_z", position=1.0))["data"] == pytest.approx(1.0)
