"""Lists in parts: whoever follows the cursor sees every living item once, whatever ends or begins meanwhile."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rest_lab import Authority, Json, Person, ok, refused, running, until

MOTORS = 30
LISTS = ["/locks/sessions", "/locks/all", "/locks/queue/stage_x"]


def parts(lab: Authority, path: str, limit: int, between: Callable[[Json], object] = lambda _: None) -> Iterator[Json]:
    """The parts of a list, one after the other; `between` happens after each."""
    after: Json = {}
    while True:
        answer = ok(lab.get(path, params={"limit": limit, **after}))
        yield answer
        between(answer)
        if answer["next"] is None:
            return
        after = {"after": answer["next"]}


def ids(answers: Iterator[Json], of: str, key: str) -> list[str]:
    return [item[key] for answer in answers for item in answer[of]]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
def test_the_sessions_come_oldest_first_in_parts_that_make_up_the_whole(
    lab: Authority, person: Callable[..., Person], limit: int
) -> None:
    """REST-18"""
    made = [person(f"user {n}").session_id for n in range(6)]
    answers = list(parts(lab, "/locks/sessions", limit))
    assert [a["count"] for a in answers] == [len(a["sessions"]) for a in answers]
    assert all(a["count"] == limit for a in answers[:-1])
    assert 1 <= answers[-1]["count"] <= limit
    assert ids(iter(answers), "sessions", "session_id") == made


def test_a_cursor_goes_on_without_skipping_a_living_session_when_those_before_it_have_ended(
    lab: Authority, person: Callable[..., Person]
) -> None:
    """REST-18"""
    people = {p.session_id: p for p in (person(f"user {n}") for n in range(9))}
    made = list(people)

    def end_what_was_shown(answer: Json) -> None:
        for one in answer["sessions"]:
            ok(people[one["session_id"]].leave())

    assert ids(parts(lab, "/locks/sessions", 2, end_what_was_shown), "sessions", "session_id") == made


def test_sessions_that_begin_while_somebody_reads_come_at_the_end(
    lab: Authority, person: Callable[..., Person]
) -> None:
    """REST-18"""
    first = [person(f"user {n}").session_id for n in range(4)]
    late: list[str] = []

    def one_more(_: Json) -> None:
        if len(late) < 2:
            late.append(person("late").session_id)

    assert ids(parts(lab, "/locks/sessions", 2, one_more), "sessions", "session_id") == first + late


def test_sessions_are_oldest_first_and_a_cursor_goes_on_after_a_restart_of_the_authority(tmp_path: Path) -> None:
    """REST-18 STORE-3"""
    with running(tmp_path) as authority:
        # Ids that the clients chose, against the order of the alphabet.
        chosen = [f"program {letter}" for letter in "fcaebd"]
        for name in chosen:
            ok(authority.post("/locks/acquire", {"equipment_id": "stage_x", "session_id": name, "queue_if_busy": True}))
        first = ok(authority.get("/locks/sessions?limit=2"))
        authority.restart()
        rest = ok(authority.get("/locks/sessions", params={"after": first["next"]}))
        assert [s["session_id"] for s in first["sessions"] + rest["sessions"]] == chosen
        assert rest["next"] is None


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_the_queue_comes_in_parts_that_make_up_the_whole(
    lab: Authority, person: Callable[..., Person], motor: str, limit: int
) -> None:
    """REST-18"""
    person("holder").has(motor)
    waiting = [ok(person(f"user {n}").acquire(motor, queue_if_busy=True))["queue_entry"] for n in range(5)]
    answers = list(parts(lab, f"/locks/queue/{motor}", limit))
    assert [x["queue_id"] for a in answers for x in a["queue"]] == [x["queue_id"] for x in waiting]
    assert [x["position"] for a in answers for x in a["queue"]] == [1, 2, 3, 4, 5]
    assert all(a["equipment_id"] == motor for a in answers)


def test_nobody_who_waits_is_skipped_when_those_before_leave_or_are_granted(
    lab: Authority, person: Callable[..., Person], motor: str
) -> None:
    """REST-18"""
    holder = person("holder")
    holder.has(motor)
    people = {p.session_id: p for p in (person(f"user {n}") for n in range(6))}
    for one in people.values():
        ok(one.acquire(motor, queue_if_busy=True))

    def go(answer: Json) -> None:
        for entry in answer["queue"]:
            ok(people[entry["session_id"]].leave())
        if lab.status(motor)["session_id"] == holder.session_id:
            ok(holder.release(motor))  # which grants the first that was not shown yet

    answers = parts(lab, f"/locks/queue/{motor}", 2, go)
    seen = ids(answers, "queue", "session_id")
    granted = lab.status(motor)["session_id"]
    assert [*seen[:2], granted, *seen[2:]] == list(people)


@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_all_locks_and_queues_come_in_parts_that_make_up_the_whole(
    lab: Authority, person: Callable[..., Person], numbers: Iterator[int], limit: int
) -> None:
    """REST-18"""
    ann, bob, motors = person("ann"), person("bob"), [f"motor_{next(numbers)}" for _ in range(4)]
    ann.has(motors[0])
    ok(bob.acquire(motors[0], queue_if_busy=True))
    ok(bob.acquire(motors[1], lock_mode="observer"))
    ann.has(motors[2])  # the fourth is free, and takes no room
    answers = list(parts(lab, "/locks/all", limit))
    assert max(len(a["exclusive_locks"] | a["observer_locks"] | a["queues"]) for a in answers) <= limit
    whole: dict[str, list[str]] = {}
    for answer in answers:
        for kind in ("exclusive_locks", "observer_locks", "queues"):
            whole.setdefault(kind, []).extend(answer[kind])
    # A part is a JSON object, which has no order; the ids may run from motor_8 to motor_11.
    assert {kind: sorted(names) for kind, names in whole.items()} == {
        "exclusive_locks": sorted([motors[0], motors[2]]), "observer_locks": [motors[1]], "queues": [motors[0]],
    }  # fmt: skip


@pytest.mark.parametrize("path", LISTS)
def test_a_list_that_fits_says_that_nothing_follows(lab: Authority, path: str) -> None:
    """REST-18 REST-1"""
    assert ok(lab.get(path))["next"] is None


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "after", ["", "x", "ab", "%00", "%ff", "W10", "W251bGxd", "WzFd", "WzFlNDAwLCJ4Il0", "e30", "é", "A" * 4000]
)
def test_what_is_no_cursor_of_this_list_is_refused(
    lab: Authority, person: Callable[..., Person], path: str, after: str
) -> None:
    """REST-18 REST-17"""
    person("ann").has("stage_x")
    ok(person("bob").acquire("stage_x", queue_if_busy=True))
    refused(lab.get(f"{path}?after={after}"), 422, "invalid")


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", ["0", "1001", "many"])
def test_a_limit_of_a_list_is_1_to_1000(lab: Authority, path: str, limit: str) -> None:
    """REST-18"""
    assert "limit" in refused(lab.get(f"{path}?limit={limit}"), 422, "invalid")["detail"]


# -- events


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_the_events_that_follow_one_come_in_parts_oldest_first(
    lab: Authority, ann: Person, motor: str, limit: int
) -> None:
    """REST-13 REST-18"""
    for _ in range(3):
        ann.has(motor)
        ok(ann.release(motor))
    whole = lab.events(motor)
    for path, expected in ((f"/locks/events/{motor}", whole), (f"/locks/sessions/{ann.session_id}/events", None)):
        known = ok(lab.get(f"{path}?limit=1000"))["events"]
        assert expected is None or known == expected
        found, after = [], 0
        while after is not None:
            answer = ok(lab.get(f"{path}?limit={limit}&after={after}"))
            assert answer["count"] == len(answer["events"]) <= limit
            found += answer["events"]
            assert answer["next"] in (None, found[-1]["seq"])
            after = answer["next"]
        assert found == known
        assert len(known) >= 6
        third = known[2]["seq"]
        assert ok(lab.get(f"{path}?after={third}"))["events"] == known[3:]


def test_without_a_number_the_newest_events_come_and_nothing_follows_them(
    lab: Authority, ann: Person, motor: str
) -> None:
    """REST-13"""
    ann.has(motor)
    ok(ann.release(motor))
    answer = ok(lab.get(f"/locks/events/{motor}?limit=1"))
    assert [e["event"] for e in answer["events"]] == ["lock_released"]
    assert answer["next"] is None
    beyond = ok(lab.get(f"/locks/events/{motor}?after={2**63 - 1}"))
    assert (beyond["events"], beyond["count"], beyond["next"]) == ([], 0, None)


@pytest.mark.parametrize("after", ["-1", "many", "1.5", "", str(2**63), "9" * 400])
@pytest.mark.parametrize("path", ["/locks/events/stage_x", "/locks/sessions/some/events"])
def test_an_event_number_that_cannot_be_is_refused(lab: Authority, path: str, after: str) -> None:
    """REST-13 REST-17"""
    assert "after" in refused(lab.get(f"{path}?after={after}"), 422, "invalid")["detail"]


def test_history_of_more_than_ninety_days_is_gone_from_the_lists_which_begin_with_the_oldest_kept(
    tmp_path: Path,
) -> None:
    """STORE-8 REST-13 REST-18"""
    with running(tmp_path) as authority:
        ann = authority.person("ann", timeout_seconds=0)
        for _ in range(3):
            ann.has()
            ok(ann.release())
        before = authority.events()
        authority.end()
        old = before[:2]
        kept = before[2:]
        _grow_older(authority.data, [*range(1, old[-1]["seq"] + 1)], days=90.1)
        # The newest events stay as they are: a clock that jumped since then would not be believed.
        _grow_older(authority.data, [e["seq"] for e in kept[:2]], days=89.9)
        authority.start()
        until(lambda: authority.events() != before, "the housekeeping of the start")
        assert authority.events() == kept
        for after in (0, old[0]["seq"]):
            assert ok(authority.get(f"/locks/events/stage_x?after={after}"))["events"] == kept
            first = ok(authority.get(f"/locks/events/stage_x?after={after}&limit=1"))
            assert (first["events"], first["next"]) == (kept[:1], kept[0]["seq"])
        mine = ok(authority.get(f"/locks/sessions/{ann.session_id}/events?limit=1000"))["events"]
        assert [e for e in mine if e["equipment_id"] == "stage_x"] == kept
        ann.has()
        assert authority.events()[-1]["seq"] > before[-1]["seq"], "numbers are not reused"


def _grow_older(data: Path, numbers: list[int], days: float) -> None:
    (path,) = data.glob("*.sqlite3")
    with sqlite3.connect(path) as db:
        db.executemany("UPDATE events SET wall = ? WHERE seq = ?", [(time.time() - days * 86_400, n) for n in numbers])
    db.close()


def test_sessions_with_much_metadata_come_in_smaller_parts(lab: Authority, person: Callable[..., Person]) -> None:
    """LIMIT-5 REST-18"""
    made = {person(f"heavy {n}", metadata={"text": "x" * 16_000}).session_id for n in range(70)}
    seen: list[str] = []
    after = ""
    answers = 0
    while after is not None:
        answer = ok(lab.get(f"/locks/sessions?limit=1000{after and f'&after={after}'}"))
        assert sum(len(one["metadata"].get("text", "")) for one in answer["sessions"]) <= 512 * 1024
        seen += [one["session_id"] for one in answer["sessions"]]
        after = answer["next"]
        answers += 1
    assert answers >= 3
    assert len(seen) == len(set(seen))
    assert made <= set(seen)
