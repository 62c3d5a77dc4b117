"""The bluesky device with a real RunEngine, on a real authority with simulated motors."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.callbacks.best_effort import hinted_fields
from bluesky.plans import count, grid_scan, list_scan, rel_scan, scan
from bluesky.protocols import (
    Checkable,
    Configurable,
    HasHints,
    HasName,
    HasParent,
    Locatable,
    Movable,
    NamedMovable,
    Readable,
    Status,
    Stoppable,
)
from bluesky.run_engine import RunEngineInterrupted
from bluesky.simulators import check_limits
from bluesky.utils import FailedStatus, ProgressBarManager
from ophyd.sim import SynAxis, SynGauss
from real_lab import Authority
from typed import wait_until

import jupyter_motorlock
from jupyter_motorlock import (
    CommandStopped,
    Connection,
    Handle,
    LockLost,
    MotorlockError,
    StoppedBySomebody,
    UsageProblem,
)
from jupyter_motorlock.client.interrupt import INTERRUPTED
from jupyter_motorlock.extras.bluesky import MotorDevice

LAB = """
[equipment.stage_x]
driver = "simulated-motor"
options = { velocity = 500.0 }

[equipment.stage_y]
driver = "simulated-motor"
options = { velocity = 500.0 }

[equipment.slow]
driver = "simulated-motor"
options = { velocity = 2.0 }

[equipment.supply]
driver = "simulated-power-supply"

[equipment.stepper]
driver = "python"
[equipment.stepper.options]
object = "types:SimpleNamespace"
address = "device 1 of PROCESS"
arguments = { steps = 0, moving = false }
kind = "motor"
units = "steps"
low = 0
high = 5000
stop = "__repr__"
readings = { position = { get = "steps", type = "number" }, moving = { get = "moving", type = "boolean" } }
[equipment.stepper.options.control.move_to]
set = "steps"
target = "position"
parameters = { position = { type = "integer" } }

[equipment.within]
driver = "python"
[equipment.within.options]
object = "types:SimpleNamespace"
address = "device 2 of PROCESS"
arguments = { steps = 20, moving = false, name = "within" }
kind = "motor"
units = "steps"
low = 0
high = 100
stop = "__repr__"
readings = { position = { get = "steps", type = "number" }, moving = { get = "moving", type = "boolean" } }
[equipment.within.options.control.move_to]
set = "steps"
target = "position"
parameters = { position = { type = "integer", low = 10, high = 50 } }

[equipment.beyond]
driver = "python"
[equipment.beyond.options]
object = "types:SimpleNamespace"
address = "device 3 of PROCESS"
arguments = { steps = 20, moving = false, name = "beyond" }
kind = "motor"
units = "steps"
low = 0
high = 100
stop = "__repr__"
readings = { position = { get = "steps", type = "number" }, moving = { get = "moving", type = "boolean" } }
[equipment.beyond.options.control.move_to]
set = "steps"
target = "position"
parameters = { position = { type = "integer", low = -10, high = 500 } }

[equipment.unplugged]
driver = "python"
[equipment.unplugged.options]
object = "http.client:HTTPConnection"
arguments = { host = "127.0.0.1", port = 1 }
open = "connect"
kind = "motor"
stop = "close"
readings = { position = { get = "port", type = "number" }, moving = { get = "debuglevel", type = "boolean" } }
[equipment.unplugged.options.control.move_to]
set = "port"
target = "position"
parameters = { position = { type = "number" } }
"""


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture
def x(ann: Connection) -> Handle:
    return ann.lock("stage_x", note="scan 12")


@pytest.fixture
def slow(ann: Connection) -> Handle:
    return ann.lock("slow")


@pytest.fixture
def run_engine() -> Iterator[RunEngine]:
    logging.getLogger("bluesky").setLevel(logging.CRITICAL)
    made = RunEngine({"lab": "here"})
    yield made
    if made.state == "paused":
        made.abort()
    made.loop.call_soon_threadsafe(made.loop.stop)
    made._th.join()
    made.loop.close()


class Documents:
    """What a run tells those who subscribe."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, document: dict[str, Any]) -> None:
        self.told.append((name, document))

    def named(self, name: str) -> list[dict[str, Any]]:
        return [document for kind, document in self.told if kind == name]

    def data(self, key: str) -> list[float]:
        return [event["data"][key] for event in self.named("event")]


