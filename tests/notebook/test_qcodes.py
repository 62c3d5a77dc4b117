"""The QCoDeS parameter in real measurements, on a real authority with a simulated motor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from qcodes.dataset import (
    LinSweep,
    Measurement,
    connect,
    dond,
    load_or_create_experiment,
)
from qcodes.dataset.experiment_container import Experiment
from qcodes.parameters import Parameter
from qcodes.station import Station
from real_lab import PATIENCE_S, Authority
from typed import wait_until

from jupyter_motorlock import CommandStopped, Connection, Handle, Interrupted, LockLost

LAB = """
[equipment.stage-x]
driver = "simulated-motor"
options = { velocity = 500.0 }

[equipment.slow]
driver = "simulated-motor"
options = { velocity = 2.0 }
"""


@pytest.fixture(scope="module")
def authority(one_authority: Authority) -> Authority:
    return one_authority


@pytest.fixture
def stage(ann: Connection) -> Handle:
    return ann.lock("stage-x", note="scan 12")


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    """An experiment in a database of its own."""
    connection = connect(tmp_path / "data.db")
    made = load_or_create_experiment("scans", sample_name="gold", conn=connection)
    assert isinstance(made, Experiment)
    yield made
    connection.close()


def test_it_is_a_parameter_with_unit_label_and_limits(stage: Handle) -> None:
    """NB-78"""
    here = stage.qcodes()
    assert isinstance(here, Parameter)
    assert here is stage.qcodes()
    assert (here.name, here.label, here.unit) == ("stage_x", "stage-x", "mm")
    here(12.5)
    assert here() == stage.position() == 12.5
    assert type(here()) is float
    with pytest.raises(ValueError, match=r"500 is invalid: must be between 0\.0 and 100\.0"):
        here(500)
    assert stage.position() == 12.5


def test_a_measurement_has_the_positions(stage: Handle, experiment: Experiment) -> None:
    """NB-78"""
    here = stage.qcodes()
    signal = Parameter("signal", get_cmd=lambda: 2 * here.get_latest(), set_cmd=None)
    measurement = Measurement(exp=experiment)
    measurement.register_parameter(here)
    measurement.register_parameter(signal, setpoints=[here])
    with measurement.run() as saver:
        for target in (1.0, 2.0, 3.0):
            here(target)
            saver.add_result((here, here()), (signal, signal()))
    kept = saver.dataset.get_parameter_data()["signal"]
    assert list(kept["stage_x"]) == [1, 2, 3]
    assert list(kept["signal"]) == [2, 4, 6]
    assert saver.dataset.paramspecs["stage_x"].unit == "mm"


def test_a_sweep_waits_for_the_motor_at_every_point(stage: Handle, experiment: Experiment) -> None:
    """NB-78"""
    here = stage.qcodes()
    moving = Parameter("moving", get_cmd=lambda: float(stage.reading.moving), set_cmd=None)
    dataset, _, _ = dond(LinSweep(here, 0, 5, 6), moving, exp=experiment, show_progress=False, do_plot=False)
    kept = dataset.get_parameter_data()["moving"]
    assert list(kept["stage_x"]) == [0, 1, 2, 3, 4, 5]
    assert not any(kept["moving"])


def test_a_snapshot_says_who_moves_it_under_which_lock(stage: Handle, experiment: Experiment) -> None:
    """NB-78"""
    station = Station(stage.qcodes(), default=False)
    measurement = Measurement(exp=experiment, station=station)
    measurement.register_parameter(stage.qcodes())
    with measurement.run() as saver:
        pass
    snapshot = saver.dataset.snapshot
    assert snapshot is not None
    [kept] = [told for told in snapshot["station"]["parameters"].values() if told["full_name"] == "stage_x"]
    assert (kept["provenance"]["user"], kept["provenance"]["note"]) == ("ann", "scan 12")
    assert kept["provenance"]["fence"] == stage.lock["fence"]
    stage.release()
    assert stage.qcodes().snapshot()["provenance"] is None


def test_somebodys_stop_and_a_lost_lock_end_the_sweep_with_our_error(ann: Connection, authority: Authority) -> None:
    """NB-78"""
    slow, bob = ann.lock("slow"), authority.person("Bob")

    def interfere() -> None:
        wait_until(lambda: slow.reading.moving, "it moves")
        bob.stop(equipment_id="slow")

    acting = threading.Thread(target=interfere, daemon=True)
    acting.start()
    with pytest.raises(CommandStopped, match="Bob"):
        slow.qcodes()(90)
    acting.join()
    assert not slow.reading.moving
    bob.release(equipment_id="slow", force=True)
    with pytest.raises(LockLost, match="Bob"):
        slow.qcodes()(90)
    bob.leave()


WITHOUT_EXTRAS = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"bluesky", "qcodes", "event_model"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Without())
import jupyter_motorlock
with jupyter_motorlock.connect(sys.argv[1]).lock("stage-x") as stage:
    for make in (stage.bluesky, stage.qcodes):
        try:
            make()
        except jupyter_motorlock.UsageProblem as problem:
            print(problem)
"""


def test_an_interrupt_ends_the_sweep_at_once_and_keeps_what_was_measured(
    ann: Connection, authority: Authority, experiment: Experiment
) -> None:
    """NB-78 NB-65"""
    slow = ann.lock("slow")
    counter = Parameter("counts", get_cmd=lambda: 42)

    def click() -> None:
        wait_until(lambda: authority.status("slow")["readback"]["position"] > 1, "it moves on")
        os.kill(os.getpid(), signal.SIGINT)

    acting = threading.Thread(target=click)
    acting.start()
    with pytest.raises(Interrupted, match="You interrupted move_to of slow; slow was stopped"):
        dond(LinSweep(slow.qcodes(), 0, 90, 2), counter, show_progress=False, do_plot=False, exp=experiment)
    acting.join()
    assert authority.status("slow")["readback"]["position"] < 80
    assert experiment.last_data_set().number_of_results == 1


def test_without_the_extra_the_method_says_what_to_install(authority: Authority) -> None:
    """NB-79"""
    command = [sys.executable, "-c", WITHOUT_EXTRAS, authority.url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ran.stdout.splitlines() == [
        f'{name}() needs {name}: pip install "jupyter-motorlock[{name}]".' for name in ("bluesky", "qcodes")
    ], ran.stderr
