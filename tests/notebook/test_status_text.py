"""What people are told about an equipment."""

from __future__ import annotations

import pytest
from statuses import ANN, AT_REST, BOB, CARL, IDLE, NOW, STOP, a_status, held, waiting

from jupyter_motorlock.text import status as status_text


@pytest.mark.parametrize(
    ("status", "me", "sentence"),
    [
        (a_status(), "s-ann", "stage_x is free."),
        (a_status(observers=[BOB]), "s-bob", "stage_x is free. You are watching."),
        (held(), "s-ann", "stage_x is yours since 14:02 (scan over night); nobody waits."),
        (held(**waiting(BOB)), "s-ann", "stage_x is yours since 14:02 (scan over night); one waits."),
        (held(), None, "Ann (scan over night) has stage_x since 14:02; nobody waits."),
        (
            held(**waiting(BOB, CARL)),
            "s-bob",
            "Ann (scan over night) has stage_x since 14:02; nobody waits. You are next in the queue.",
        ),
        (
            held(**waiting(BOB, CARL | {"expected_wait_seconds": 290.0})),
            "s-carl",
            "Ann (scan over night) has stage_x since 14:02; nobody waits. "
            "You are number 2 in the queue (perhaps 5 min).",
        ),
        (
            held(observers=[BOB]),
            "s-bob",
            "Ann (scan over night) has stage_x since 14:02; nobody waits. You are watching.",
        ),
        (held() | {"claimed": False}, "s-ann", "It is your turn on stage_x: claim it, or it passes on; nobody waits."),
        (
            a_status(state="fault", text="stage_x has a fault."),
            "s-ann",
            "stage_x has a fault. Look at it, then %motor_clear_fault stage_x REASON (in a terminal motorlock "
            "clear-fault).",
        ),
        ({}, "s-ann", "equipment: no word from the authority yet."),
    ],
)
def test_the_headline_is_the_authoritys_sentence_and_what_speaks_to_the_reader(
    status: dict[str, object], me: str | None, sentence: str
) -> None:
    """NB-100"""
    assert status_text.headline(status, me, now=NOW) == sentence


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("since 2026-11-21T14:02:00.123456+00:00.", "since 14:02."),
        ("since 2026-11-20T14:02:00Z (a)", "since 20 Nov 14:02 (a)"),
        ("from 2026-11-21T15:02:00+01:00 to 2026-11-21T14:04:00+00:00", "from 14:02 to 14:04"),
        ("2026-11-21 and 14:02", "2026-11-21 and 14:02"),
    ],
)
def test_a_time_in_a_sentence_of_the_authority_is_shown_by_the_local_clock(text: str, shown: str) -> None:
    """RUN-51"""
    assert status_text.local_text(text, NOW) == shown


def test_without_a_session_nothing_is_said_to_be_ours() -> None:
    nameless = held() | {"holder": ANN | {"session_id": None}}
    assert status_text.headline(nameless, None, now=NOW).startswith("Ann ")


def test_the_plain_form_tells_everything_the_panel_tells() -> None:
    """NB-13"""
    status = held(
        **waiting(BOB, CARL),
        observers=[{"session_id": "s-dora", "user": "Dora"}],
        ending=IDLE,
        running={
            "action": "move_to",
            "parameters": {"position": 80.0, "wait": True},
            "user": "Ann",
            "session_id": "s-ann",
        },
        stopped_by=STOP,
    )
    assert status_text.plain_text(status, "s-ann", now=NOW).splitlines() == [
        "stage_x is yours since 14:02 (scan over night); 2 wait.",
        "  reads: 12.500 mm (move_to(position=80, wait=on) by you)",
        "  next: is released unless you use it (14:32) (in 4 min 12 s)",
        "  queue 1: Bob",
        "  queue 2: Carl (align)",
        "  watching: Dora",
        "  note: stage_x was stopped by Bob at 14:04 (too close): resume or log in again to go on.",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "  holder: Ann (name not verified)"),
        ({"user_verified": True, "client_name": "scan.ipynb"}, "  holder: Ann in scan.ipynb"),
    ],
)
def test_the_plain_form_tells_how_sure_the_holder_is_and_where(changes: dict[str, object], line: str) -> None:
    assert line in status_text.plain_text(held() | {"holder": ANN | changes}, "s-bob", now=NOW).splitlines()
    assert "holder:" not in status_text.plain_text(held(), "s-ann", now=NOW)


def test_the_plain_form_of_what_is_free_and_not_read_is_one_line() -> None:
    assert status_text.plain_text(a_status(readback=None), "s-ann", now=NOW) == "stage_x is free."


def test_the_countdown_goes_on_from_when_the_status_came() -> None:
    assert status_text.seconds_left(held(ending=IDLE), elapsed_s=2.3) == pytest.approx(250.0)
    assert status_text.seconds_left(held(ending=IDLE), elapsed_s=400.0) == 0.0


@pytest.mark.parametrize(
    ("readback", "text"),
    [
        (AT_REST, "12.500 mm"),
        (AT_REST | {"position": 0.0, "units": None}, "0.000"),
        (AT_REST | {"position": 0.0000125}, "1.25e-05 mm"),
        ({"values": {"voltage": 5.0, "output": True, "mode": "cv"}}, "voltage 5 · output on · mode cv"),
        (AT_REST | {"target": 90.0}, "12.500 mm"),
        (AT_REST | {"moving": True, "target": 90}, "12.500 → 90 mm"),
        (AT_REST | {"connected": False, "error": "the stage does not answer"}, "the stage does not answer"),
        (AT_REST | {"connected": False}, "not connected"),
        ({"values": {}}, ""),
        (None, ""),
    ],
)
def test_the_reading_is_the_position_or_the_values_or_what_is_wrong(readback: object, text: str) -> None:
    assert status_text.reading_text(a_status(readback=readback)) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0 s"), (45.4, "45 s"), (252.3, "4 min 12 s"), (3600, "1 h 0 min"), (7500, "2 h 5 min")]
)
def test_a_length_of_time_is_said_as_people_say_it(seconds: float, text: str) -> None:
    assert status_text.duration_text(seconds) == text


def test_a_time_of_another_day_bears_its_date_and_a_strange_one_is_shown_as_it_is() -> None:
    assert status_text.clock_text("2026-11-20T14:02:00+00:00", NOW) == "20 Nov 14:02"
    assert status_text.clock_text("soon", NOW) == "soon"
    assert status_text.clock_text("2026-11-21T14:02:00+00:00").count(" ") == 2


def test_a_user_goes_by_all_that_is_shown_and_by_either_part() -> None:
    """WHO-25"""
    assert status_text.names_of_user("ann (Ann L.)") == ("ann (Ann L.)", "ann", "Ann L.")
    assert set(status_text.names_of_user("Ann")) == {"Ann"}
