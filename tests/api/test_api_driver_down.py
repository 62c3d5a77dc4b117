"""A driver that is down, that raises, and that hangs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rest_lab import Authority, Person, ok, refused, running, until


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, place: Path) -> Iterator[Authority]:
    text = f"""
    [equipment.flaky]
    driver = "tests.api.drivers:Flaky"
    options = {{ place = "{place}" }}
    [equipment.stage_x]
    driver = "simulated-motor"
    """
    with running(tmp_path_factory.mktemp("lab"), lab=text) as authority:
        until(lambda: authority.status("flaky")["readback"]["connected"], "the device answers")
        yield authority


@pytest.fixture
def unplugged(lab: Authority, place: Path) -> Iterator[Path]:
    """The device's cable is out until its file is removed."""
    cut = place / "unplugged"
    cut.touch()
    until(lambda: not lab.status("flaky")["readback"]["connected"], "the loss is noticed")
    yield cut
    cut.unlink(missing_ok=True)
    until(lambda: lab.status("flaky")["readback"]["connected"], "the device answers again")


def test_while_a_driver_is_down_its_commands_are_503_and_the_lock_is_kept(
    lab: Authority, ann: Person, unplugged: Path
) -> None:
    """DRV-6"""
    lock = ann.has("flaky")
    for action, parameters in [("move_to", {"position": 1}), ("position", {})]:
        body = refused(ann.order({"action": action, "parameters": parameters}, "flaky"), 503, "driver_unavailable")
        assert body["detail"] == "flaky cannot be reached now (the cable is out); locks are kept, try again."
    status = lab.status("flaky")
    assert (status["lock_id"], status["readback"]["connected"]) == (lock["lock_id"], False)
    assert status["readback"]["error"] == "the cable is out"
    device = ok(lab.get("/equipment/flaky/status"))
    assert (device["connected"], device["error"]) == (False, "the cable is out")


def test_other_equipment_is_not_affected_by_a_driver_that_is_down(lab: Authority, ann: Person, unplugged: Path) -> None:
    """DRV-6"""
    ann.has("stage_x")
    assert ok(ann.command("home"))["success"] is True


def test_parameters_are_checked_before_the_driver(ann: Person, unplugged: Path) -> None:
    """REST-4"""
    ann.has("flaky")
    refused(ann.command("move_to", "flaky", position="far"), 422, "invalid")


def test_a_driver_that_was_down_is_opened_again_until_it_answers_and_the_lock_is_still_held(
    lab: Authority, ann: Person, unplugged: Path
) -> None:
    """DRV-7 DRV-6"""
    ann.has("flaky")
    unplugged.unlink()
    until(lambda: lab.status("flaky")["readback"]["connected"], "the device answers again")
    assert ok(ann.command("move_to", "flaky", position=2))["data"] == 2


def test_a_stop_that_cannot_be_delivered_says_so(lab: Authority, bob: Person, unplugged: Path) -> None:
    """STOP-4, STOP-20"""
    answer = ok(bob.stop("flaky"))
    assert (answer["success"], answer["delivered"], answer["outcome"]) == (False, False, "stop_not_delivered")
    assert answer["error"] == "the cable is out"
    event = lab.events("flaky")[-1]
    assert (event["delivered"], event["error"]) == (False, "the cable is out")
    until(lambda: '"delivered":false,"error":"the cable is out"' in lab.log, "the log says why")


def test_a_stop_is_answered_also_while_the_driver_hangs_in_it(lab: Authority, bob: Person, place: Path) -> None:
    """STOP-4 STOP-3"""
    (place / "jammed").touch()
    try:
        assert ok(bob.stop("flaky"))["outcome"] == "stop_not_delivered"
    finally:
        (place / "jammed").unlink()
    assert ok(bob.stop("flaky"))["outcome"] == "stopped"


def test_a_driver_that_raises_fails_its_command_with_its_own_sentence_and_the_lock_is_kept(
    lab: Authority, ann: Person
) -> None:
    """CMD-17 CMD-12"""
    ann.has("flaky")
    answer = ok(ann.command("break_down", "flaky"))
    assert (answer["success"], answer["outcome"], answer["data"]) == (False, "failed", None)
    assert answer["error"] == "the limit switch is on"
    assert lab.status("flaky")["session_id"] == ann.session_id


def test_a_blocking_driver_is_stopped_in_the_middle_of_a_call(lab: Authority, ann: Person, bob: Person) -> None:
    """STOP-3 DRV-2 DRV-10"""
    ann.has("flaky")
    ann.begins("crawl", "flaky", "k")
    assert ok(ann.command("position", "flaky"))["success"] is True
    assert ok(bob.stop("flaky"))["delivered"] is True
    assert ok(ann.command("crawl", "flaky", "k"))["outcome"] == "stopped"


def test_an_observe_command_that_hangs_is_answered_within_wait_seconds(
    lab: Authority, ann: Person, bob: Person
) -> None:
    """CMD-12 CMD-13"""
    ann.has("flaky")
    answer = ok(ann.order({"action": "stare", "wait_seconds": 0.1}, "flaky"), 202)
    assert (answer["outcome"], answer["success"], answer["data"]) == ("running", True, None)
    ok(bob.stop("flaky"))
    until(lambda: ann.command("position", "flaky").status_code == 200, "the driver answers again")


def test_an_observe_command_that_outlasts_its_wait_is_waited_for_again_under_its_key_and_not_begun_again(
    lab: Authority, ann: Person, bob: Person
) -> None:
    """CMD-13 CMD-33"""
    ann.has("flaky")
    stare = {"action": "stare", "wait_seconds": 0, "command_id": "c"}
    assert ok(ann.order(stare, "flaky", "k"), 202)["outcome"] == "running"
    assert ok(ann.order(stare, "flaky", "k"), 202)["outcome"] == "running"
    refused(ann.order({**stare, "action": "position"}, "flaky", "k"), 422, "idempotency_mismatch")
    ok(bob.stop("flaky"))  # which ends one stare; a second would go on behind it
    told = ok(ann.order({**stare, "wait_seconds": 10}, "flaky", "k"))
    assert (told["outcome"], told["data"]) == ("done", lab.status("flaky")["readback"]["position"])
    past = {"session_id": ann.session_id, "wait_seconds": "0"}
    assert ok(lab.get("/equipment/flaky/command", params=past, headers={"Idempotency-Key": "k"})) == told
    assert ok(ann.order({"action": "position", "wait_seconds": 10}, "flaky"))["outcome"] == "done"


def test_a_driver_that_answers_what_is_no_json_harms_only_its_own_command(lab: Authority, ann: Person) -> None:
    """CMD-17 DRV-6"""
    ann.has("flaky")
    answer = ann.command("mumble", "flaky")
    assert answer.status_code == 200, answer.text
    assert ok(lab.send("GET", "/health"))["status"] == "ok"
    assert ok(ann.command("move_to", "flaky", position=1))["success"] is True
