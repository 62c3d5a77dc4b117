"""Why equipment stands as it does: one paragraph that a person at the bench can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rest_lab import Authority, Person, ok, refused, running, until


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, place: Path) -> Iterator[Authority]:
    text = f"""
    [equipment.stage_x]
    driver = "simulated-motor"
    options = {{ velocity = 5 }}
    [equipment.jammed]
    driver = "tests.api.drivers:Flaky"
    stop_seconds = 0.2
    options = {{ place = "{place}" }}
    """
    with running(tmp_path_factory.mktemp("lab"), lab=text) as authority:
        until(lambda: authority.status("jammed")["readback"]["connected"], "the device answers")
        yield authority


def why(lab: Authority, key: str = "stage_x") -> str:
    """The paragraph, with every length of time written as `T`."""
    text: str = ok(lab.get(f"/equipment/{key}/why"))["text"]
    return re.sub(r"\b[\d.]+ (s|min|h)( \d+ (s|min))?\b", "T", text)


def test_each_state_is_explained_in_one_paragraph(lab: Authority, ann: Person, bob: Person) -> None:
    """LOSS-21"""
    assert why(lab) == "stage_x is free: whoever asks first gets it."
    fence = ann.has("stage_x", note="map")["fence"]
    assert why(lab) == f'ann ("map") has had stage_x for T, fence {fence}. In T it is released unless ann uses it.'
    bob.acquire("stage_x", queue_if_busy=True)
    ann.order({"action": "move_to", "parameters": {"position": 90}, "wait_seconds": 0})
    until(lambda: lab.status()["readback"]["moving"], "it moves")
    assert re.fullmatch(
        rf'ann \("map"\) has had stage_x for T, fence {fence}. ann\'s move_to has run for T and is at [\d.]+ mm on the '
        r"way to 90 mm. bob is next; nobody else waits.",
        why(lab),
    )
    ok(lab.post("/equipment/stage_x/stop", {"user": "cem", "reason": "cable"}))
    until(lambda: lab.status()["running"] is None, "the command ends")
    assert "cem stopped it T ago (cable): nothing moves it until ann resumes or logs in again." in why(lab)
    ok(ann.post("/equipment/stage_x/resume"))
    ann.order({"action": "move_to", "parameters": {"position": 90}, "wait_seconds": 0})
    ann.release()
    assert re.match(
        r"stage_x passes on as soon as it is at rest: the lock of ann ended T ago because it was given back, and its "
        r"motion may end by itself, and is stopped in T. Nobody needs to do anything; everybody may stop it. ann's "
        r"move_to has run",
        why(lab),
    )
    ok(lab.post("/equipment/stage_x/stop", {}))
    until(lambda: lab.status()["holder"]["user"] == "bob", "bob's turn comes")
    assert f"bob has had stage_x for T, fence {fence + 1}, and has not claimed it yet." in why(lab)
    bob.release()
    assert why(lab) == (
        "stage_x is free: whoever asks first gets it. bob had it last; that lock ended T ago because it was given back."
    )


def test_a_fault_says_what_happened_who_had_it_and_who_can_clear_it(lab: Authority, ann: Person, place: Path) -> None:
    """LOSS-21, LOSS-7"""
    ann.has("jammed")
    ann.order({"action": "crawl", "parameters": {}, "wait_seconds": 0}, "jammed")
    until(lambda: lab.status("jammed")["running"], "it runs")
    (place / "jammed").touch()
    ok(lab.post("/locks/release", {"equipment_id": "jammed", "session_id": "any", "force": True, "reason": "smoke"}))
    until(lambda: lab.status("jammed")["state"] == "fault", "it does not come to rest")
    assert why(lab, "jammed").startswith(
        "jammed has been at fault for T: jammed did not come to rest within T of a stop. It is given to nobody to "
        "drive until a person with the right to has looked at it and clears the fault with a reason "
        "(motorlock clear-fault jammed --reason ...). ann had it last; that lock ended T ago because "
    )
    assert lab.status("jammed")["fault_at"] is not None
    (place / "jammed").unlink()
    ok(lab.post("/equipment/jammed/clear-fault", {"reason": "looked"}))
    assert why(lab, "jammed").startswith("jammed is free")
    assert lab.status("jammed")["fault_at"] is None


def test_a_device_that_cannot_be_reached_is_said(lab: Authority, place: Path) -> None:
    """LOSS-21, DRV-6"""
    (place / "unplugged").touch()
    until(lambda: not lab.status("jammed")["readback"]["connected"], "the loss is noticed")
    assert (
        "Its driver cannot reach it (the cable is out); it is tried again and again, and locks are kept. "
        "Last tried T ago."
    ) in why(lab, "jammed")
    (place / "unplugged").unlink()
    until(lambda: lab.status("jammed")["readback"]["connected"], "the device answers again")


def test_of_unknown_equipment_nothing_is_explained(lab: Authority) -> None:
    """REST-10"""
    refused(lab.get("/equipment/nope/why"), 404, "unknown_equipment")