@pytest.fixture
def told(run_engine: RunEngine) -> Documents:
    documents = Documents()
    run_engine.subscribe(documents)
    return documents


@pytest.fixture
def detector() -> SynGauss:
    return SynGauss("det", SynAxis(name="motor"), "motor", center=0, Imax=1)


def test_the_device_is_what_bluesky_calls_a_named_movable_that_can_be_read_and_stopped(x: Handle) -> None:
    """NB-74"""
    device = x.bluesky()
    protocols = (Movable, NamedMovable, Readable, Stoppable, Locatable, Checkable, Configurable)
    for protocol in (*protocols, HasHints, HasName, HasParent):
        assert isinstance(device, protocol), protocol
    assert device is x.bluesky()
    assert (device.name, device.parent, device.hints) == ("stage_x", None, {"fields": ["stage_x"]})
    assert x.bluesky("sample").name == "sample"


def test_a_scan_has_the_positions_in_their_unit(
    x: Handle, run_engine: RunEngine, told: Documents, detector: SynGauss
) -> None:
    """NB-74"""
    before = dict(run_engine.md)
    run_engine(scan([detector], x.bluesky(), 0, 10, 11))
    assert told.data("stage_x") == pytest.approx(np.linspace(0, 10, 11))
    assert told.data("stage_x_setpoint") == pytest.approx(np.linspace(0, 10, 11))
    [descriptor] = told.named("descriptor")
    key = descriptor["data_keys"]["stage_x"]
    assert (key["source"], key["dtype"], key["units"], key["shape"]) == ("motorlock:stage_x", "number", "mm", [])
    assert key["limits"] == {"control": {"low": 0.0, "high": 100.0}}
    assert hinted_fields(descriptor) == ["det", "stage_x"]
    assert all(type(value) is float for value in told.data("stage_x"))
    assert {**run_engine.md, "scan_id": 0} == {**before, "scan_id": 0}
    assert told.named("stop")[0]["exit_status"] == "success"


def test_the_descriptor_of_a_run_says_who_made_it_under_which_lock(
    ann: Connection, x: Handle, authority: Authority, run_engine: RunEngine, told: Documents
) -> None:
    """NB-75"""
    run_engine(scan([], x.bluesky(), 0, 1, 2))
    x.release()
    ann.lock("stage_x")
    run_engine(scan([], x.bluesky(), 0, 1, 2))
    first, second = (descriptor["configuration"]["stage_x"] for descriptor in told.named("descriptor"))
    assert (first["data"]["stage_x_user"], first["data"]["stage_x_note"]) == ("ann", "scan 12")
    assert (second["data"]["stage_x_user"], second["data"]["stage_x_note"]) == ("ann", "")
    assert second["data"]["stage_x_fence"] == first["data"]["stage_x_fence"] + 1 == authority.status()["fence"]
    assert first["data"]["stage_x_lock_id"] != second["data"]["stage_x_lock_id"]
    assert first["data"]["stage_x_authority"] == authority.url
    assert first["data_keys"].keys() == first["data"].keys() == first["timestamps"].keys()
    assert first["data_keys"]["stage_x_fence"]["dtype"] == "integer"


def test_who_only_watches_records_a_position_and_no_provenance(
    ann: Connection, run_engine: RunEngine, told: Documents
) -> None:
    """NB-75"""
    run_engine(count([ann.watch("stage_x").bluesky()], 2))
    assert len(told.data("stage_x")) == 2
    assert told.named("descriptor")[0]["configuration"]["stage_x"]["data"] == {}


def test_lists_grids_and_relative_scans_go_where_they_should(
    x: Handle, ann: Connection, run_engine: RunEngine, told: Documents, detector: SynGauss
) -> None:
    """NB-74"""
    run_engine(list_scan([detector], x.bluesky(), [3, 1, 2]))
    assert told.data("stage_x") == [3, 1, 2]
    told.told.clear()
    y = ann.lock("stage_y").bluesky()
    run_engine(grid_scan([detector], y, 0, 1, 2, x.bluesky(), 0, 2, 3, snake_axes=True))
    assert list(zip(told.data("stage_y"), told.data("stage_x"), strict=True)) == [
        (0, 0), (0, 1), (0, 2), (1, 2), (1, 1), (1, 0),
    ]  # fmt: skip
    told.told.clear()
    run_engine(bps.mv(x.bluesky(), 5))
    run_engine(rel_scan([detector], x.bluesky(), -1, 1, 3))
    assert told.data("stage_x") == [4, 5, 6]
    assert x.position() == 5  # rel_scan goes back


