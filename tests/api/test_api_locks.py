"""Locks over REST: acquire, release, observe, activity and claim (of rows 1 to 7 of LabLink's contract)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from rest_lab import ENTRY_OURS, HOLDER, LOCK_OURS, Authority, Json, Person, ok, refused

People = Callable[..., Person]


def test_an_acquire_of_free_equipment_is_answered_with_status_200_and_every_field_of_a_lock(
    ann: Person, motor: str
) -> None:
    """LOCK-2 REST-1 REST-2"""
    answer = ok(ann.acquire(motor, timeout_seconds=120, note="scan"))
    assert answer["success"] is True
    assert answer["status"] == "locked"
    lock = answer["lock"]
    assert lock.keys() >= LOCK_OURS
    assert lock["equipment_id"] == motor
    assert lock["session_id"] == ann.session_id
    assert lock["lock_mode"] == "exclusive"
    assert lock["timeout_seconds"] == 120
    assert (lock["fence"], lock["claimed"], lock["note"], lock["user"]) == (1, True, "scan", "ann")


def test_an_acquire_that_names_no_timeout_gets_300_seconds(ann: Person, motor: str) -> None:
    """REST-1 IDLE-1"""
    assert ann.has(motor)["timeout_seconds"] == 300


def test_an_acquire_by_the_holder_refreshes_the_same_lock_and_replaces_timeout_and_note(
    ann: Person, motor: str
) -> None:
    """LOCK-4"""
    first = ann.has(motor, note="old")
    answer = ok(ann.acquire(motor, timeout_seconds=7, note="new", queue_if_busy=True))
    assert answer["success"] is True
    assert answer["status"] == "refreshed"
    again = answer["lock"]
    assert (again["lock_id"], again["fence"]) == (first["lock_id"], first["fence"])
    assert (again["timeout_seconds"], again["note"]) == (7, "new")
    assert ok(ann.acquire(motor))["lock"]["note"] == "new"


def test_an_acquire_of_equipment_in_use_is_refused_with_who_since_why_and_how_many_wait(
    ann: Person, bob: Person, motor: str
) -> None:
    """LOCK-3 REST-3"""
    ann.has(motor, note="night scan")
    body = refused(bob.acquire(motor), 409, "equipment_in_use")
    assert body["holder"].keys() >= HOLDER
    assert body["holder"]["user"] == "ann"
    assert (body["note"], body["queue_length"], body["state"]) == ("night scan", 0, "held")
    assert datetime.fromisoformat(body["since"]).utcoffset() == timedelta(0)


def test_a_refused_acquire_changes_no_lock_and_no_history(lab: Authority, ann: Person, bob: Person, motor: str) -> None:
    """LOCK-7"""
    ann.has(motor)
    before = lab.status(motor), lab.events(motor)
    refused(bob.acquire(motor), 409, "equipment_in_use")
    refused(bob.release(motor), 403, "not_holder")
    after = lab.status(motor), lab.events(motor)
    assert after[1] == before[1]
    assert _still(after[0]) == _still(before[0])


def _still(status: Json) -> Json:
    return {k: v for k, v in status.items() if k not in {"time_remaining", "ending", "readback"}}


def test_a_blocked_acquire_with_queue_if_busy_is_queued_with_every_field_of_the_page(
    ann: Person, bob: Person, motor: str
) -> None:
    """QUEUE-1 QUEUE-2 REST-1 REST-2"""
    lock = ann.has(motor)
    answer = ok(bob.acquire(motor, queue_if_busy=True, note="after you"))
    assert answer["success"] is False
    assert answer["status"] == "queued"
    assert answer["message"] == f"ann has had {motor} for 0 s; you are number 1 in the queue."
    assert answer["current_lock"]["lock_id"] == lock["lock_id"]
    entry = answer["queue_entry"]
    assert entry.keys() >= ENTRY_OURS
    assert (entry["position"], entry["session_id"], entry["note"]) == (1, bob.session_id, "after you")


def test_asking_again_is_answered_with_the_same_entry_in_the_same_place(
    person: People, ann: Person, motor: str
) -> None:
    """QUEUE-3"""
    ann.has(motor)
    bob, cem = person("bob"), person("cem")
    first = ok(bob.acquire(motor, queue_if_busy=True))["queue_entry"]
    second = ok(cem.acquire(motor, queue_if_busy=True))["queue_entry"]
    assert (first["position"], second["position"]) == (1, 2)
    assert ok(bob.acquire(motor, queue_if_busy=True))["queue_entry"] == first
    assert ok(cem.acquire(motor, queue_if_busy=True))["queue_entry"] == second


def test_a_release_grants_the_next_in_the_queue_with_a_higher_fence_and_what_it_asked_for(
    lab: Authority, ann: Person, bob: Person, motor: str
) -> None:
    """LOSS-9 QUEUE-5 CLAIM-1 LOCK-8"""
    ann.has(motor)
    ok(bob.acquire(motor, queue_if_busy=True, timeout_seconds=77, note="mine"))
    ok(ann.release(motor))
    status = lab.status(motor)
    assert (status["session_id"], status["fence"], status["claimed"]) == (bob.session_id, 2, False)
    lock = ok(bob.post(f"/locks/claim/{motor}"))["lock"]
    assert (lock["timeout_seconds"], lock["note"], lock["claimed"]) == (77, "mine", True)


@pytest.mark.parametrize("mode", ["exclusive", "EXCLUSIVE", "Exclusive"])
def test_the_lock_mode_is_taken_in_any_letter_case(ann: Person, motor: str, mode: str) -> None:
    """REST-8"""
    assert ann.has(motor, lock_mode=mode)["lock_mode"] == "exclusive"


@pytest.mark.parametrize("mode", ["observer", "OBSERVER", "Observer"])
def test_observer_mode_too_is_taken_in_any_letter_case(ann: Person, motor: str, mode: str) -> None:
    """REST-8 OBS-1"""
    answer = ok(ann.acquire(motor, lock_mode=mode))
    assert (answer["success"], answer["status"], answer["observer_count"]) == (True, "observer", 1)


def test_a_lock_mode_that_does_not_exist_is_refused_with_the_two_that_do(ann: Person, motor: str) -> None:
    """REST-3 REST-8"""
    body = refused(ann.acquire(motor, lock_mode="shared"), 422, "invalid")
    assert body["errors"][0]["loc"] == "lock_mode"


@pytest.mark.parametrize(("given", "taken"), [("60", 60), (2.0, 2), (0, 0), (1, 1), (31_536_000, 31_536_000)])
def test_a_whole_number_is_taken_in_each_way_that_clients_write_it(
    ann: Person, motor: str, given: object, taken: int
) -> None:
    """REST-6 REST-7"""
    assert ann.has(motor, timeout_seconds=given)["timeout_seconds"] == taken


@pytest.mark.parametrize("given", [True, 1.5, None, -1, 31_536_001, 10**30, "soon", [], {}])
def test_a_timeout_that_is_no_number_of_seconds_up_to_a_year_is_refused_and_nothing_is_locked(
    lab: Authority, ann: Person, motor: str, given: object
) -> None:
    """REST-6 REST-7"""
    body = refused(ann.acquire(motor, timeout_seconds=given), 422, "invalid")
    assert "timeout_seconds" in body["detail"]
    assert body["errors"][0]["loc"] == "timeout_seconds"
    assert lab.status(motor)["locked"] is False


def test_the_paths_of_the_page_ignore_fields_that_nobody_knows(ann: Person, motor: str) -> None:
    """REST-6"""
    ann.has(motor, colour="blue", nested={"a": 1})
    assert ok(ann.release(motor, colour="blue"))["status"] == "released"


@pytest.mark.parametrize("missing", ["equipment_id", "session_id"])
def test_an_acquire_that_lacks_a_required_field_is_refused_with_the_name_of_the_field(
    lab: Authority, missing: str
) -> None:
    """REST-3"""
    asked = {"equipment_id": "stage_x", "session_id": "s"}
    del asked[missing]
    body = refused(lab.post("/locks/acquire", asked), 422, "invalid")
    assert missing in body["detail"]


@pytest.mark.parametrize("path", ["/locks/status/nope", "/locks/queue/nope", "/locks/events/nope", "/equipment/nope"])
def test_unknown_equipment_is_404_on_every_path_that_shows_it(lab: Authority, path: str) -> None:
    """REST-10"""
    refused(lab.get(path), 404, "unknown_equipment")


def test_unknown_equipment_is_404_on_every_path_that_acts_on_it(ann: Person) -> None:
    """REST-10"""
    refused(ann.acquire("nope"), 404, "unknown_equipment")
    refused(ann.release("nope"), 404, "unknown_equipment")
    refused(ann.release("nope", force=True), 404, "unknown_equipment")
    for verb in ("claim", "activity"):
        refused(ann.post(f"/locks/{verb}/nope"), 404, "unknown_equipment")
    refused(ann.stop("nope"), 404, "unknown_equipment")
    refused(ann.post("/equipment/nope/resume"), 404, "unknown_equipment")
    refused(ann.post("/equipment/nope/clear-fault", {"reason": "looked"}), 404, "unknown_equipment")
    refused(ann.command("home", "nope"), 404, "unknown_equipment")


def test_an_acquire_of_unknown_equipment_makes_no_session(lab: Authority) -> None:
    """REST-10 LOCK-7"""
    own = str(uuid4())
    refused(lab.post("/locks/acquire", {"equipment_id": "nope", "session_id": own}), 404, "unknown_equipment")
    refused(lab.get(f"/locks/sessions/{own}"), 404, "unknown_session")


# -- release


def test_a_release_by_the_holder_is_answered_as_on_the_page(ann: Person, motor: str) -> None:
    """LOCK-5 REST-1 LOSS-12"""
    ann.has(motor)
    answer = ok(ann.release(motor))
    assert {k: answer[k] for k in ("success", "status", "was_forced", "draining")} == {
        "success": True, "status": "released", "was_forced": False, "draining": False,
    }  # fmt: skip


def test_a_second_release_says_not_locked_with_status_200(ann: Person, motor: str) -> None:
    """LOCK-6 REST-2"""
    ann.has(motor)
    ok(ann.release(motor))
    answer = ok(ann.release(motor))
    assert (answer["success"], answer["status"]) == (False, "not_locked")
    assert answer["message"] == f"No lock found for session {ann.session_id}"


def test_a_release_by_somebody_else_is_refused_with_the_name_of_the_holder(
    ann: Person, bob: Person, motor: str
) -> None:
    """LOCK-5"""
    ann.has(motor)
    refused(bob.release(motor), 403, "not_holder")


def test_a_release_by_an_id_that_nobody_knows_is_answered_as_on_the_page_and_makes_no_session(
    lab: Authority, ann: Person, motor: str
) -> None:
    """LOCK-6 LOCK-5 WHO-9"""
    asked = {"equipment_id": motor, "session_id": str(uuid4())}
    answer = ok(lab.post("/locks/release", asked))
    assert (answer["success"], answer["status"]) == (False, "not_locked")
    ann.has(motor)
    refused(lab.post("/locks/release", asked), 403, "not_holder")
    refused(lab.get(f"/locks/sessions/{asked['session_id']}"), 404, "unknown_session")


def test_a_release_while_moving_answers_at_once_that_it_drains_and_a_second_one_says_not_locked(
    lab: Authority, ann: Person, bob: Person, motor: str
) -> None:
    """LOSS-12 LOSS-10 LOCK-6 LOSS-11"""
    ann.has(motor)
    ann.begins("move_to", motor, position=100)
    assert ok(ann.release(motor))["draining"] is True
    assert ok(ann.release(motor))["status"] == "not_locked"
    status = lab.status(motor)
    assert (status["state"], status["locked"], status["holder"]["user"]) == ("draining", True, "ann")
    body = refused(bob.acquire(motor), 409, "equipment_in_use")
    assert body["state"] == "draining"
    refused(bob.release(motor), 403, "not_holder")
    ok(bob.stop(motor))


def test_a_release_with_stop_ends_the_running_command(lab: Authority, ann: Person, motor: str) -> None:
    """LOSS-6"""
    ann.has(motor)
    ann.begins("move_to", motor, "k", position=100)
    assert ok(ann.release(motor, stop=True))["status"] == "released"
    answer = ok(ann.order({"action": "move_to", "parameters": {"position": 100}}, motor, "k"))
    assert answer["outcome"] == "stopped"


def test_force_by_anybody_ends_the_lock_and_names_both_parties_and_that_no_reason_was_given(
    lab: Authority, ann: Person, bob: Person, motor: str
) -> None:
    """FORCE-1 FORCE-3"""
    ann.has(motor)
    answer = ok(bob.release(motor, force=True))
    assert (answer["success"], answer["status"], answer["was_forced"]) == (True, "released", True)
    event = lab.events(motor)[-1]
    assert event["event"] == "lock_force_released"
    assert (event["user"], event["by"], event["reason"], event["why"]) == ("ann", "bob", "no reason given", "forced")
    body = refused(ann.command("home", motor), 403, "lock_lost")
    assert (body["by"], body["why"], body["reason"]) == ("bob", "forced", "no reason given")


def test_why_a_lock_ended_is_said_in_the_same_words_everywhere(
    lab: Authority, ann: Person, bob: Person, motor: str
) -> None:
    """RUN-50 RUN-52"""
    ann.has(motor)
    ok(bob.release(motor, force=True, reason="smoke"))
    because = "bob took it by force (smoke)"
    assert lab.status(motor)["last_lost"]["text"] == because
    assert f" because {because}; " in refused(ann.command("home", motor), 403, "lock_lost")["detail"]
    assert f" because {because}." in ok(lab.get(f"/equipment/{motor}/why"))["text"]
    assert lab.events(motor)[-1]["text"] == f"bob took {motor} from ann by force (smoke)"


def test_force_by_a_session_name_that_nobody_created_works_as_on_the_page(
    lab: Authority, ann: Person, motor: str
) -> None:
    """FORCE-1 REST-1"""
    ann.has(motor)
    asked = {"equipment_id": motor, "session_id": "admin_session", "force": True, "reason": "lunch is over"}
    assert ok(lab.post("/locks/release", asked))["was_forced"] is True
    event = lab.events(motor)[-1]
    assert event["by"].startswith("admin_session")
    assert event["reason"] == "lunch is over"
    assert lab.status(motor)["locked"] is False


def test_force_on_equipment_that_nobody_holds_says_not_locked_and_changes_nothing(
    lab: Authority, ann: Person, motor: str
) -> None:
    """FORCE-5"""
    assert ok(ann.release(motor, force=True))["status"] == "not_locked"
    assert lab.events(motor) == []


def test_force_grants_the_next_in_the_queue_and_not_the_one_who_forced(
    lab: Authority, person: People, ann: Person, motor: str
) -> None:
    """FORCE-4"""
    bob, cem = person("bob"), person("cem")
    ann.has(motor)
    ok(bob.acquire(motor, queue_if_busy=True))
    ok(cem.release(motor, force=True))
    assert lab.status(motor)["session_id"] == bob.session_id


# -- observers


def test_observers_share_and_are_counted_and_their_status_shows_no_exclusive_lock(
    lab: Authority, ann: Person, bob: Person, motor: str
) -> None:
    """OBS-1 REST-1"""
    assert ok(ann.acquire(motor, lock_mode="observer"))["observer_count"] == 1
    assert ok(bob.acquire(motor, lock_mode="observer"))["observer_count"] == 2
    status = lab.status(motor)
    assert (status["locked"], status["observer_count"], status["session_id"]) == (False, 2, None)
    assert status["observer_sessions"] == [ann.session_id, bob.session_id]
    assert [o["user"] for o in status["observers"]] == ["ann", "bob"]
    assert status["observers"][0].keys() >= HOLDER


def test_a_release_by_an_observer_ends_its_own_observer_lock_only(
    lab: Authority, ann: Person, bob: Person, motor: str
) -> None:
    """OBS-10"""
    ok(ann.acquire(motor, lock_mode="observer"))
    ok(bob.acquire(motor, lock_mode="observer"))
    answer = ok(ann.release(motor))
    assert (answer["success"], answer["status"]) == (True, "observer_released")
    assert lab.status(motor)["observer_sessions"] == [bob.session_id]


def test_apart_an_observer_is_refused_while_somebody_holds_and_queued_when_it_asks_for_that(
    ann: Person, bob: Person, motor: str
) -> None:
    """OBS-4"""
    ann.has(motor)
    refused(bob.acquire(motor, lock_mode="observer"), 409, "equipment_in_use")
    answer = ok(bob.acquire(motor, lock_mode="observer", queue_if_busy=True))
    assert (answer["status"], answer["queue_entry"]["lock_mode"]) == ("queued", "observer")


def test_apart_an_exclusive_grant_ends_the_observers_and_tells_each(
    lab: Authority, ann: Person, bob: Person, motor: str
) -> None:
    """OBS-5"""
    ok(bob.acquire(motor, lock_mode="observer"))
    ann.has(motor)
    assert lab.status(motor)["observer_count"] == 0
    told = [e for e in lab.events(motor) if e["event"] == "observer_lock_released"]
    assert [(e["user"], e["why"]) for e in told] == [("bob", "exclusive_grant")]


def test_alongside_observers_join_and_stay_while_somebody_holds(lab: Authority, ann: Person, bob: Person) -> None:
    """OBS-6"""
    ann.has("stage_y")
    assert ok(bob.acquire("stage_y", lock_mode="observer"))["observer_count"] == 1
    ok(ann.release("stage_y"))
    ann.has("stage_y")
    assert lab.status("stage_y")["observer_sessions"] == [bob.session_id]


def test_an_observer_acquire_by_the_holder_is_a_real_downgrade(lab: Authority, ann: Person, motor: str) -> None:
    """OBS-7"""
    ann.has(motor)
    assert ok(ann.acquire(motor, lock_mode="observer"))["status"] == "observer"
    status = lab.status(motor)
    assert (status["locked"], status["lock_mode"], status["observer_count"]) == (False, "observer", 1)
    assert status["last_lost"]["why"] == "downgraded"


def test_a_downgrade_past_somebody_who_waits_is_refused(ann: Person, bob: Person, motor: str) -> None:
    """OBS-8"""
    ann.has(motor)
    ok(bob.acquire(motor, queue_if_busy=True))
    refused(ann.acquire(motor, lock_mode="observer"), 409, "waiters_present")


def test_a_downgrade_while_moving_is_refused(ann: Person, motor: str) -> None:
    """OBS-14"""
    ann.has(motor)
    ann.begins("move_to", motor, position=100)
    refused(ann.acquire(motor, lock_mode="observer"), 409, "not_at_rest")
    ok(ann.stop(motor))


# -- activity and claim


def test_activity_restarts_the_idle_clock_and_answers_as_on_the_page(lab: Authority, ann: Person, motor: str) -> None:
    """IDLE-1 REST-1"""
    lock = ann.has(motor)
    answer = ok(ann.post(f"/locks/activity/{motor}"))
    expected = {"success": True, "message": "Activity updated", "equipment_id": motor, "session_id": ann.session_id}
    assert answer == expected
    assert ok(lab.get("/locks/all"))["exclusive_locks"][motor]["last_activity"] > lock["last_activity"]


def test_activity_without_any_lock_is_refused(ann: Person, bob: Person, motor: str) -> None:
    """IDLE-9"""
    ann.has(motor)
    refused(bob.post(f"/locks/activity/{motor}"), 404, "no_lock")


def test_activity_of_an_observer_is_taken(ann: Person, motor: str) -> None:
    """IDLE-9 OBS-13"""
    ok(ann.acquire(motor, lock_mode="observer"))
    assert ok(ann.post(f"/locks/activity/{motor}"))["success"] is True


def test_claim_by_a_holder_that_has_claimed_changes_nothing(lab: Authority, ann: Person, motor: str) -> None:
    """CLAIM-6 CLAIM-7"""
    lock = ann.has(motor)
    before = lab.events(motor)
    assert ok(ann.post(f"/locks/claim/{motor}"))["lock"]["lock_id"] == lock["lock_id"]
    assert lab.events(motor) == before


def test_claim_by_a_session_that_does_not_hold_is_refused(ann: Person, bob: Person, motor: str) -> None:
    """CLAIM-6"""
    ann.has(motor)
    refused(bob.post(f"/locks/claim/{motor}"), 404, "no_lock")
    ok(bob.release(motor, force=True))
    refused(ann.post(f"/locks/claim/{motor}"), 403, "lock_lost")


def test_a_path_of_our_own_refuses_fields_that_nobody_knows(ann: Person, motor: str) -> None:
    """REST-6"""
    ann.has(motor)
    for path in (f"/locks/claim/{motor}", f"/equipment/{motor}/resume"):  # a stop is never refused for its body
        body = refused(ann.post(path, {"colour": "blue"}), 422, "invalid")
        assert "colour" in body["detail"]
