"""What a kernel is told at the beginning and end of a cell: news, in order, once, and only what is still so."""

from __future__ import annotations

import pytest
from real_lab import Kernel, Person
from statuses import BOB, held, waiting
from typed import Notebook

from jupyter_motorlock.client.state_mirror import StateMirror

ASKING = BOB | {"ask": {"answer": None, "reason": "beam", "promised_at": None, "note": None}}
FOUR_STOPS = [{"user": "Bob", "session_id": "s-bob", "at": f"2026-11-21T14:0{minute}:00+00:00"} for minute in range(4)]
TO_ANN = {"session_id": "s-ann", "fence": 3, "lock_mode": "exclusive"}


@pytest.fixture
def mirror() -> StateMirror:
    """What the kernel of Ann knows, who holds stage_x."""
    known = StateMirror()
    known.start_session("s-ann")
    known.add_lock(TO_ANN | {"equipment_id": "stage_x"})
    push(known)
    return known


def push(mirror: StateMirror, **changes: object) -> None:
    mirror.handle_message("status", held(**TO_ANN, **changes))


def test_of_several_stops_the_newest_is_told_and_none_after_one_resumed(mirror: StateMirror) -> None:
    """NB-92"""
    for stop in FOUR_STOPS:
        push(mirror, stopped_by=stop)
    (told,) = mirror.take_notices()
    assert "stage_x was stopped by Bob" in told
    push(mirror, stopped_by=FOUR_STOPS[0] | {"reason": "again"})
    push(mirror, stopped_by=None)
    assert mirror.take_notices() == []


def test_an_ask_that_was_answered_is_no_news_and_one_that_waits_is(mirror: StateMirror) -> None:
    """NB-92 NB-25"""
    push(mirror, **waiting(ASKING))
    push(mirror, **waiting(ASKING | {"ask": {"answer": "no"}}))
    assert mirror.take_notices() == []
    push(mirror, **waiting(ASKING))
    push(mirror, **waiting(ASKING), stopped_by=FOUR_STOPS[0])
    asked, stopped = mirror.take_notices()
    assert asked.startswith("Bob asks you for stage_x (beam)")
    assert stopped.startswith("stage_x was stopped by Bob")


def test_what_was_said_already_is_not_told_again(mirror: StateMirror) -> None:
    """NB-92"""
    push(mirror, **waiting(ASKING), stopped_by=FOUR_STOPS[0])
    asked, stopped = mirror.take_notices()
    push(mirror)
    push(mirror, **waiting(ASKING), stopped_by=FOUR_STOPS[0])
    mirror.forget_notices(f"stage_x is yours.\n  note: {stopped}")
    assert mirror.take_notices() == [asked]


def test_what_is_heard_after_it_was_said_is_not_told_again_and_is_news_later(mirror: StateMirror) -> None:
    """NB-92"""
    push(mirror, stopped_by=FOUR_STOPS[0])
    (stopped,) = mirror.take_notices()
    push(mirror)
    mirror.forget_notices(stopped)
    push(mirror, stopped_by=FOUR_STOPS[0])
    assert mirror.take_notices() == []
    push(mirror)
    push(mirror, stopped_by=FOUR_STOPS[0])
    assert mirror.take_notices() == [stopped]


def test_motor_status_tells_a_stop_once(kernel: Kernel, bob: Person) -> None:
    """NB-92"""
    ann = Notebook(kernel)
    ann.run("stage = %motor_login stage_x --no-panel")
    for _ in range(4):
        bob.stop()
    said = ann.run("%motor_status stage_x").stdout + ann.run("pass").stdout
    assert said.count("stage_x was stopped by Bob") == 1, said