def test_what_is_set_and_what_is_read_can_be_any_two_commands(
    ann: Connection, run_engine: RunEngine, told: Documents
) -> None:
    """NB-74"""
    supply = ann.lock("supply").bluesky("bias", move="set_voltage", read="get_voltage")
    run_engine(scan([], supply, 0, 2, 3))
    assert told.data("bias") == [0, 1, 2]
    assert told.named("descriptor")[0]["data_keys"]["bias"]["units"] == "V"


def test_a_motor_of_whole_steps_is_scanned_within_its_limits(
    ann: Connection, run_engine: RunEngine, told: Documents
) -> None:
    """NB-74 DRV-30"""
    stepper = ann.lock("stepper").bluesky()
    wait_until(lambda: ann.rows("stepper")[0]["position"] == 0, "it is connected")
    run_engine(scan([], stepper, 0, 1000, 3))
    assert told.data("stepper") == [0, 500, 1000]
    [descriptor] = told.named("descriptor")
    assert descriptor["data_keys"]["stepper"]["limits"] == {"control": {"low": 0, "high": 5000}}
    with pytest.raises(UsageProblem, match=r"position must be a whole number in steps, not 0\.5"):
        stepper.check_value(0.5)
    with pytest.raises(UsageProblem, match=r"may not go to 6000 steps; it may go to at least 0 and at most 5000 steps"):
        stepper.check_value(6000)


@pytest.mark.parametrize(("name", "low", "high"), [("within", 10, 50), ("beyond", 0, 100)])
def test_of_the_limits_of_a_parameter_and_of_the_equipment_the_tighter_hold(
    ann: Connection, name: str, low: int, high: int
) -> None:
    """NB-74"""
    device = ann.lock(name).bluesky()
    wait_until(lambda: ann.rows(name)[0]["position"] == 20, "it is connected")
    assert device.describe()[name]["limits"] == {"control": {"low": low, "high": high}}
    device.check_value(low)
    device.check_value(high)
    for wrong in (low - 1, high + 1):
        with pytest.raises(UsageProblem, match=f"it may go to at least {low} and at most {high} steps"):
            device.check_value(wrong)


def test_what_cannot_be_reached_is_not_recorded(ann: Connection, run_engine: RunEngine, told: Documents) -> None:
    """NB-74"""
    with pytest.raises(MotorlockError, match=r"^Where unplugged is cannot be told now: .+"):
        run_engine(count([ann.lock("unplugged").bluesky()]))
    assert told.named("event") == []


def test_what_cannot_be_scanned_is_said_in_one_sentence(x: Handle, ann: Connection) -> None:
    """NB-74"""
    supply = ann.lock("supply")
    with pytest.raises(UsageProblem, match=r"^supply has no command move_to; .*move=NAME, read=NAME\.$"):
        supply.bluesky()
    with pytest.raises(UsageProblem, match=r"say which command reads what set_voltage sets: read=NAME\.$"):
        supply.bluesky(move="set_voltage")
    with pytest.raises(UsageProblem, match=r"^stage_x cannot be read by home, a control command; name an observe"):
        x.bluesky(read="home")
    with pytest.raises(UsageProblem, match=r"^stage_x cannot be moved by home: only a control command"):
        x.bluesky(move="home")


@pytest.mark.usefixtures("run_engine")  # it brings the loop in which bluesky checks
def test_limits_can_be_checked_before_anything_moves(x: Handle, authority: Authority) -> None:
    """NB-74"""
    before = authority.events()
    check_limits(scan([], x.bluesky(), 0, 100, 5))
    with pytest.raises(
        UsageProblem, match=r"^stage_x may not go to 150 mm; it may go to at least 0 and at most 100 mm"
    ):
        check_limits(scan([], x.bluesky(), 50, 150, 3))
    assert authority.events() == before


def test_a_target_outside_the_limits_fails_the_plan_with_the_authoritys_sentence(
    x: Handle, run_engine: RunEngine, told: Documents
) -> None:
    """NB-76"""
    with pytest.raises(FailedStatus, match=r"stage_x: 500 mm is outside the limits 0 to 100 mm; it has not moved"):
        run_engine(scan([], x.bluesky(), 0, 500, 2))
    assert told.named("stop")[0]["exit_status"] == "fail"


