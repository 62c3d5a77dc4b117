"""LabLink's seven settings, each tested by what it changes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rest_lab import Authority, running

from authority.settings import Misconfigured, load


@contextmanager
def told(place: Path, **settings: str) -> Iterator[Authority]:
    with running(place, env=settings) as authority:
        yield authority


def test_with_locks_switched_off_everybody_may_drive_and_the_authority_warns(tmp_path: Path) -> None:
    """REST-21"""
    with told(tmp_path, LABLINK_ENABLE_EQUIPMENT_LOCKS="false") as lab:
        ann, bob = lab.person("ann"), lab.person("bob")
        ann.has("stage_x")
        assert bob.command("move_to", position=1.0).json()["outcome"] == "done"
        order = {"command_id": "c", "equipment_id": "stage_x", "action": "position", "parameters": {}}
        assert lab.post("/equipment/stage_x/command", order).json()["data"] == 1.0
        assert lab.send("GET", "/health").json()["locks_enabled"] is False
        assert "locks are switched off: everybody may drive everything" in lab.log


def test_a_lock_and_a_session_that_name_no_timeout_get_the_labs(tmp_path: Path) -> None:
    """REST-22 REST-23"""
    with told(tmp_path, LABLINK_LOCK_TIMEOUT_SEC="77", LABLINK_SESSION_TIMEOUT_SEC="88") as lab:
        session = lab.post("/locks/sessions/create", {}).json()
        assert 87 < session["time_remaining"] <= 88
        asked = {"equipment_id": "stage_x", "session_id": session["session_id"]}
        assert lab.post("/locks/acquire", asked).json()["lock"]["timeout_seconds"] == 77
        assert lab.post("/locks/acquire", asked | {"timeout_seconds": 5}).json()["lock"]["timeout_seconds"] == 5


def test_with_the_queue_switched_off_a_busy_equipment_refuses_who_would_wait(tmp_path: Path) -> None:
    """REST-24"""
    with told(tmp_path, LABLINK_ENABLE_LOCK_QUEUE="false") as lab:
        lab.person("ann").has("stage_x")
        refused = lab.person("bob").acquire("stage_x", queue_if_busy=True)
        assert (refused.status_code, refused.json()["code"]) == (409, "queue_disabled")
        assert lab.person("cem").acquire("stage_y", queue_if_busy=True).json()["status"] == "locked"


def test_with_observing_switched_off_no_observer_lock_is_given(tmp_path: Path) -> None:
    """REST-25"""
    with told(tmp_path, LABLINK_ENABLE_OBSERVER_MODE="false") as lab:
        refused = lab.person("ann").acquire("stage_x", lock_mode="observer")
        assert (refused.status_code, refused.json()["code"]) == (409, "observing_disabled")


def test_without_release_on_disconnect_the_lock_of_an_ended_session_stays_and_nobody_commands_under_it(
    tmp_path: Path,
) -> None:
    """REST-26"""
    with told(tmp_path, LABLINK_AUTO_RELEASE_ON_DISCONNECT="false") as lab:
        ann, bob = lab.person("ann"), lab.person("bob")
        ann.has("stage_x")
        ann.begins("move_to", position=90.0)
        assert ann.leave().json()["locks_released"] == 0
        status = lab.status("stage_x")
        assert (status["state"], status["holder"]["user"]) == ("held", "ann")
        assert ann.command("move_to", position=1.0).status_code == 403
        assert bob.command("move_to", position=1.0).status_code == 403
        while lab.status("stage_x")["readback"]["moving"]:
            pass  # it is stopped all the same: nobody watches over it any more
        assert lab.status("stage_x")["readback"]["position"] < 90
        assert bob.release("stage_x", force=True).json()["status"] == "released"
        assert bob.acquire("stage_x").json()["status"] == "locked"


def test_lock_events_are_in_the_text_log_unless_that_is_switched_off(tmp_path: Path) -> None:
    """REST-27"""
    for said, expected in (("true", True), ("false", False)):
        with told(tmp_path / said, LABLINK_LOG_LOCK_EVENTS=said) as lab:
            lab.person("ann").has("stage_x")
            assert [e["event"] for e in lab.events("stage_x")] == ["lock_acquired"]
        assert ('"event":"lock_acquired"' in lab.log) is expected


@pytest.fixture
def lab_file(tmp_path: Path) -> Path:
    path = tmp_path / "lab.toml"
    path.write_text(
        '[authority]\nlock_timeout_sec = 1\n[equipment.stage_x]\ndriver = "simulated-motor"\n', encoding="utf-8"
    )
    return path


def test_a_setting_is_taken_from_motorlock_then_lablink_then_dotenv_then_the_lab_file(
    tmp_path: Path, lab_file: Path
) -> None:
    """REST-28"""

    def timeout(dotenv: str, **environ: str) -> int:
        written = tmp_path / ".env"
        written.write_text(dotenv, encoding="utf-8")
        settings = load(host=None, port=0, config=lab_file, data=tmp_path, environ=environ, dotenv=written)
        return settings.options.lock_timeout_s

    assert timeout("") == 1
    assert timeout("LABLINK_LOCK_TIMEOUT_SEC=2") == 2
    assert timeout("LABLINK_LOCK_TIMEOUT_SEC=2\nMOTORLOCK_LOCK_TIMEOUT_SEC=3") == 3
    assert timeout("MOTORLOCK_LOCK_TIMEOUT_SEC=3", LABLINK_LOCK_TIMEOUT_SEC="4") == 4
    both = {"LABLINK_LOCK_TIMEOUT_SEC": "4", "MOTORLOCK_LOCK_TIMEOUT_SEC": "5"}
    assert timeout("MOTORLOCK_LOCK_TIMEOUT_SEC=3", **both) == 5


def test_a_dotenv_that_is_another_users_or_everybodys_is_not_obeyed(tmp_path: Path, lab_file: Path) -> None:
    """WHO-19"""

    def mistakes(written: Path) -> tuple[str, ...]:
        with pytest.raises(Misconfigured) as refused:
            load(host=None, port=0, config=lab_file, data=tmp_path, environ={}, dotenv=written)
        return refused.value.mistakes

    written = tmp_path / ".env"
    written.write_text("MOTORLOCK_ENABLE_EQUIPMENT_LOCKS=false", encoding="utf-8")
    written.chmod(0o602)
    [mistake] = mistakes(written)
    assert mistake.startswith(f"{written} is another user's, or everybody can write it")
    if os.geteuid() == 0:
        written.chmod(0o600)
        os.chown(written, 65534, -1)
        [mistake] = mistakes(written)
        assert str(written) in mistake


def test_the_log_names_the_dotenv_that_settings_were_taken_from(tmp_path: Path) -> None:
    """WHO-19"""
    (tmp_path / ".env").write_text("MOTORLOCK_LOCK_TIMEOUT_SEC=3", encoding="utf-8")
    (tmp_path / ".env").chmod(0o600)
    command = [sys.executable, "-m", "authority", "serve", "--port", "0", "--data", str(tmp_path / "data")]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    _, log = process.communicate(timeout=30)
    assert f"settings were taken from {tmp_path / '.env'}, too" in log


def test_a_byte_order_mark_at_the_beginning_of_a_file_is_none_of_it(tmp_path: Path, lab_file: Path) -> None:
    """REST-28, REST-36"""
    secret = tmp_path / "token"
    for file, text in (
        (secret, "s3cret\r\n"),
        (tmp_path / ".env", "MOTORLOCK_LOCK_TIMEOUT_SEC=3\r\n"),
        (lab_file, f'[authority]\ntoken_file = "{secret}"\n[equipment.stage_x]\ndriver = "simulated-motor"\n'),
    ):
        file.write_text(f"\ufeff{text}", encoding="utf-8")
    settings = load(host=None, port=0, config=lab_file, data=tmp_path, environ={}, dotenv=tmp_path / ".env")
    assert (settings.token, settings.options.lock_timeout_s) == ("s3cret", 3)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("LABLINK_ENABLE_LOCK_QUEUE", "maybe", "LABLINK_ENABLE_LOCK_QUEUE must be true or false, not 'maybe'."),
        (
            "LABLINK_LOCK_TIMEOUT_SEC",
            "-1",
            "LABLINK_LOCK_TIMEOUT_SEC must be a whole number from 0 to 31536000, not -1; 0 is never.",
        ),
    ],
)
def test_a_setting_that_is_not_understood_is_named_with_what_it_may_be(
    name: str, text: str, sentence: str, tmp_path: Path
) -> None:
    """REST-28"""
    with pytest.raises(Misconfigured) as refused:
        load(host=None, port=0, config=None, data=tmp_path, environ={name: text}, dotenv=tmp_path / "none")
    assert str(refused.value) == sentence
