"""What is kept of a status and of events is right for a table at once, and reads as what was shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pandas  # type: ignore[import-untyped]
import pytest

from jupyter_motorlock.text.rows import event_rows, event_sentence, status_rows

NOW = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
FREE: dict[str, object] = {
    "equipment_id": "stage_y",
    "state": "free",
    "holder": None,
    "fence": 0,
    "queue_length": 0,
    "observer_count": 0,
    "readback": {"connected": False, "moving": False, "position": None, "units": None},
    "ending": None,
    "text": "stage_y is free.",
}
HELD = FREE | {
    "equipment_id": "stage_x",
    "state": "held",
    "claimed": True,
    "holder": {"user": "Ann", "note": "scan", "since": "2026-11-21T15:02:00+01:00"},
    "fence": 7,
    "queue_length": 2,
    "observer_count": 1,
    "readback": {"connected": True, "moving": True, "position": 12.5, "units": "mm"},
    "text": "Ann (scan) has stage_x since 2026-11-21T15:02:00+01:00; 2 wait.",
    "ending": {"text": "released unless used", "at": "2026-11-21T14:32:00+00:00", "in_seconds": 1620.0},
}


def an_event(name: str, **fields: object) -> dict[str, object]:
    head = {"seq": 5, "event": name, "timestamp": "2026-11-21T14:03:04.5+00:00", "equipment_id": "stage_x"}
    return head | {"session_id": "s-ann", "user": "Ann"} | fields


MOVE = an_event(
    "command_started", command_id="c1", action="move_to", parameters={"position": 12.5}, fence=7,
    text="Ann started move_to(position=12.5) on stage_x",
)  # fmt: skip


def test_a_status_is_one_flat_row_and_all_rows_have_the_same_columns() -> None:
    """NB-27"""
    held, free = status_rows([HELD, FREE], None, whole=False, now=NOW)
    assert held == {
        "equipment": "stage_x",
        "state": "held",
        "holder": "Ann",
        "note": "scan",
        "since": datetime(2026, 11, 21, 14, 2, tzinfo=UTC),
        "fence": 7,
        "queue": 2,
        "observers": 1,
        "position": 12.5,
        "units": "mm",
        "moving": True,
        "ends": "released unless used",
        "ends_at": datetime(2026, 11, 21, 14, 32, tzinfo=UTC),
    }
    assert list(free) == list(held)
    assert [name for name in free if free[name] is None] == [
        "holder",
        "note",
        "since",
        "position",
        "units",
        "ends",
        "ends_at",
    ]


def test_rows_read_as_one_line_each_or_as_all_that_is_known() -> None:
    """NB-27"""
    short = status_rows([HELD, FREE], None, whole=False, now=NOW)
    assert repr(short) == "Ann (scan) has stage_x since 14:02; 2 wait.\nstage_y is free."
    assert "  reads: 12.500 mm (moving)" in repr(status_rows([HELD], None, whole=True, now=NOW)).splitlines()


def test_all_times_of_a_table_are_in_one_zone() -> None:
    """NB-27 NB-28"""
    now = NOW.astimezone(timezone(timedelta(hours=2)))
    (row,) = status_rows([HELD], None, whole=False, now=now)
    (move,) = event_rows([MOVE], now=now)
    times = [row["since"], row["ends_at"], move["time"]]
    assert [time.utcoffset() for time in times if isinstance(time, datetime)] == [timedelta(hours=2)] * 3


def test_an_event_is_a_row_with_its_own_fields_and_the_parts_of_them_as_columns() -> None:
    """NB-28"""
    (row,) = event_rows([MOVE], now=NOW)
    assert row == {
        "time": datetime(2026, 11, 21, 14, 3, 4, 500000, tzinfo=UTC),
        "equipment": "stage_x",
        "event": "command_started",
        "user": "Ann",
        "action": "move_to",
        "parameters.position": 12.5,
        "fence": 7,
        "text": "Ann started move_to(position=12.5) on stage_x",
    }


def test_ids_are_columns_where_they_are_asked_for() -> None:
    """NB-28"""
    (row,) = event_rows([MOVE], now=NOW, ids=True)
    assert (row["session_id"], row["command_id"]) == ("s-ann", "c1")


def test_a_grant_is_told_once_and_every_event_is_a_row() -> None:
    """NB-91"""
    told = [
        an_event("lock_released", text="1"),
        an_event("queue_processed", result="granted", user="Bob"),
        an_event("lock_acquired", from_queue=True, user="Bob", text="2"),
        an_event("queued", user="Carl", position=1, equipment_id="stage_y", text="3"),
        an_event("lock_claimed", user="Bob"),
        an_event("lock_refreshed", user="Bob"),
        an_event("lock_refreshed", user="Bob", note="longer", text="4"),
        an_event("queue_processed", result="left", user="Dora", text="5"),
        an_event("lock_acquired", user="Emil", text="6"),
        an_event("queued", user="Carl", position=1, text="7"),
        an_event("lock_claimed", user="Emil", text="8"),
    ]
    rows = event_rows(told, now=NOW)
    assert len(rows) == len(told)
    assert [line.partition("  ")[2] for line in repr(rows).splitlines()] == list("12345678")


def test_a_place_in_the_queue_is_not_in_the_column_of_where_the_motor_was() -> None:
    """NB-28"""
    waits, moved = event_rows([an_event("queued", position=2), an_event("moved_outside", position=1.5)], now=NOW)
    assert (waits["place"], moved["position"]) == (2, 1.5)
    assert "position" not in waits


def test_events_read_as_one_line_each_with_the_time_and_on_another_day_the_date() -> None:
    """NB-28"""
    before = an_event("lock_released", timestamp="2026-11-20T23:59:58+00:00", text="Ann gave stage_x back")
    assert repr(event_rows([before, MOVE], now=NOW)).splitlines() == [
        "20 Nov 23:59:58  Ann gave stage_x back",
        "14:03:04  Ann started move_to(position=12.5) on stage_x",
    ]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (an_event("lock_acquired", text="Ann has stage_x (scan)"), "Ann has stage_x (scan)"),
        (an_event("lock_acquired"), "lock acquired: stage_x"),
        (an_event("session_ended", equipment_id=None), "session ended: Ann"),
    ],
)
def test_an_event_is_shown_as_the_authority_says_it_and_an_old_one_by_its_name(
    event: dict[str, object], said: str
) -> None:
    """NB-28 NB-101"""
    assert event_sentence(event) == said


def test_pandas_reads_times_as_times_and_positions_as_numbers() -> None:
    """NB-27 NB-28"""
    table = pandas.DataFrame(status_rows([HELD, FREE], None, whole=False, now=NOW))
    assert [str(table[name].dtype).partition("[")[0] for name in ("since", "position", "queue")] == [
        "datetime64",
        "float64",
        "int64",
    ]
    assert pandas.DataFrame(event_rows([MOVE], now=NOW))["parameters.position"].tolist() == [12.5]
