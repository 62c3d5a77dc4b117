"""Sessions over REST: create, show, list, end, activity, locks, events, heartbeat, gone (rows 8 to 14)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from rest_lab import Authority, Person, ok, refused, until

SESSION = {
    "session_id", "client_name", "client_ip", "created_at", "last_activity", "time_remaining", "duration_seconds",
    "metadata",
}  # fmt: skip
SESSION_OURS = SESSION | {"user", "user_verified", "has_keeper", "suspect"}

People = Callable[..., Person]

MOTORS = 24


def test_a_session_is_created_with_status_200_and_every_field_of_the_page(lab: Authority) -> None:
    """REST-1 REST-2 WHO-1"""
    asked = {
        "client_name": "Lab PC #3", "client_ip": "192.168.1.100", "timeout_seconds": 600,
        "metadata": {"user": "researcher_1"},
    }  # fmt: skip
    made = ok(lab.post("/locks/sessions/create", asked))
    assert made.keys() >= SESSION_OURS
    assert made["session_id"]
    assert (made["client_name"], made["client_ip"]) == ("Lab PC #3", "192.168.1.100")
    assert made["metadata"] == {"user": "researcher_1"}
    assert (made["time_remaining"], made["duration_seconds"]) == (pytest.approx(600, abs=5), pytest.approx(0, abs=5))
    assert (made["user"], made["user_verified"]) == ("researcher_1", False)
    assert datetime.fromisoformat(made["created_at"]).utcoffset() == timedelta(0)
    assert "session_token" not in made
    ok(lab.delete(f"/locks/sessions/{made['session_id']}"))


def test_a_session_may_be_created_with_an_empty_object_and_gets_the_peer_address_and_600_seconds(
    lab: Authority,
) -> None:
    """REST-1 LIVE-15"""
    made = ok(lab.post("/locks/sessions/create", {}))
    assert (made["client_name"], made["client_ip"], made["metadata"]) == (None, "127.0.0.1", {})
    assert made["time_remaining"] == pytest.approx(600, abs=5)
    assert made["user"] == "a program at 127.0.0.1"
    ok(lab.delete(f"/locks/sessions/{made['session_id']}"))


@pytest.mark.parametrize(("given", "taken"), [("60", 60), (2.0, 2), (31_536_000, 31_536_000)])
def test_the_timeout_of_a_session_is_taken_in_each_way_that_clients_write_it(
    person: People, given: object, taken: int
) -> None:
    """REST-6 REST-7"""
    shown = ok(person().lab.get("/locks/sessions"))
    assert shown["count"] == len(shown["sessions"])
    one = person("ann", timeout_seconds=given)
    left = ok(one.lab.get(f"/locks/sessions/{one.session_id}"))["time_remaining"]
    assert left == pytest.approx(taken, abs=5)


def test_a_session_with_timeout_0_has_no_end_of_its_own(person: People, lab: Authority) -> None:
    """LIVE-15 REST-7"""
    one = person("ann", timeout_seconds=0)
    assert ok(lab.get(f"/locks/sessions/{one.session_id}"))["time_remaining"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_seconds": True}, {"timeout_seconds": -1}, {"timeout_seconds": 31_536_001}, {"timeout_seconds": 1.5},
        {"timeout_seconds": None}, {"metadata": "text"}, {"metadata": [1]}, {"client_name": 7},
        {"client_name": "x" * 129}, {"user": "x" * 129}, {"user": ""}, {"lease_seconds": 0}, {"lease_seconds": "long"},
    ],
    ids=str,
)  # fmt: skip
def test_a_session_that_is_asked_for_wrongly_is_refused_and_not_made(lab: Authority, wrong: dict[str, object]) -> None:
    """REST-3 REST-7 WHO-14"""
    before = ok(lab.get("/locks/sessions"))["count"]
    body = refused(lab.post("/locks/sessions/create", wrong), 422, "invalid")
    assert next(iter(wrong)) in body["detail"]
    assert ok(lab.get("/locks/sessions"))["count"] == before


def test_a_session_is_shown_alone_and_in_the_list(lab: Authority, ann: Person) -> None:
    """REST-1"""
    alone = ok(lab.get(f"/locks/sessions/{ann.session_id}"))
    assert alone.keys() >= SESSION_OURS
    listed = ok(lab.get("/locks/sessions"))
    assert listed["count"] == len(listed["sessions"])
    assert ann.session_id in [s["session_id"] for s in listed["sessions"]]


def test_a_session_that_ends_gives_back_its_locks_and_says_how_many(
    lab: Authority, person: People, bob: Person, motor: str
) -> None:
    """REST-12 LIVE-17"""
    ann = person("ann")
    ann.has(motor)
    ok(ann.acquire("scope_123", lock_mode="observer"))
    bob.has("stage_y")
    ok(ann.acquire("stage_y", queue_if_busy=True))
    expected = {"success": True, "message": "Session ended", "session_id": ann.session_id, "locks_released": 2}
    assert ok(ann.leave()) == expected
    assert lab.status(motor)["locked"] is False
    assert lab.status("scope_123")["observer_count"] == 0
    assert lab.status("stage_y")["queue_length"] == 0


def test_ending_an_unknown_session_is_404_and_releases_nothing(lab: Authority) -> None:
    """REST-12"""
    refused(lab.delete(f"/locks/sessions/{uuid4()}"), 404, "unknown_session")


def test_a_session_that_ended_is_never_revived(lab: Authority, person: People, motor: str) -> None:
    """WHO-10"""
    ann = person("ann")
    ann.has(motor)
    ok(ann.leave())
    path = f"/locks/sessions/{ann.session_id}"
    refused(lab.get(path), 404, "session_ended")
    refused(ann.leave(), 404, "session_ended")
    for way in ("activity", "heartbeat", "gone"):
        refused(lab.post(f"{path}/{way}", {}), 404, "session_ended")
    refused(lab.get(f"{path}/locks"), 404, "session_ended")
    refused(ann.acquire(motor), 404, "session_ended")
    refused(ann.acquire(motor, queue_if_busy=True), 404, "session_ended")
    refused(ann.release(motor), 404, "session_ended")
    refused(ann.command("home", motor), 403, "lock_lost")
    assert lab.status(motor)["locked"] is False


def test_an_acquire_with_an_id_of_the_clients_own_makes_the_session_with_the_default_timeout(
    lab: Authority, motor: str
) -> None:
    """WHO-9"""
    own = f"my client {uuid4()}"
    answer = ok(lab.post("/locks/acquire", {"equipment_id": motor, "session_id": own}))
    assert answer["lock"]["session_id"] == own
    shown = ok(lab.get(f"/locks/sessions/{own}"))
    assert shown["time_remaining"] == pytest.approx(600, abs=5)
    assert ok(lab.delete(f"/locks/sessions/{own}"))["locks_released"] == 1
    ok(lab.post("/locks/acquire", {"equipment_id": motor, "session_id": own}))
    ok(lab.delete(f"/locks/sessions/{own}"))


def test_no_request_but_acquire_makes_a_session(lab: Authority, motor: str) -> None:
    """WHO-9"""
    own = str(uuid4())
    named = {"session_id": own}
    refused(lab.post(f"/locks/activity/{motor}", named), 404, "unknown_session")
    refused(lab.post(f"/locks/claim/{motor}", named), 404, "unknown_session")
    refused(lab.post(f"/locks/sessions/{own}/activity"), 404, "unknown_session")
    refused(lab.post(f"/locks/sessions/{own}/heartbeat", {}), 404, "unknown_session")
    refused(lab.post(f"/equipment/{motor}/resume", named), 404, "unknown_session")
    ok(lab.post(f"/equipment/{motor}/stop", named))
    ok(lab.post("/locks/release", {"equipment_id": motor, "force": True, **named}))
    refused(lab.get(f"/locks/sessions/{own}"), 404, "unknown_session")


def test_session_activity_refreshes_the_session_and_not_its_locks(lab: Authority, ann: Person, motor: str) -> None:
    """IDLE-1 LIVE-15 REST-1"""
    lock = ann.has(motor)
    before = ok(lab.get(f"/locks/sessions/{ann.session_id}"))["last_activity"]
    answer = ok(lab.post(f"/locks/sessions/{ann.session_id}/activity"))
    expected = {"success": True, "message": "Session activity updated", "session_id": ann.session_id}
    assert answer == expected
    assert ok(lab.get(f"/locks/sessions/{ann.session_id}"))["last_activity"] > before
    assert ok(lab.get("/locks/all"))["exclusive_locks"][motor]["last_activity"] == lock["last_activity"]


@pytest.mark.parametrize(
    "asking",
    [
        lambda ann, motor: ann.acquire(motor),
        lambda ann, motor: ann.release(motor),
        lambda ann, motor: ann.command("home", motor),
        lambda ann, motor: ann.command("move_to", motor, position="far"),
        lambda ann, motor: ann.command("position", motor),
        lambda ann, motor: ann.post(f"/locks/claim/{motor}"),
        lambda ann, motor: ann.post(f"/locks/activity/{motor}"),
        lambda ann, motor: ann.post(f"/equipment/{motor}/resume"),
    ],
    ids=["acquire", "release", "control", "parameters", "observe", "claim", "activity", "resume"],
)
def test_a_request_that_is_refused_is_a_sign_of_life_all_the_same(
    lab: Authority, ann: Person, bob: Person, motor: str, asking: Callable[[Person, str], object]
) -> None:
    """LIVE-15 LIVE-7"""
    bob.has(motor)
    before = ok(lab.get(f"/locks/sessions/{ann.session_id}"))["last_activity"]
    answer = asking(ann, motor)
    assert answer.status_code >= 400  # type: ignore[attr-defined]
    assert ok(lab.get(f"/locks/sessions/{ann.session_id}"))["last_activity"] > before


def test_a_holders_wrong_parameters_are_a_sign_of_life_all_the_same(lab: Authority, ann: Person, motor: str) -> None:
    """LIVE-15"""
    ann.has(motor)
    before = ok(lab.get(f"/locks/sessions/{ann.session_id}"))["last_activity"]
    refused(ann.command("move_to", motor, position=1000), 422, "outside_limits")
    assert ok(lab.get(f"/locks/sessions/{ann.session_id}"))["last_activity"] > before


def test_what_a_session_has_a_lock_on_is_listed(lab: Authority, ann: Person, motor: str) -> None:
    """REST-1"""
    path = f"/locks/sessions/{ann.session_id}/locks"
    assert ok(lab.get(path)) == {"session_id": ann.session_id, "locked_equipment": [], "count": 0}
    ann.has(motor)
    ok(ann.acquire("scope_123", lock_mode="observer"))
    shown = ok(lab.get(path))
    assert (sorted(shown["locked_equipment"]), shown["count"]) == (sorted([motor, "scope_123"]), 2)


def test_the_events_of_a_session_are_kept_after_its_end(lab: Authority, person: People) -> None:
    """REST-1 REST-13"""
    ann = person("ann")
    ok(ann.leave())
    answer = ok(lab.get(f"/locks/sessions/{ann.session_id}/events"))
    assert answer["session_id"] == ann.session_id
    assert [e["event"] for e in answer["events"]] == ["session_created", "session_ended"]
    assert answer["count"] == 2
    created, ended = answer["events"]
    assert (created["client_name"], created["client_ip"]) == ("ann", "127.0.0.1")
    assert ended["why"] == "session_ended"
    assert ended["duration_seconds"] >= 0


def test_the_events_of_an_unknown_session_are_an_empty_list(lab: Authority) -> None:
    """REST-1"""
    assert ok(lab.get("/locks/sessions/nobody/events")) == {
        "session_id": "nobody",
        "events": [],
        "count": 0,
        "next": None,
    }


def test_a_heartbeat_says_alive_and_busy_and_nothing_else(lab: Authority, person: People, motor: str) -> None:
    """LIVE-1 IDLE-3"""
    ann = person("ann", keeper=True)
    ann.has(motor)
    path = f"/locks/sessions/{ann.session_id}/heartbeat"
    assert ok(lab.post(path, {"busy": True}))["session_id"] == ann.session_id
    status = lab.status(motor)
    assert (status["holder"]["busy"], status["time_remaining"]) == (True, None)
    ok(lab.post(path, {"busy": False}))
    assert lab.status(motor)["holder"]["busy"] is False
    refused(lab.post(path, {"busy": True, "mood": "good"}), 422, "invalid")
    refused(lab.post(path, {"busy": "perhaps"}), 422, "invalid")


def test_gone_ends_the_session_at_once_and_stops_what_it_moved(lab: Authority, person: People, motor: str) -> None:
    """LIVE-2 LOSS-4"""
    ann = person("ann", keeper=True)
    ann.has(motor)
    ann.begins("move_to", motor, position=100)
    answer = ok(lab.post(f"/locks/sessions/{ann.session_id}/gone", {"reason": "killed"}))
    assert (answer["success"], answer["locks_released"]) == (True, 1)
    refused(lab.get(f"/locks/sessions/{ann.session_id}"), 404, "session_ended")
    ended = ok(lab.get(f"/locks/sessions/{ann.session_id}/events"))["events"]
    over = next(e for e in ended if e["event"] == "session_ended")
    assert (over["why"], over["reason"]) == ("gone", "killed")


def test_a_session_that_nobody_refreshes_expires_by_its_timeout(lab: Authority, person: People, motor: str) -> None:
    """LIVE-15 LIVE-17 LIVE-18"""
    ann, bob = person("ann", timeout_seconds=1), person("bob")
    ann.has(motor)
    ok(bob.acquire(motor, queue_if_busy=True))
    until(lambda: lab.status(motor)["session_id"] == bob.session_id, "the lock passes on")
    refused(ann.command("home", motor), 403, "lock_lost")
    told = ok(lab.get(f"/locks/sessions/{ann.session_id}/events"))["events"]
    assert told[-1]["event"] == "session_expired"
