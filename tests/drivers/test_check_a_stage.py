"""`motorlock check --connect` on a stage that speaks SCPI, in a process of its own that writes down what it is told."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rest_lab import running, until
from stage_process import PATIENCE_S, ROOT, StageProcess
from test_driver_in_lab import lab_file


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[StageProcess]:
    process = StageProcess(tmp_path, "--velocity", "1", "--pty")
    yield process
    process.close()


@pytest.fixture(params=["visa", "serial"])
def lab(request: pytest.FixtureRequest, stage: StageProcess) -> str:
    place = f'resource = "{stage.resource}"' if request.param == "visa" else f'port = "{stage.terminal}"'
    return lab_file(request.param, place)


def check(place: Path, lab: str) -> subprocess.CompletedProcess[str]:
    (place / "check.toml").write_text(lab, encoding="utf-8")
    command = [sys.executable, "-m", "authority", "check", str(place / "check.toml"), "--connect"]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, cwd=ROOT, env=os.environ)


def reading(ran: subprocess.CompletedProcess[str]) -> str:
    [found] = [line for line in ran.stdout.splitlines() if line.startswith("  reads ")]
    return found.removeprefix("  reads     ")


def test_a_stage_is_read_while_it_moves_and_told_nothing(lab: str, stage: StageProcess, tmp_path: Path) -> None:
    """RUN-19"""
    stage.tell("MOVE 90")
    found = check(tmp_path, lab)
    assert (found.returncode, found.stderr) == (0, "")
    assert "target 90 mm, velocity 1 mm/s, moving, temperature " in reading(found)
    assert "position: a number in mm within the limits 0 to 200 mm" in found.stdout
    assert stage.ask("MOV?") == ["1"]
    assert stage.told() == ["move 90"]


def test_a_stage_that_never_answers_is_told(lab: str, stage: StageProcess, tmp_path: Path) -> None:
    """RUN-19"""
    stage.tell("SIM:HANG")
    found = check(tmp_path, lab)
    assert (found.returncode, found.stderr) == (1, "motorlock: 1 of 1 cannot be reached.\n")
    assert reading(found).startswith("NOTHING, it cannot be reached: ")


def test_a_stage_that_an_authority_drives_is_left_alone(lab: str, stage: StageProcess, tmp_path: Path) -> None:
    """RUN-19, STORE-5"""
    with running(tmp_path, lab=lab) as authority:
        until(lambda: authority.status("stage_z")["readback"]["connected"], "the stage answers")
        found = check(tmp_path, lab)
        assert found.returncode == 1
        assert reading(found).endswith(" (stage_z) is in use by another authority; stop that one first")
        assert authority.status("stage_z")["readback"]["connected"] is True
    assert check(tmp_path, lab).returncode == 0