def in_mid_move(authority: Authority, then: Callable[[], object], equipment_id: str = "slow") -> threading.Thread:
    """Do `then` in another thread once the equipment is on its way."""

    def act() -> None:
        wait_until(lambda: authority.status(equipment_id)["readback"]["moving"], "it moves")
        then()

    acting = threading.Thread(target=act, daemon=True)
    acting.start()
    return acting


def at_rest(authority: Authority, equipment_id: str = "slow") -> bool:
    status = authority.status(equipment_id)
    return not status["readback"]["moving"] and status["running"] is None


def test_somebodys_stop_fails_the_plan_with_the_sentence_and_nothing_moves_on(
    slow: Handle, authority: Authority, run_engine: RunEngine, told: Documents, detector: SynGauss
) -> None:
    """NB-76"""
    bob = authority.person("Bob")
    acting = in_mid_move(authority, lambda: bob.stop("the route is open", equipment_id="slow"))
    with pytest.raises(FailedStatus, match="Bob stopped slow") as failed:
        run_engine(rel_scan([detector], slow.bluesky(), 0, 50, 6))
    acting.join()
    assert isinstance(failed.value.__cause__, CommandStopped | StoppedBySomebody)
    assert at_rest(authority)
    assert told.named("stop")[0]["exit_status"] == "fail"
    slow.resume()
    bob.leave()


def test_a_lock_that_is_lost_in_mid_scan_fails_the_plan_and_the_next_holder_is_left_alone(
    slow: Handle, authority: Authority, run_engine: RunEngine, detector: SynGauss
) -> None:
    """NB-76 NB-77"""
    bob = authority.person("Bob")
    acting = in_mid_move(authority, lambda: bob.release(equipment_id="slow", force=True, reason="beam time is over"))
    device = slow.bluesky()
    told = "^Your lock on slow ended .* because Bob took it by force"
    with pytest.raises(FailedStatus, match=told) as failed:
        run_engine(scan([detector], device, 0, 50, 6))
    assert isinstance(failed.value.__cause__, LockLost)
    acting.join()
    wait_until(lambda: at_rest(authority), "it is at rest")
    with pytest.raises(FailedStatus, match="Bob") as failed:
        run_engine(scan([detector], device, 0, 50, 6))
    assert isinstance(failed.value.__cause__, LockLost)
    with jupyter_motorlock.connect(authority.url, user="Carol") as carol, carol.lock("slow") as hers:
        going = hers.bluesky().set(90)
        wait_until(lambda: hers.reading.moving, "it moves for Carol")
        device.stop(success=True)  # as bluesky does at the end of every plan
        assert not going.done
        assert hers.reading.moving
        hers.stop()
        assert isinstance(going.exception(30), CommandStopped)
    bob.leave()


@pytest.mark.parametrize("how", ["abort", "stop", "halt"])
def test_a_pause_stops_the_motor_and_so_do_abort_stop_and_halt(
    slow: Handle, authority: Authority, run_engine: RunEngine, told: Documents, how: str
) -> None:
    """NB-77"""
    slow.move_to(0)
    acting = in_mid_move(authority, lambda: run_engine.request_pause(defer=False))
    with pytest.raises(RunEngineInterrupted):
        run_engine(scan([], slow.bluesky(), 50, 60, 2))
    acting.join()
    assert run_engine.state == "paused"
    wait_until(lambda: at_rest(authority), "it is at rest")
    assert 0 < authority.status("slow")["readback"]["position"] < 50
    getattr(run_engine, how)()
    assert at_rest(authority)
    assert told.named("stop")[0]["exit_status"] == {"abort": "abort", "stop": "success", "halt": "abort"}[how]
    assert authority.status("slow")["holder"]["user"] == "ann"


def test_a_paused_scan_goes_on_to_where_it_was_going(
    ann: Connection, authority: Authority, run_engine: RunEngine, told: Documents
) -> None:
    """NB-77"""
    slow = ann.lock("slow")
    slow.move_to(0)
    acting = in_mid_move(authority, lambda: run_engine.request_pause(defer=False))
    with pytest.raises(RunEngineInterrupted):
        run_engine(scan([], slow.bluesky(), 2, 3, 2))
    acting.join()
    run_engine.resume()
    assert told.data("slow") == [2, 3]
    assert told.named("stop")[0]["exit_status"] == "success"


