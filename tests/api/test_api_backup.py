"""A copy of the data that is taken while the authority serves, and served itself afterwards."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rest_lab import PATIENCE_S, ROOT, ok, running


def back_up(target: Path, data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "authority", "backup", str(target), "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, cwd=ROOT)


def test_a_backup_is_taken_while_commits_go_on_and_is_served_like_the_data_itself(tmp_path: Path) -> None:
    """RUN-35, STORE-3"""
    copied = tmp_path / "restored" / "data"
    with running(tmp_path / "lab") as lab:
        ann, bob = lab.person("ann"), lab.person("bob")
        lock = ann.has("stage_x", note="scan")
        ok(bob.acquire("stage_x", queue_if_busy=True))
        before = lab.events("stage_x")
        ended = threading.Event()

        def go_on() -> None:
            while not ended.is_set():
                ok(bob.acquire("stage_y"))
                ok(bob.release("stage_y"))

        busy = threading.Thread(target=go_on)
        busy.start()
        done = back_up(copied, lab.data)
        ended.set()
        busy.join(PATIENCE_S)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith(f"is a copy of the data in {lab.data}.\n")
        assert ok(lab.send("GET", "/health"))["status"] == "ok"
    assert [path.name for path in copied.iterdir()] == ["motorlock.sqlite3"]
    assert stat.S_IMODE((copied / "motorlock.sqlite3").stat().st_mode) == 0o600
    with running(tmp_path / "restored") as restored:
        status = restored.status("stage_x")
        assert (status["lock_id"], status["fence"], status["holder"]["note"]) == (lock["lock_id"], 1, "scan")
        assert [entry["session_id"] for entry in status["queue"]] == [bob.session_id]
        assert restored.events("stage_x")[: len(before)] == before


@pytest.mark.parametrize("wrong", ["no data", "not empty", "a file in the way"])
def test_what_cannot_be_backed_up_is_one_sentence_and_leaves_everything_as_it_is(tmp_path: Path, wrong: str) -> None:
    """RUN-35"""
    data, target = tmp_path / "data", tmp_path / "copy"
    data.mkdir()
    if wrong != "no data":
        (data / "motorlock.sqlite3").write_bytes(b"")
    if wrong == "not empty":
        target.mkdir()
        (target / "notes.txt").write_text("mine")
    if wrong == "a file in the way":
        target.write_text("mine")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    done = back_up(target, data)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.endswith(".\n")
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_backup_that_fails_on_the_way_leaves_no_part_of_a_copy(tmp_path: Path) -> None:
    """RUN-35"""
    data, target = tmp_path / "data", tmp_path / "copy"
    data.mkdir()
    (data / "motorlock.sqlite3").write_bytes(b"this is no database at all" * 1000)
    done = back_up(target, data)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert list(target.iterdir()) == []


def test_on_restored_data_the_first_login_moves_a_motor_that_remembers_higher_fences(tmp_path: Path) -> None:
    """STORE-19, DRV-14, LOCK-8"""
    lab_file = f"""
        [equipment.stage_x]
        driver = "simulated-motor"
        [equipment.stage_x.options]
        record = "{tmp_path / "record"}"
        velocity = 1000.0
    """
    with running(tmp_path / "lab", lab=lab_file) as lab:
        ann = lab.person("ann")
        ann.has("stage_x")
        copied = tmp_path / "restored" / "data"
        assert back_up(copied, lab.data).returncode == 0
        for _ in range(5):
            ok(ann.release("stage_x"))
            ann.has("stage_x")
        assert ok(ann.command("move_to", position=1.0))["success"] is True
        assert lab.status("stage_x")["fence"] == 6
    with running(tmp_path / "restored", lab=lab_file) as restored:
        bob = restored.person("bob")
        assert restored.status("stage_x")["fence"] == 7, "6 was given to another lock"
        ok(bob.release("stage_x", force=True))
        assert bob.has("stage_x")["fence"] == 8
        assert ok(bob.command("move_to", position=2.0))["success"] is True
        (raised,) = [event for event in restored.events("stage_x") if event["event"] == "fence_raised"]
        assert raised["fence"] == 7
