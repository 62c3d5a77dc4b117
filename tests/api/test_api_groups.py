"""Several pieces of equipment at once, over REST: all or nothing, one entry, one claim, no deadlock."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from rest_lab import Authority, Person, ok, refused

People = Callable[..., Person]


@pytest.fixture
def motors(numbers: Iterator[int]) -> tuple[str, str]:
    return f"motor_{next(numbers)}", f"motor_{next(numbers)}"


def both(who: Person, names: tuple[str, ...], **more: object):  # type: ignore[no-untyped-def]
    return who.post("/locks/acquire", {"equipment_ids": list(names), **more})


def test_a_group_that_is_free_is_granted_as_one(lab: Authority, ann: Person, motors: tuple[str, str]) -> None:
    """GROUP-1 GROUP-5"""
    answer = ok(both(ann, motors, note="a map"))
    assert answer["status"] == "locked"
    assert [lock["equipment_id"] for lock in answer["locks"]] == list(motors)
    assert answer["lock"] == answer["locks"][0]
    assert len({lock["lock_id"] for lock in answer["locks"]}) == 2
    assert ok(both(ann, motors))["status"] == "refreshed"
    ok(ann.release(motors[0]))
    assert lab.status(motors[1])["locked"]


def test_a_group_with_one_in_use_gets_nothing_and_is_told_which(
    lab: Authority, ann: Person, bob: Person, motors: tuple[str, str]
) -> None:
    """GROUP-1 GROUP-10"""
    ann.has(motors[1], note="scan")
    refusal = refused(both(bob, motors), 409, "equipment_in_use")
    assert (refusal["equipment_id"], refusal["holder"]["user"], refusal["note"]) == (motors[1], "ann", "scan")
    assert not lab.status(motors[0])["locked"]


def test_a_group_waits_with_one_entry_lets_others_pass_and_is_claimed_as_one(
    lab: Authority, person: People, ann: Person, bob: Person, motors: tuple[str, str]
) -> None:
    """GROUP-1 GROUP-2 GROUP-3 GROUP-6"""
    x, y = motors
    ann.has(y)
    answer = ok(both(bob, motors, queue_if_busy=True))
    assert (answer["status"], answer["queue_entry"]["equipment_ids"]) == ("queued", [x, y])
    entries = [lab.status(name)["queue"][0]["queue_id"] for name in motors]
    assert entries[0] == entries[1] == answer["queue_entry"]["queue_id"]
    cem = person("cem")
    cem.has(x)
    ok(ann.release(y))
    assert not lab.status(y)["locked"], "reserved for a group that cannot have all"
    ok(cem.release(x))
    assert [lab.status(name)["holder"]["user"] for name in motors] == ["bob", "bob"]
    assert [lab.status(name)["claimed"] for name in motors] == [False, False]
    ok(bob.post(f"/locks/claim/{y}"))
    assert [lab.status(name)["claimed"] for name in motors] == [True, True]


def test_a_group_leaves_all_its_queues_at_once(
    lab: Authority, ann: Person, bob: Person, motors: tuple[str, str]
) -> None:
    """GROUP-8"""
    ann.has(motors[0])
    entry = ok(both(bob, motors, queue_if_busy=True))["queue_entry"]
    refused(both(bob, (*motors, "stage_x"), queue_if_busy=True), 409, "already_waiting")
    ok(bob.lab.delete(f"/locks/queue/{motors[1]}/{entry['queue_id']}", params={"session_id": bob.session_id}))
    assert [lab.status(name)["queue"] for name in motors] == [[], []]


def test_a_deadlock_is_refused_and_its_cycle_named(ann: Person, bob: Person, motors: tuple[str, str]) -> None:
    """GROUP-4"""
    x, y = motors
    ann.has(x)
    bob.has(y)
    ok(ann.acquire(y, queue_if_busy=True))
    refusal = refused(bob.acquire(x, queue_if_busy=True), 409, "would_deadlock")
    assert refusal["cycle"] == [
        {"session_id": bob.session_id, "user": "bob", "waits_for": x, "behind": "ann"},
        {"session_id": ann.session_id, "user": "ann", "waits_for": y, "behind": "bob"},
    ]
    ok(bob.release(y))


@pytest.mark.parametrize(
    "body",
    [
        {"equipment_ids": []},
        {"equipment_ids": ["stage_x", "stage_x"]},
        {"equipment_ids": [f"motor_{n}" for n in range(17)]},
        {"equipment_id": "stage_x", "equipment_ids": ["stage_y"]},
        {},
    ],
    ids=["none", "twice", "too many", "both ways", "neither"],
)
def test_a_group_that_is_no_group_is_invalid(ann: Person, body: dict[str, object]) -> None:
    """GROUP-1"""
    refused(ann.post("/locks/acquire", body), 422, "invalid")


def test_a_group_with_an_unknown_member_is_refused_whole(lab: Authority, ann: Person, motors: tuple[str, str]) -> None:
    """GROUP-1 REST-10"""
    refused(both(ann, (motors[0], "nothing")), 404, "unknown_equipment")
    assert not lab.status(motors[0])["locked"]
