"""The night in which the clocks are put back: people see the time on their wall, and a countdown counts on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

# Europe/Berlin by its rule, which needs no table of zones: on 2026-10-25 at 01:00 UTC 03:00 becomes 02:00.
from jupyter_motorlock.notebook import panel_html
from jupyter_motorlock.text import status as status_text

# Europe/Berlin by its rule, which needs no table of zones: on 2026-10-25 at 01:00 UTC 03:00 becomes 02:00.
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
HELD = {
    "equipment_id": "stage_x",
    "state": "held",
    "claimed": True,
    "holder": {"session_id": "s-ann", "user": "Ann", "since": "2026-10-25T00:15:00+00:00"},
    "ending": {"what": "idle", "at": "2026-10-25T01:20:00+00:00", "in_seconds": 3000.0, "text": "is released"},
}


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as there:
        there.setenv("TZ", BERLIN)
        time.tzset()
        yield
    time.tzset()


def at(utc: str) -> datetime:
    """What `datetime.now().astimezone()` is at this time, with which the notebook side asks."""
    return datetime.fromisoformat(utc + "+00:00").astimezone()


@pytest.mark.parametrize(
    "now", ["2026-10-25T00:30:00", "2026-10-25T00:59:59", "2026-10-25T01:00:00", "2026-10-25T09:00:00"]
)
@pytest.mark.parametrize(
    ("utc", "local"),
    [
        ("2026-10-24T22:10:00", "00:10"),
        ("2026-10-25T00:59:00", "02:59"),
        ("2026-10-25T01:00:00", "02:00"),
        ("2026-10-25T01:59:00", "02:59"),
        ("2026-10-25T02:00:00", "03:00"),
        ("2026-10-25T22:59:00", "23:59"),
        ("2026-10-25T23:00:00", "26 Oct 00:00"),
        ("2026-10-24T21:59:00", "24 Oct 23:59"),
    ],
)
def test_a_time_is_shown_as_the_wall_shows_it_then_whenever_it_is_looked_at(now: str, utc: str, local: str) -> None:
    """REST-9 NB-13"""
    assert status_text.clock_text(utc + "+00:00", at(now)) == local


@pytest.mark.parametrize(
    ("utc", "local"),
    [("2026-03-29T00:59:00", "01:59"), ("2026-03-29T01:00:00", "03:00"), ("2026-03-29T09:00:00", "11:00")],
)
def test_in_spring_no_time_is_shown_that_there_is_not(utc: str, local: str) -> None:
    """REST-9 NB-13"""
    for now in ("2026-03-29T00:30:00", "2026-03-29T12:00:00"):
        assert status_text.clock_text(utc + "+00:00", at(now)) == local


def test_a_time_is_shown_in_the_zone_of_the_one_who_asks_where_that_is_another_one() -> None:
    """NB-13"""
    far = datetime(2026, 10, 25, 12, 0, tzinfo=timezone(timedelta(hours=9)))
    assert status_text.clock_text("2026-10-25T00:30:00+00:00", far) == "09:30"


def test_a_countdown_counts_on_across_the_change_and_the_end_is_shown_in_the_time_of_the_end() -> None:
    """LIVE-19 IDLE-10 NB-13 NB-14"""
    before = panel_html.panel_content(HELD, "s-ann", now=at("2026-10-25T00:30:00"))
    after = panel_html.panel_content(HELD, "s-ann", now=at("2026-10-25T01:10:00"))
    assert before == after, "nothing has happened, so nothing is written anew"
    assert before.ends == "is released unless you use it (02:20)"
    assert before.headline.startswith("stage_x is yours since 02:15")
    left = [status_text.seconds_left(HELD, elapsed_s=minutes * 60.0) for minutes in (0, 29, 31, 49, 51)]
    assert left == [3000.0, 1260.0, 1140.0, 60.0, 0.0]
    assert "50 min 0 s" in status_text.plain_text(HELD, "s-ann", now=at("2026-10-25T00:30:00"))
