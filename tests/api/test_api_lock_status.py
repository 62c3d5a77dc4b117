"""What is shown of locks over REST: status, queue, all locks, events, with every field of the page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from rest_lab import ENTRY_OURS, HOLDER, LOCK_OURS, Authority, Person, ok, refused

STATUS = {
    "equipment_id", "locked", "lock_mode", "session_id", "lock_id", "acquired_at", "time_remaining",
    "observer_count", "observer_sessions", "queue_length",
}  # fmt: skip
STATUS_OURS = STATUS | {
    "state", "fence", "claimed", "holder", "observers", "queue", "ending", "running", "readback", "stopped_by",
    "fault", "last_lost", "kind", "label",
}  # fmt: skip
READBACK = {"connected", "moving", "position", "units", "values", "error", "age_seconds"}

People = Callable[..., Person]


def test_the_status_of_free_equipment_has_all_fields_and_the_unused_ones_are_null(lab: Authority, motor: str) -> None:
    """REST-1 LOSS-8 OBS-12"""
    status = lab.status(motor)
    assert status.keys() >= STATUS_OURS
    assert status["readback"].keys() >= READBACK
    expected = {
        "equipment_id": motor, "locked": False, "lock_mode": None, "session_id": None, "lock_id": None,
        "acquired_at": None, "time_remaining": None, "observer_count": 0, "observer_sessions": [], "queue_length": 0,
        "state": "free", "holder": None, "ending": None, "running": None, "stopped_by": None, "fault": None,
        "last_lost": None, "queue": [], "observers": [], "kind": "motor",
    }  # fmt: skip
    assert {k: status[k] for k in expected} == expected


def test_the_status_of_held_equipment_says_who_and_when_and_what_ends_it(
    lab: Authority, ann: Person, motor: str
) -> None:
    """REST-1 IDLE-10 LOCK-9"""
    lock = ann.has(motor, timeout_seconds=120, note="scan")
    status = lab.status(motor)
    assert (status["locked"], status["lock_mode"], status["state"]) == (True, "exclusive", "held")
    for same in ("lock_id", "session_id", "acquired_at", "fence"):
        assert status[same] == lock[same]
    assert 0 < status["time_remaining"] <= 120
    assert status["holder"].keys() >= HOLDER
    assert (status["holder"]["user"], status["holder"]["note"]) == ("ann", "scan")
    ending = status["ending"]
    assert ending["what"] == "idle"
    assert ending["text"] == "is released unless ann uses it"
    assert datetime.fromisoformat(ending["at"]) > datetime.now(UTC)


def test_a_lock_without_a_timeout_has_no_countdown(lab: Authority, ann: Person, motor: str) -> None:
    """IDLE-1 IDLE-10"""
    ann.has(motor, timeout_seconds=0)
    assert lab.status(motor)["time_remaining"] is None


def test_the_queue_of_one_equipment_is_shown_with_position_1_as_next(
    lab: Authority, person: People, ann: Person, motor: str
) -> None:
    """QUEUE-2 REST-1"""
    assert ok(lab.get(f"/locks/queue/{motor}")) == {"equipment_id": motor, "queue": [], "next": None}
    ann.has(motor)
    waiting = [person("bob"), person("cem")]
    for one in waiting:
        ok(one.acquire(motor, queue_if_busy=True))
    shown = ok(lab.get(f"/locks/queue/{motor}"))["queue"]
    assert [(e["session_id"], e["position"]) for e in shown] == [(w.session_id, n) for n, w in enumerate(waiting, 1)]
    assert all(e.keys() >= ENTRY_OURS for e in shown)
    assert lab.status(motor)["queue"] == shown


def test_a_waiter_may_leave_the_queue_and_only_by_its_own_entry(
    lab: Authority, person: People, ann: Person, motor: str
) -> None:
    """QUEUE-6"""
    ann.has(motor)
    bob, cem = person("bob"), person("cem")
    entry = ok(bob.acquire(motor, queue_if_busy=True))["queue_entry"]
    path = f"/locks/queue/{motor}/{entry['queue_id']}?session_id="
    refused(lab.delete(path + cem.session_id), 404, "unknown_entry")
    answer = ok(lab.delete(path + bob.session_id))
    assert answer == {"success": True, "equipment_id": motor, "queue_id": entry["queue_id"]}
    refused(lab.delete(path + bob.session_id), 404, "unknown_entry")
    assert lab.status(motor)["queue_length"] == 0


def test_all_locks_shows_exclusive_locks_observers_and_queues(lab: Authority, person: People, motor: str) -> None:
    """REST-1"""
    ann, bob, cem = person("ann"), person("bob"), person("cem")
    ann.has(motor)
    ok(bob.acquire(motor, queue_if_busy=True))
    ok(cem.acquire("scope_123", lock_mode="observer"))
    shown = ok(lab.get("/locks/all"))
    assert shown.keys() >= {"exclusive_locks", "observer_locks", "queues"}
    assert shown["exclusive_locks"][motor].keys() >= LOCK_OURS
    assert shown["observer_locks"]["scope_123"] == [cem.session_id]
    assert shown["queues"][motor][0]["session_id"] == bob.session_id
    assert "stage_x" not in shown["exclusive_locks"]


def test_the_events_of_one_equipment_are_listed_oldest_first_with_their_fields(
    lab: Authority, ann: Person, bob: Person, motor: str
) -> None:
    """REST-13 REST-1 PUSH-8"""
    lock = ann.has(motor)
    ok(ann.acquire(motor, timeout_seconds=9))
    ok(bob.acquire(motor, queue_if_busy=True))
    ok(ann.release(motor))
    answer = ok(lab.get(f"/locks/events/{motor}"))
    assert answer["equipment_id"] == motor
    events = answer["events"]
    assert answer["count"] == len(events)
    assert [e["event"] for e in events] == [
        "lock_acquired", "lock_refreshed", "queued", "lock_released", "queue_processed", "lock_acquired",
    ]  # fmt: skip
    assert all(e.keys() >= {"seq", "event", "timestamp", "equipment_id", "session_id", "user"} for e in events)
    assert [e["seq"] for e in events] == sorted(e["seq"] for e in events)
    acquired, refreshed, queued, released, processed, granted = events
    assert acquired["lock_id"] == lock["lock_id"]
    assert acquired.keys() >= {"lock_mode", "timeout_seconds", "fence", "from_queue", "claim_seconds"}
    assert refreshed["new_timeout"] == 9
    assert (queued["position"], queued["lock_mode"]) == (1, "exclusive")
    assert released.keys() >= {"lock_id", "duration_seconds", "why", "by", "reason"}
    assert (processed["queue_id"], processed["result"]) == (queued["queue_id"], "granted")
    assert (granted["from_queue"], granted["claim_seconds"], granted["user"]) == (True, 120, "bob")


def test_a_limited_list_of_events_holds_the_newest_that_fit(lab: Authority, ann: Person, motor: str) -> None:
    """REST-13"""
    ann.has(motor)
    ok(ann.release(motor))
    ann.has(motor)
    answer = ok(lab.get(f"/locks/events/{motor}?limit=2"))
    assert [e["event"] for e in answer["events"]] == ["lock_released", "lock_acquired"]
    assert answer["count"] == 2


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "many", "1.5", ""])
@pytest.mark.parametrize("path", ["/locks/events/stage_x", "/locks/sessions/some/events", "/locks/sessions"])
def test_a_limit_that_is_no_number_from_1_to_1000_is_refused(lab: Authority, path: str, limit: str) -> None:
    """REST-13"""
    body = refused(lab.get(f"{path}?limit={limit}"), 422, "invalid")
    assert "limit" in body["detail"]


def test_times_are_iso_8601_in_utc_with_offset(lab: Authority, ann: Person, motor: str) -> None:
    """REST-9"""
    lock = ann.has(motor)
    for text in (lock["acquired_at"], lock["last_activity"], lab.events(motor)[0]["timestamp"]):
        at = datetime.fromisoformat(text)
        assert at.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