def test_one_interrupt_stops_the_motor_at_once_and_the_plan_pauses_and_can_go_on(
    slow: Handle, authority: Authority, run_engine: RunEngine, told: Documents, detector: SynGauss
) -> None:
    """NB-77 NB-67"""
    slow.move_to(0)
    before = len(authority.events("slow"))
    acting = in_mid_move(authority, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(RunEngineInterrupted):
        run_engine(list_scan([detector], slow.bluesky(), [4.0]))
    acting.join()
    assert at_rest(authority)
    assert authority.status("slow")["readback"]["position"] < 4
    assert told.data("slow") == []  # nothing is measured where the motor was stopped
    stops = [event["reason"] for event in authority.events("slow")[before:] if event["event"] == "stopped"]
    assert stops == [INTERRUPTED]
    run_engine.resume()
    assert told.data("slow") == [4.0]


def test_two_interrupts_pause_the_plan_and_stop_the_motor(
    slow: Handle, authority: Authority, run_engine: RunEngine
) -> None:
    """NB-77"""
    slow.move_to(0)

    def click() -> None:
        while run_engine.state == "running":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)  # bluesky counts only what comes apart

    acting = in_mid_move(authority, click)
    with pytest.raises(RunEngineInterrupted):
        run_engine(bps.mv(slow.bluesky(), 50))
    acting.join()
    wait_until(lambda: at_rest(authority), "it is at rest")
    run_engine.abort()
    assert authority.status("slow")["readback"]["position"] < 50


def test_a_stop_that_failed_a_move_says_so_and_one_that_was_planned_does_not(
    slow: Handle, authority: Authority
) -> None:
    """NB-77"""
    device = slow.bluesky()
    for success in (True, False):
        status = device.set(90)
        assert isinstance(status, Status)
        wait_until(lambda: authority.status("slow")["readback"]["moving"], "it moves")
        device.stop(success=success)
        assert status.exception(timeout=30) is None if success else isinstance(status.exception(30), CommandStopped)
        assert (status.done, status.success) == (True, success)


def test_a_stop_that_overtakes_the_move_still_ends_it(slow: Handle, authority: Authority) -> None:
    """NB-77"""
    device = slow.bluesky()
    for _ in range(20):
        status = device.set(90)
        device.stop()
        status.exception(timeout=30)
        assert at_rest(authority)


def test_the_end_of_a_scan_leaves_no_stop_in_the_history(
    x: Handle, authority: Authority, run_engine: RunEngine
) -> None:
    """NB-77"""
    x.move_to(0)
    seen = authority.events()[-1]["seq"]
    run_engine(scan([], x.bluesky(), 0, 5, 3))
    wait_until(lambda: not x.reading.moving, "it is at rest")
    assert [event["event"] for event in authority.events() if event["seq"] > seen and event["event"] == "stopped"] == []


def test_what_is_no_number_is_refused_before_anything_is_sent(x: Handle, authority: Authority) -> None:
    """NB-74"""
    before = authority.events()
    with pytest.raises(UsageProblem, match="position must be a number in mm, not 'far'"):
        x.bluesky().set("far")  # type: ignore[arg-type]  # what a beginner tries
    assert authority.events() == before


def test_a_status_calls_back_once_also_when_it_is_asked_late(x: Handle) -> None:
    """NB-74"""
    status = x.bluesky().set(3)
    early, late = threading.Event(), []
    status.add_callback(lambda _: early.set())
    assert early.wait(30)
    status.add_callback(late.append)
    assert late == [status]
    assert repr(status) == "move_to(3.0) of stage_x is over."


def test_the_progress_bar_of_bluesky_shows_the_move(
    slow: Handle, run_engine: RunEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    """NB-74"""
    slow.move_to(0)
    run_engine.waiting_hook = ProgressBarManager()
    run_engine(bps.mv(slow.bluesky(), 2))
    shown = capfd.readouterr()
    assert "slow" in shown.out + shown.err
    assert "mm" in shown.out + shown.err


def test_the_device_is_one_that_says_what_it_is(x: Handle, tmp_path: Path) -> None:
    device = x.bluesky()
    assert isinstance(device, MotorDevice)
    assert repr(device) == "stage_x (stage_x for bluesky)"
    assert device.locate().keys() == {"setpoint", "readback"}
