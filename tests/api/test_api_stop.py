"""STOP is everybody's: by whom, in which state, and what comes after."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from rest_lab import Authority, Person, ok, refused, until

People = Callable[..., Person]

MOTORS = 24
NOBODYS = "0b1c2d3e-4f50-4617-8a9b-acbdcedfe0f1"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"session_id": None},
        {"session_id": NOBODYS},
        {"user": "Cem"},
        {"reason": "the cable!"},
        None,
    ],
    ids=str,
)
def test_anybody_stops_a_running_command_and_it_ends_as_stopped(
    lab: Authority, ann: Person, motor: str, body: dict[str, object] | None
) -> None:
    """STOP-1 STOP-2 STOP-5"""
    ann.has(motor)
    ann.begins("move_to", motor, "k", position=100)
    answer = ok(lab.post(f"/equipment/{motor}/stop", body))
    delivered = {"success": True, "equipment_id": motor, "delivered": True, "outcome": "stopped", "error": None}
    assert answer == {**delivered, "recorded": True, "ignored": []}
    ended = ok(ann.command("move_to", motor, "k", position=100))
    assert (ended["success"], ended["outcome"], ended["data"]) == (False, "stopped", None)
    assert ended["error"]
    assert lab.status(motor)["readback"]["moving"] is False


def test_a_stop_may_come_without_any_body(lab: Authority, motor: str) -> None:
    """STOP-1"""
    assert ok(lab.send("POST", f"/api/equipment/{motor}/stop"))["delivered"] is True


def test_a_stop_of_equipment_that_nobody_holds_is_delivered_and_leaves_nothing_to_resume(
    lab: Authority, ann: Person, motor: str
) -> None:
    """STOP-1 STOP-9"""
    assert ok(ann.stop(motor, reason="to be sure"))["delivered"] is True
    assert lab.status(motor)["stopped_by"] is None
    event = lab.events(motor)[-1]
    assert (event["event"], event["by"], event["reason"], event["delivered"]) == ("stopped", "ann", "to be sure", True)


def test_a_stop_by_a_session_that_has_just_ended_is_that_of_an_unnamed_user(
    lab: Authority, person: People, ann: Person, motor: str
) -> None:
    """STOP-2"""
    bob = person("bob")
    ok(bob.leave())
    ann.has(motor)
    assert ok(bob.stop(motor))["delivered"] is True
    assert lab.status(motor)["stopped_by"]["user"] == "somebody at 127.0.0.1"


def test_after_a_strangers_stop_control_is_refused_with_who_and_when_until_the_holder_resumes(
    lab: Authority, ann: Person, bob: Person, motor: str
) -> None:
    """STOP-6 STOP-7"""
    lock = ann.has(motor)
    ok(bob.stop(motor, reason="a cable"))
    body = refused(ann.command("home", motor), 409, "stopped_by")
    assert body["by"] == "bob"
    assert body["at"]
    assert ok(ann.command("position", motor))["success"] is True
    status = lab.status(motor)
    assert (status["lock_id"], status["fence"]) == (lock["lock_id"], lock["fence"])
    stopped = status["stopped_by"]
    assert (stopped["user"], stopped["session_id"], stopped["reason"]) == ("bob", bob.session_id, "a cable")
    assert ok(ann.post(f"/equipment/{motor}/resume")) == {"success": True, "equipment_id": motor}
    assert ok(ann.command("home", motor))["success"] is True
    assert lab.status(motor)["stopped_by"] is None


def test_a_holder_that_logs_in_again_has_resumed(ann: Person, bob: Person, motor: str) -> None:
    """STOP-6 LOCK-4"""
    ann.has(motor)
    ok(bob.stop(motor))
    assert ok(ann.acquire(motor))["status"] == "refreshed"
    assert ok(ann.command("home", motor))["success"] is True


def test_the_holders_own_stop_refuses_nothing_afterwards(lab: Authority, ann: Person, motor: str) -> None:
    """STOP-6"""
    ann.has(motor)
    ann.begins("move_to", motor, position=100)
    ok(ann.stop(motor))
    until(lambda: lab.status(motor)["running"] is None, "the command ends")
    assert lab.status(motor)["stopped_by"] is None
    assert ok(ann.command("home", motor))["success"] is True


def test_resume_is_the_holders_alone(ann: Person, bob: Person, motor: str) -> None:
    """STOP-8"""
    ann.has(motor)
    ok(bob.stop(motor))
    refused(bob.post(f"/equipment/{motor}/resume"), 403, "not_holder")


def test_the_next_holder_starts_without_the_stop(ann: Person, bob: Person, motor: str) -> None:
    """STOP-9"""
    ann.has(motor)
    ok(bob.stop(motor))
    ok(ann.release(motor))
    bob.has(motor)
    assert ok(bob.command("home", motor))["success"] is True


def test_a_stop_ends_the_accepted_commands_too_and_they_never_reach_the_driver(
    lab: Authority, ann: Person, motor: str
) -> None:
    """STOP-5 CMD-15"""
    ann.has(motor)
    for n, key in enumerate(["a", "b", "c"]):
        ann.begins("move_to", motor, key, position=100 - n)
    ok(ann.stop(motor))
    for n, key in enumerate(["a", "b", "c"]):
        assert ok(ann.command("move_to", motor, key, position=100 - n))["outcome"] == "stopped"
    assert len([e for e in lab.events(motor) if e["event"] == "command_started"]) == 1


def test_a_stop_moves_no_queue_entry(lab: Authority, ann: Person, bob: Person, motor: str) -> None:
    """STOP-7"""
    ann.has(motor)
    ok(bob.acquire(motor, queue_if_busy=True))
    before = ok(lab.get(f"/locks/queue/{motor}"))
    ok(bob.stop(motor))
    assert ok(lab.get(f"/locks/queue/{motor}")) == before


def test_two_stops_at_once_are_both_delivered_and_answered(lab: Authority, ann: Person, motor: str) -> None:
    """STOP-12"""
    ann.has(motor)
    ann.begins("move_to", motor, position=100)

    def stop(_: int) -> bool:
        answer = requests.post(f"{lab.url}/api/equipment/{motor}/stop", json={}, timeout=30)
        return bool(ok(answer)["delivered"])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(stop, range(4))) == [True] * 4


def test_a_fault_that_is_not_there_cannot_be_cleared(lab: Authority, motor: str) -> None:
    """LOSS-14"""
    refused(lab.post(f"/equipment/{motor}/clear-fault", {"reason": "looked"}), 409, "no_fault")


def test_clearing_a_fault_needs_a_reason(lab: Authority, motor: str) -> None:
    """LOSS-14"""
    for body in ({}, {"reason": ""}):
        refused(lab.post(f"/equipment/{motor}/clear-fault", body), 422, "invalid")


def test_a_command_that_somebody_stopped_says_who(lab: Authority, person: Callable[..., Person], motor: str) -> None:
    """STOP-5"""
    ann, carl = person("ann"), person("carl")
    ann.has(motor)
    ann.begins("move_to", motor, position=90.0)
    carl.stop(motor)
    of = lambda: [event for event in lab.events(motor) if event["event"] == "command_finished"]  # noqa: E731
    ended = until(of, "the end of the command")[0]
    assert ended["outcome"] == "stopped"
    assert ended["error"].startswith(f"carl stopped {motor} (stopped at ")
