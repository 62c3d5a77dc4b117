"""Those who wait and the holder, over REST: priority, swap, ask and answer, hand-over, promises, the expected wait."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from push_clients import EventStream
from rest_lab import Authority, Json, Person, ok, refused

People = Callable[..., Person]


def waits(who: Person, motor: str, **more: object) -> Json:
    answer = ok(who.acquire(motor, queue_if_busy=True, **more))
    assert answer["status"] == "queued"
    entry: Json = answer["queue_entry"]
    return entry


def queue(lab: Authority, motor: str) -> list[Json]:
    entries: list[Json] = lab.status(motor)["queue"]
    return entries


@pytest.fixture
def cem(person: People) -> Person:
    return person("cem")


def test_a_higher_priority_goes_first_and_all_see_it(
    lab: Authority, ann: Person, bob: Person, cem: Person, motor: str
) -> None:
    """QUEUE-10"""
    ann.has(motor)
    waits(bob, motor)
    entry = waits(cem, motor, priority=5)
    assert (entry["position"], entry["priority"]) == (1, 5)
    assert [(x["user"], x["priority"]) for x in queue(lab, motor)] == [("cem", 5), ("bob", 0)]
    refused(ann.acquire(motor, priority=101), 422, "invalid")
    ok(ann.release(motor))
    assert lab.status(motor)["holder"]["user"] == "cem"


def test_two_waiters_swap_when_both_agree(lab: Authority, ann: Person, bob: Person, cem: Person, motor: str) -> None:
    """QUEUE-11 QUEUE-15"""
    ann.has(motor)
    first, second = waits(bob, motor), waits(cem, motor)
    path = f"/locks/queue/{motor}/swap"
    ok(bob.post(path, {"with": second["queue_id"]}))
    assert queue(lab, motor)[0]["swap_with"] == second["queue_id"]
    ok(bob.post(path, {"with": None}))
    assert queue(lab, motor)[0]["swap_with"] is None
    ok(bob.post(path, {"with": second["queue_id"]}))
    answer = ok(cem.post(path, {"with": first["queue_id"]}))
    assert [x["user"] for x in answer["status"]["queue"]] == ["cem", "bob"]
    swapped = lab.events(motor)[-1]
    assert (swapped["event"], swapped["user"], swapped["by"]) == ("queue_swapped", "cem", "bob")
    refused(bob.post(path, {"with": first["queue_id"]}), 409, "cannot_swap")
    refused(bob.post(path, {"with": "nobody's"}), 404, "unknown_entry")
    refused(ann.post(path, {"with": first["queue_id"]}), 404, "unknown_entry")
    refused(bob.post(path, {}), 422, "invalid")


def test_a_waiter_asks_and_the_holder_answers_later_then_no_then_yields(
    lab: Authority, ann: Person, bob: Person, cem: Person, motor: str
) -> None:
    """QUEUE-13 QUEUE-18 QUEUE-20"""
    ann.has(motor)
    waits(cem, motor)
    entry = waits(bob, motor)
    with EventStream(lab) as stream:
        ok(bob.post(f"/locks/ask/{motor}", {"reason": "five minutes of beam", "seconds": 60}))
        told = stream.change("asked", equipment_id=motor).data
    assert (told["event"]["user"], told["event"]["holder"], told["event"]["seconds"]) == ("bob", "ann", 60)
    asked = told["status"]["queue"][1]["ask"]
    assert (asked["reason"], asked["answer"]) == ("five minutes of beam", None)
    reply = {"queue_id": entry["queue_id"], "answer": "later", "seconds": 600, "note": "two more scans"}
    later = ok(ann.post(f"/locks/answer/{motor}", reply))["status"]["queue"][1]["ask"]
    assert (later["answer"], later["note"]) == ("later", "two more scans")
    assert later["promised_at"] > later["at"]
    ok(ann.post(f"/locks/answer/{motor}", {"queue_id": entry["queue_id"], "answer": "no"}))
    assert queue(lab, motor)[1]["ask"]["answer"] == "no"
    agree = {"queue_id": entry["queue_id"], "answer": "yield"}
    refused(ann.post(f"/locks/answer/{motor}", agree), 404, "unknown_ask")
    ok(bob.post(f"/locks/ask/{motor}"))
    ok(ann.post(f"/locks/answer/{motor}", agree))
    status = lab.status(motor)
    assert (status["holder"]["user"], status["claimed"]) == ("bob", False)
    assert status["last_lost"]["why"] == "handed_over"
    assert [x["user"] for x in status["queue"]] == ["cem"]


def test_an_ask_or_an_answer_out_of_place_is_refused_and_says_so(
    lab: Authority, ann: Person, bob: Person, motor: str
) -> None:
    """QUEUE-20"""
    refused(bob.post(f"/locks/ask/{motor}"), 404, "unknown_entry")
    ann.has(motor)
    entry = waits(bob, motor)
    reply = {"queue_id": entry["queue_id"], "answer": "no"}
    refused(ann.post(f"/locks/answer/{motor}", reply), 404, "unknown_ask")
    refused(bob.post(f"/locks/answer/{motor}", reply), 403, "not_holder")
    for wrong in ({"answer": "later"}, {"answer": "no", "seconds": 5}, {"answer": "perhaps"}):
        refused(ann.post(f"/locks/answer/{motor}", {**reply, **wrong}), 422, "invalid")


def test_the_holder_hands_over_to_one_who_waits(
    lab: Authority, ann: Person, bob: Person, cem: Person, motor: str
) -> None:
    """QUEUE-12 QUEUE-16"""
    fence = ann.has(motor)["fence"]
    waits(bob, motor)
    waits(cem, motor, note="the quick one")
    refused(bob.post(f"/locks/handover/{motor}", {"to": "cem"}), 403, "not_holder")
    refused(ann.post(f"/locks/handover/{motor}", {"to": "dan"}), 404, "unknown_entry")
    status = ok(ann.post(f"/locks/handover/{motor}", {"to": "cem"}))["status"]
    assert (status["holder"]["user"], status["holder"]["note"], status["fence"]) == ("cem", "the quick one", fence + 1)
    told = {e["event"]: e for e in lab.events(motor)}["lock_released"]
    assert (told["user"], told["why"], told["by"], told["reason"]) == ("ann", "handed_over", "ann", "to cem")
    lost = refused(ann.command("move_to", motor, position=1), 403, "lock_lost")
    assert (lost["why"], lost["reason"]) == ("handed_over", "to cem")


def test_a_name_that_two_have_and_a_higher_priority_are_no_heirs(
    lab: Authority, person: People, ann: Person, bob: Person, motor: str
) -> None:
    """QUEUE-16"""
    ann.has(motor)
    waits(bob, motor)
    twin = person("bob")
    entry = waits(twin, motor, priority=1)
    refused(ann.post(f"/locks/handover/{motor}", {"to": "bob"}), 409, "ambiguous")
    refused(ann.post(f"/locks/handover/{motor}", {"to": bob.session_id}), 409, "cannot_hand_over")
    ok(ann.post(f"/locks/handover/{motor}", {"to": entry["queue_id"]}))
    assert lab.status(motor)["session_id"] == twin.session_id


def test_a_promise_is_seen_by_all_and_puts_the_countdown_off(
    lab: Authority, ann: Person, bob: Person, motor: str
) -> None:
    """IDLE-8 IDLE-12"""
    ann.has(motor, timeout_seconds=10)
    status = ok(ann.post(f"/locks/keep/{motor}", {"seconds": 10800, "note": "overnight scan"}))["status"]
    assert status["kept"]["note"] == "overnight scan"
    assert status["kept"]["until"] < status["ending"]["at"]
    assert 10800 < status["ending"]["in_seconds"] <= 10810
    kept = lab.events(motor)[-1]
    assert (kept["event"], kept["seconds"], kept["note"]) == ("lock_kept", 10800, "overnight scan")
    assert ok(ann.post(f"/locks/keep/{motor}", {"seconds": 0}))["status"]["kept"] is None
    refused(bob.post(f"/locks/keep/{motor}", {"seconds": 60}), 404, "no_lock")
    refused(ann.post(f"/locks/keep/{motor}", {"seconds": -1}), 422, "invalid")


def test_a_waiter_sees_how_long_it_may_take_once_there_is_a_past(
    lab: Authority, ann: Person, bob: Person, cem: Person, motor: str
) -> None:
    """QUEUE-14"""
    ann.has(motor)
    assert waits(bob, motor)["expected_wait_seconds"] is None
    ok(ann.release(motor))
    ok(bob.post(f"/locks/claim/{motor}"))
    entry = waits(cem, motor)
    ok(cem.post(f"/locks/ask/{motor}"))
    ok(bob.post(f"/locks/answer/{motor}", {"queue_id": entry["queue_id"], "answer": "later", "seconds": 600}))
    [shown] = queue(lab, motor)
    assert 590 < shown["expected_wait_seconds"] <= 600
