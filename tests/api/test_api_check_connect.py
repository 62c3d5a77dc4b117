"""`motorlock check --connect` reaches every device once, side by side, and moves nothing."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

from drivers import Flaky
from rest_lab import running, until
from test_api_check import check

from authority.connection_check import read_devices
from authority.equipment_settings import EquipmentSettings
from authority.ports import Readback
from authority.settings import load

LAB = """
[equipment.stage_x]
driver = "simulated-motor"
options = {{ record = "{place}/record", start = 2.5 }}

[equipment.cable]
driver = "drivers:Flaky"
options = {{ place = "{place}", address = "{place}/COM1" }}
"""


def test_what_each_device_reads_is_shown_and_nothing_was_moved(tmp_path: Path) -> None:
    """RUN-19"""
    found = check(tmp_path, LAB, "--connect")
    assert (found.returncode, found.stderr) == (0, "")
    stage, cable = found.stdout.split("\n\n")[1:]
    reads = "  reads     position 2.5 mm, target 2.5 mm, velocity 10 mm/s, at rest, low 0, high 100"
    assert reads in stage.splitlines()
    assert "  reads     position 0 mm, at rest" in cable.splitlines()
    told = [json.loads(line) for line in (tmp_path / "record").read_text(encoding="utf-8").splitlines()]
    assert [line["fact"] for line in told] == ["on"]


def test_a_device_that_cannot_be_reached_is_told_with_why_and_the_others_are_read(tmp_path: Path) -> None:
    """RUN-19"""
    (tmp_path / "unplugged").touch()
    found = check(tmp_path, LAB, "--connect")
    assert (found.returncode, found.stderr) == (1, "motorlock: 1 of 2 cannot be reached.\n")
    stage, cable = found.stdout.split("\n\n")[1:]
    assert "  reads     position 2.5 mm, " in stage
    assert "  reads     NOTHING, it cannot be reached: the cable is out" in cable.splitlines()


def test_a_device_that_an_authority_drives_is_left_alone(tmp_path: Path) -> None:
    """RUN-19, STORE-5"""
    with running(tmp_path, lab=LAB.replace("drivers:", "tests.api.drivers:").format(place=tmp_path)) as authority:
        until(lambda: authority.status("cable")["readback"]["connected"], "the device answers")
        found = check(tmp_path, LAB, "--connect")
        assert found.returncode == 1
        refused = f"The device {tmp_path}/COM1 (cable) is in use by another authority; stop that one first"
        assert f"  reads     NOTHING, it cannot be reached: {refused}" in found.stdout.splitlines()
        assert authority.status("cable")["readback"]["connected"] is True
    assert check(tmp_path, LAB, "--connect").returncode == 0


def test_nothing_is_opened_where_the_lab_file_has_a_mistake(tmp_path: Path) -> None:
    """RUN-19, RUN-14"""
    found = check(tmp_path, LAB.replace("start = 2.5", "start = 250.0"), "--connect")
    assert (found.returncode, found.stdout) == (2, "")
    assert not (tmp_path / "record").exists()


class Deaf(Flaky):
    """A motor whose connection is never made, and never refused."""

    def open(self) -> None:
        """Hang."""
        threading.Event().wait(30)


def test_a_device_that_never_answers_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    """RUN-19"""
    (tmp_path / "lab.toml").write_text(LAB.format(place=tmp_path), encoding="utf-8")
    stage, cable = load(host=None, port=0, config=tmp_path / "lab.toml", data=tmp_path, environ={}).equipment
    deaf = EquipmentSettings(cable.id, "deaf", Deaf(str(tmp_path)), None, cable.policy)

    async def read() -> dict[str, Readback]:
        async with read_devices((deaf, stage), deadline_s=0.2) as found:
            return {str(name): readback for name, readback in found.items()}

    found = asyncio.run(read())
    assert (found["stage_x"].connected, found["stage_x"].position) == (True, 2.5)
    assert found["cable"].error == "it did not answer within 0.2 s"
