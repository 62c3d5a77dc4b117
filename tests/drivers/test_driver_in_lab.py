"""A stage in a process of its own, driven by a real authority through what a lab file says of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from record import check
from rest_lab import Authority, ok, refused, running, until
from stage_process import PATIENCE_S, ROOT, StageProcess

TABLE = (Path(__file__).parent / "stage_table.toml").read_text(encoding="utf-8")


def lab_file(driver: str, place: str) -> str:
    options = TABLE.replace("\n[", "\n[equipment.stage_z.options.")
    return f'[equipment.stage_z]\ndriver = "{driver}"\n[equipment.stage_z.options]\n{place}\n{options}'


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[StageProcess]:
    process = StageProcess(tmp_path, "--velocity", "10", "--pty")
    yield process
    process.close()


@pytest.fixture(params=["visa", "serial"])
def lab(request: pytest.FixtureRequest, tmp_path: Path, stage: StageProcess) -> Iterator[Authority]:
    place = f'resource = "{stage.resource}"' if request.param == "visa" else f'port = "{stage.terminal}"'
    with running(tmp_path / "lab", lab=lab_file(request.param, place)) as authority:
        until(lambda: readback(authority)["connected"], "the stage answers")
        yield authority


def readback(lab: Authority) -> dict[str, object]:
    found: dict[str, object] = lab.status("stage_z")["readback"]
    return found


def test_a_move_is_seen_stopped_by_somebody_else_and_taken_up_again(lab, stage):
    """DRV-30, DRV-34, DRV-37, STOP-6"""
    ann, bob = lab.person("Ann"), lab.person("Bob")
    lock = ann.has("stage_z")
    ann.begins("move_to", "stage_z", "k1", position=90)
    shown = until(lambda: (r := readback(lab)) and r["moving"] and r["position"] > 1 and r, "it moves")
    assert (shown["target"], shown["velocity"], shown["units"]) == (90.0, 10.0, "mm")
    assert ok(bob.stop("stage_z"))["delivered"] is True
    answer = ok(ann.command("move_to", "stage_z", "k1", position=90))
    assert (answer["outcome"], answer["success"]) == ("stopped", False)
    assert answer["error"].startswith("Bob stopped stage_z (stopped at ")
    until(lambda: not readback(lab)["moving"], "it stands")
    refused(ann.command("move_to", "stage_z", position=1), 409, "stopped_by")
    ok(ann.post("/equipment/stage_z/resume"))
    assert ok(ann.command("move_to", "stage_z", position=readback(lab)["position"] + 1))["success"] is True
    assert stage.told()[1] == "stop"
    assert {fact["fence"] for fact in stage.facts if "fence" in fact} == {lock["fence"]}
    check(stage.facts)


def test_what_must_not_be_sent_is_refused_and_the_stage_hears_nothing_of_it(lab, stage):
    """DRV-32, DRV-36, CMD-3"""
    ann = lab.person("Ann")
    ann.has("stage_z")
    body = refused(ann.command("move_to", "stage_z", position=200.5), 422, "outside_limits")
    assert body["detail"] == "stage_z: 200.5 mm is outside the limits 0 to 200 mm; it has not moved."
    refused(ann.command("move_by", "stage_z", distance=-1), 422, "outside_limits")
    refused(ann.command("set_velocity", "stage_z", velocity=51), 422, "outside_limits")
    for action in ("say", "ask"):
        body = refused(ann.command(action, "stage_z", words="MOVE 5;STOP"), 422, "invalid")
        assert body["errors"][0]["loc"] == ["body", "parameters", "words"]
    answer = ok(ann.command("move_to", "stage_z", position=150))
    assert (answer["outcome"], "150 mm is not from 0 to 100 mm" in answer["error"]) == ("failed", True)
    assert stage.told() == []


def test_a_stage_that_is_unplugged_keeps_its_holder_and_comes_back(tmp_path, stage):
    """DRV-6, DRV-7"""
    with running(tmp_path / "lab", lab=lab_file("visa", f'resource = "{stage.resource}"')) as lab:
        until(lambda: readback(lab)["connected"], "the stage answers")
        ann, bob = lab.person("Ann"), lab.person("Bob")
        lock = ann.has("stage_z")
        assert ok(ann.command("move_to", "stage_z", position=1))["success"] is True
        stage.kill()
        until(lambda: not readback(lab)["connected"], "the loss is noticed")
        body = refused(ann.command("move_to", "stage_z", position=2), 503, "driver_unavailable")
        assert stage.resource in body["detail"]
        refused(bob.acquire("stage_z"), 409, "equipment_in_use")
        assert lab.status("stage_z")["lock_id"] == lock["lock_id"]
        stage.start()
        until(lambda: ann.command("move_to", "stage_z", position=2).status_code == 200, "the stage answers again")
        assert (lab.status("stage_z")["fence"], readback(lab)["position"]) == (lock["fence"], 2.0)


def test_a_second_authority_on_the_same_port_says_so_and_ends_with_status_2(tmp_path, stage):
    """DRV-39, STORE-5"""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "stage").symlink_to(stage.terminal)
    second = tmp_path / "other" / "lab.toml"
    second.write_text(lab_file("serial", f'port = "{tmp_path}/other/stage"'), encoding="utf-8")
    with running(tmp_path / "lab", lab=lab_file("serial", f'port = "{stage.terminal}"')):
        command = [sys.executable, "-m", "authority", "serve", "--port", "0", "--config", str(second)]
        command += ["--data", str(tmp_path / "other" / "data")]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, cwd=ROOT, check=False)
    assert ended.returncode == 2
    assert f"serial:{stage.terminal} (stage_z) is in use by another authority" in ended.stderr
