"""The driver of one's own in `examples`: found, limited, moved and stopped by a real authority."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rest_lab import ROOT, ok, refused, running, until

DRIVERS_PAGE = (ROOT / "docs" / "drivers.md").read_text(encoding="utf-8")
[LAB] = re.findall(r"```toml\n(.*?)```", DRIVERS_PAGE.partition("\n## A class of your own\n")[2], re.DOTALL)


@pytest.fixture
def lab(tmp_path: Path):
    with running(tmp_path / "lab", lab=LAB, env={"PYTHONPATH": str(ROOT / "examples")}) as authority:
        until(lambda: authority.status("my_stage")["readback"]["connected"], "the stage answers")
        yield authority


def test_a_class_of_ones_own_is_a_driver_where_its_methods_are_declared(lab):
    """DRV-1, CMD-1, DRV-3"""
    ann = lab.person("Ann")
    ann.has("my_stage")
    assert ok(ann.command("move_to", "my_stage", position=1))["data"] == 1.0
    answer = refused(ann.command("move_to", "my_stage", position=51), 422, "outside_limits")
    assert "51 mm is outside the limits 0 to 50 mm" in answer["detail"]


def test_a_stop_by_somebody_else_ends_its_move(lab):
    """STOP-1, DRV-10"""
    ann = lab.person("Ann")
    ann.has("my_stage")
    ann.begins("move_to", "my_stage", "key", position=50)
    until(lambda: lab.status("my_stage")["readback"]["moving"], "it moves")
    assert ok(lab.person("Bob").stop("my_stage"))["delivered"] is True
    answer = ok(ann.command("move_to", "my_stage", "key", position=50))
    assert answer["outcome"] == "stopped"
    assert "stopped at " in answer["error"]
