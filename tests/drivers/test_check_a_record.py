"""`motorlock check --connect` on a real motor record."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import epics_server
import pytest

ROOT = Path(__file__).parents[2]
LAB = """
[equipment.stage_x]
driver = "epics-motor"
options = {{ prefix = "{prefix}", connect_timeout_s = {timeout_s} }}
"""


def check(place: Path, prefix: str, *arguments: str, timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
    (place / "lab.toml").write_text(LAB.format(prefix=prefix, timeout_s=timeout_s), encoding="utf-8")
    command = [sys.executable, "-m", "authority", "check", str(place / "lab.toml"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)


@pytest.mark.epics
def test_limits_and_units_are_those_of_the_record_once_it_is_reached(
    ioc: epics_server.EpicsServer, tmp_path: Path
) -> None:
    """RUN-19"""
    before = check(tmp_path, "sim:m1").stdout
    assert "nothing bounds position of move_to and distance of move_by, as far as is known before" in before
    found = check(tmp_path, "sim:m1", "--connect")
    assert found.returncode == 0, found.stderr
    assert "  reads     position " in found.stdout
    assert "position: a number in mm within the limits " in found.stdout
    assert "nothing bounds" not in found.stdout


@pytest.mark.epics
def test_a_record_that_nobody_serves_is_told(ioc: epics_server.EpicsServer, tmp_path: Path) -> None:
    """RUN-19"""
    found = check(tmp_path, "sim:none", "--connect", timeout_s=0.5)
    assert (found.returncode, found.stderr) == (1, "motorlock: 1 of 1 cannot be reached.\n")
    assert "  reads     NOTHING, it cannot be reached: " in found.stdout
