"""A real authority before a real EPICS server: a jog, which ends by a second message only, and what sends that one."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("caproto")

from epics_motors import Outsider
from epics_server import OURS, serving
from test_kill_authority import Client, Process, wait_for

pytestmark = pytest.mark.epics

X = "stage_x"
LAB = """
[equipment.stage_x]
driver = "epics-motor"
[equipment.stage_x.options]
prefix = "sim:slow"
high = 60.0
max_velocity = 5.0
"""


class Place:
    """The server, an authority that drives its slow motor, and Ann, who holds it."""

    def __init__(self, process: Process, outsider: Outsider) -> None:
        self.process, self.outsider = process, outsider
        self.client: Client = process.client()
        wait_for(lambda: self.status()["readback"]["connected"])
        self.ann = self.client.session("ann")
        assert self.client.acquire(self.ann, X)[0] == 200

    def kill_and_start_again(self) -> None:
        self.process.end(signal.SIGKILL)
        self.client.close()
        assert self.moves()  # nobody has told it otherwise: this is what the restart is for
        self.process.start()
        self.client = self.process.client()

    def status(self) -> Any:
        return self.client.call("GET", f"/locks/status/{X}")[1]

    def command(self, action: str, wait_seconds: float, key: str, **parameters: object) -> tuple[int, Any]:
        body = {
            "command_id": key, "equipment_id": X, "session_id": self.ann, "action": action, "parameters": parameters,
            "wait_seconds": wait_seconds,
        }  # fmt: skip
        status, answer = self.client.raw("POST", f"/equipment/{X}/command", body, key)
        return status, json.loads(answer)

    def moves(self) -> bool:
        return self.outsider.read("sim:slow.MOVN") == 1


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with serving(OURS, tmp_path / "ioc.log"):
        outsider = Outsider()
        (tmp_path / "lab.toml").write_text(LAB, encoding="utf-8")
        process = Process(tmp_path)
        place = Place(process, outsider)
        yield place
        place.client.close()
        process.end(signal.SIGTERM)
        outsider.close()


def test_a_jog_during_which_the_authority_is_killed_is_stopped_at_its_restart(place):
    """SAFE-4, STORE-4"""
    assert place.command("jog", 0, "k1", direction="forward", seconds=0)[1]["outcome"] == "running"
    wait_for(place.moves)
    place.kill_and_start_again()
    wait_for(lambda: not place.moves())
    assert place.outsider.read("sim:slow.JOGF") == 0
    assert place.outsider.read("sim:slow.RBV") < 50
    wait_for(lambda: place.status()["readback"]["connected"])
    assert place.command("jog", 30, "k1", direction="forward", seconds=0)[1]["outcome"] == "unknown"
    assert not place.moves()


def test_anybody_stops_a_jog_and_what_is_beyond_the_limits_is_refused(place):
    """DRV-10, DRV-13, DRV-22, STOP-1"""
    assert place.command("jog", 0, "k1", direction="forward", seconds=0)[1]["outcome"] == "running"
    wait_for(place.moves)
    status, answer = place.client.call("POST", f"/equipment/{X}/stop", {"user": "cem"})
    assert (status, answer["delivered"]) == (200, True)
    assert place.command("jog", 30, "k1", direction="forward", seconds=0)[1]["outcome"] == "stopped"
    wait_for(lambda: not place.moves())
    place.client.call("POST", f"/equipment/{X}/resume", {"session_id": place.ann})
    for action, parameters in (
        ("jog", {"direction": "reverse", "seconds": 1}), ("set_velocity", {"velocity": 6}),
        ("tweak", {"direction": "forward", "step": 61}),
    ):  # fmt: skip
        status, problem = place.command(action, 30, action, **parameters)
        assert (status, problem["code"]) == (422, "outside_limits"), problem
    assert place.outsider.read("sim:slow.VELO") == 1.0
